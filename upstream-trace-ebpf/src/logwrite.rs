//! Lines of error.log at the moment at which a worker writes them, for logs that nobody keeps where they could be read: a
//! pipe to a log program, a container's output that its runtime keeps to itself, `syslog:`. Attached only while there is
//! such a log.
//!
//! nginx writes each line by one call. Which calls are meant shows in how the text begins; what is less than a warning
//! stays here.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use upstream_trace_common::{EventKind, LOG_TEXT, LogWrite};

use crate::kernel::{self, SOCK_DGRAM};
use crate::{emit, worker};

/// Where a `sys_enter_*` tracepoint has the first argument of its call; each takes 8 bytes.
const ARGUMENT_0: usize = 16;
/// How much of a text is looked at.
const HEAD: usize = 32;
/// Numbers of syslog's severities: a warning, and those that matter more, are not above it.
const WARNING: u32 = 4;

/// `write(fd, text, size)`.
#[tracepoint(category = "syscalls", name = "sys_enter_write")]
pub fn sys_enter_write(ctx: TracePointContext) -> u32 {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid) && worker::serving(tgid).is_some() {
        let [fd, text, size] = arguments(&ctx);
        if is_line(&head(text, size)) {
            send(tgid, fd, text, size);
        }
    }
    0
}

/// `sendto(fd, text, size, ...)`, which `send()` is.
#[tracepoint(category = "syscalls", name = "sys_enter_sendto")]
pub fn sys_enter_sendto(ctx: TracePointContext) -> u32 {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid) && worker::serving(tgid).is_some() {
        let [fd, text, size] = arguments(&ctx);
        // A client's words may look the same; they are sent on streams.
        if is_syslog(&head(text, size)) && kernel::socket_of_fd(fd as i32).1 == SOCK_DGRAM {
            send(tgid, fd, text, size);
        }
    }
    0
}

/// The first three arguments of the system call.
#[inline(always)]
fn arguments(ctx: &TracePointContext) -> [u64; 3] {
    // SAFETY: the arguments lie within the tracepoint's record.
    unsafe {
        [
            ctx.read_at::<u64>(ARGUMENT_0).unwrap_or(0),
            ctx.read_at::<u64>(ARGUMENT_0 + 8).unwrap_or(0),
            ctx.read_at::<u64>(ARGUMENT_0 + 16).unwrap_or(0),
        ]
    }
}

/// How a text begins; zeros if it is shorter or cannot be read.
#[inline(always)]
fn head(text: u64, size: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    if size >= HEAD as u64 {
        // SAFETY: the helper checks the address, and there is room for that much.
        let _zeros = unsafe { bpf_probe_read_user((&raw mut head).cast(), HEAD as u32, text as *const _) };
    }
    head
}

/// `2026/11/20 09:12:01 [error] `, or a line in JSON, of a level that may be about an upstream.
#[inline(always)]
fn is_line(head: &[u8; HEAD]) -> bool {
    let text =
        head[4] == b'/' && head[7] == b'/' && head[13] == b':' && head[20] == b'[' && matters(head[21]);
    let json = head[0] == b'{' && head[2] == b'l' && head[6] == b'l' && head[8] == b':' && matters(head[10]);
    text || json
}

/// `error`, `emerg`, `crit`, `alert`, `warn`.
#[inline(always)]
fn matters(level: u8) -> bool {
    level == b'e' || level == b'c' || level == b'a' || level == b'w'
}

/// `<187>`.
#[inline(always)]
fn is_syslog(head: &[u8; HEAD]) -> bool {
    let digit = |at: usize| u32::from(head[at].wrapping_sub(b'0'));
    let priority = if head[2] == b'>' {
        digit(1)
    } else if head[3] == b'>' {
        digit(1) * 10 + digit(2)
    } else if head[4] == b'>' {
        digit(1) * 100 + digit(2) * 10 + digit(3)
    } else {
        return false;
    };
    head[0] == b'<' && priority & 7 <= WARNING
}

/// Sends what was written, up to the room that there is.
#[inline(always)]
fn send(tgid: u32, fd: u64, text: u64, size: u64) {
    const MOST: u64 = LOG_TEXT as u64 - 1;
    // The mask shows the verifier that it fits.
    let len = (if size > MOST { MOST } else { size }) & MOST;
    emit::event::<LogWrite>(EventKind::LogWrite, tgid, emit::now(), |event| {
        // SAFETY: reserved memory of that type, with room for LOG_TEXT bytes; the helper checks the address.
        unsafe {
            (*event).fd = fd as i32;
            (*event).pad = 0;
            let to = (&raw mut (*event).text).cast();
            let failed = bpf_probe_read_user(to, len as u32, text as *const _) != 0;
            (*event).len = if failed { 0 } else { len as u16 };
        }
    });
}
