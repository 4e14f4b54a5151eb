//! `connect()` itself: errors that never reach TCP (no route, no permission, no port), and unix sockets, which have no
//! tracepoints of their own. Where the kernel lets us watch functions, `functions.rs` calls what is below; otherwise
//! the tracepoints of system calls do, which slow every system call of the host a little.

use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str,
};
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use upstream_trace_common::{
    Addr, ConnectFailed, Connecting, End, EventKind, FdKey, UNIX_PATH, UnixPath, flags, stats,
};

use crate::birth::{self, DNS_PORT};
use crate::kernel::{self, AF_INET, AF_INET6, AF_UNIX};
use crate::maps::{ANY_FDLESS, EVENTS, RECORDS, UNIX_FDS, UNIX_PATHS};
use crate::record;
use crate::{dns, emit, finish};

pub const SOCK_STREAM: u16 = 1;
const EADDRNOTAVAIL: i64 = 99;

/// Offsets in the record of a `sys_enter_*` / `sys_exit_*` tracepoint: 8 bytes of header, the number of the call,
/// then the arguments (or the result), 8 bytes each. The same on every 64-bit architecture since 2.6.
const ARGUMENT_0: usize = 16;
const RESULT: usize = 16;

/// `connect(fd, address, len)`.
#[tracepoint(category = "syscalls", name = "sys_enter_connect")]
pub fn sys_enter_connect(ctx: TracePointContext) -> u32 {
    let tgid = kernel::current_tgid();
    if !record::may_be_watched(tgid) {
        return 0;
    }
    let Some(worker) = record::serving(tgid) else { return 0 };
    // SAFETY: the three arguments lie within the tracepoint's record.
    let (fd, address, len) = unsafe {
        (
            ctx.read_at::<u64>(ARGUMENT_0).unwrap_or(0),
            ctx.read_at::<u64>(ARGUMENT_0 + 8).unwrap_or(0),
            ctx.read_at::<u64>(ARGUMENT_0 + 16).unwrap_or(0),
        )
    };
    // SAFETY: a map value, written by this thread only.
    unsafe {
        (*worker).connecting =
            Connecting { at_ns: emit::now(), address, len: len as u32, fd: fd as i32, socket: 0 }
    };
    0
}

/// Result of `connect()`.
#[tracepoint(category = "syscalls", name = "sys_exit_connect")]
pub fn sys_exit_connect(ctx: TracePointContext) -> u32 {
    let tgid = kernel::current_tgid();
    if !record::may_be_watched(tgid) {
        return 0;
    }
    let Some(call) = take_call(tgid) else { return 0 };
    // SAFETY: the result lies within the tracepoint's record.
    let result = unsafe { ctx.read_at::<i64>(RESULT) }.unwrap_or(0);
    returned(tgid, &call, result);
    0
}

/// The `connect()` that is under way in this process, which now ends.
#[inline(always)]
pub fn take_call(tgid: u32) -> Option<Connecting> {
    let worker = record::serving(tgid)?;
    // SAFETY: a map value, written by this thread only.
    unsafe {
        let call = (*worker).connecting;
        (*worker).connecting.at_ns = 0;
        if call.at_ns == 0 { None } else { Some(call) }
    }
}

/// `connect()` came back with this.
#[inline(always)]
pub fn returned(tgid: u32, call: &Connecting, result: i64) {
    match -result {
        0 => connected(tgid, call),
        // EINTR, EISCONN, EALREADY, EINPROGRESS: not an end.
        4 | 106 | 114 | 115 => {}
        errno => failed(tgid, call, errno),
    }
}

/// The socket of a call, and its type; 0 if it is none.
#[inline(always)]
fn socket_of(call: &Connecting) -> (u64, u16) {
    if call.socket == 0 { kernel::socket_of_fd(call.fd) } else { kernel::socket_parts(call.socket) }
}

/// `close(fd)`: the end of a unix connection. Attached only while nginx has unix upstreams.
#[tracepoint(category = "syscalls", name = "sys_enter_close")]
pub fn sys_enter_close(ctx: TracePointContext) -> u32 {
    let tgid = kernel::current_tgid();
    if !record::may_be_watched(tgid) {
        return 0;
    }
    // SAFETY: the argument lies within the tracepoint's record.
    let fd = unsafe { ctx.read_at::<u64>(ARGUMENT_0) }.unwrap_or(0) as i32;
    let key = FdKey { tgid, fd };
    // SAFETY: a plain copy of the value.
    let Some(sk) = (unsafe { UNIX_FDS.get(&key) }).copied() else {
        close_fdless(fd);
        return 0;
    };
    match RECORDS.get_ptr_mut(sk) {
        // SAFETY: a map value.
        Some(record) if unsafe { (*record).fd == fd && (*record).tgid == tgid } => {
            finish::finish(sk, record, End::Closed as u32, emit::now());
        }
        _ => {
            let _ = UNIX_FDS.remove(&key);
        }
    }
    0
}

/// The end of a connection that was taken over when it was first used.
#[inline(always)]
fn close_fdless(fd: i32) {
    if ANY_FDLESS.get(0).is_none_or(|any| *any == 0) {
        return;
    }
    let (sk, _) = kernel::socket_of_fd(fd);
    if sk != 0
        && let Some(record) = RECORDS.get_ptr_mut(sk)
        // SAFETY: a map value.
        && unsafe { (*record).flags } & flags::UNIX != 0
    {
        finish::finish(sk, record, End::Closed as u32, emit::now());
    }
}

/// Reads `len` bytes of the address that was passed, `at` bytes into it; the mask shows the verifier that they fit.
#[inline(always)]
fn read_address(to: *mut u8, len: u32, call: &Connecting, at: u64) -> bool {
    let from = (call.address + at) as *const _;
    // SAFETY: the helpers check `from`; `to` has room for 127 bytes by contract of the callers.
    unsafe {
        if call.socket == 0 {
            bpf_probe_read_user(to.cast(), len & 127, from) == 0
        } else {
            bpf_probe_read_kernel(to.cast(), len & 127, from) == 0
        }
    }
}

/// Family of the address that was passed.
#[inline(always)]
fn family_of(call: &Connecting) -> u16 {
    let mut family: u16 = 0;
    read_address((&raw mut family).cast(), 2, call, 0);
    family
}

/// Room for a whole mask's worth of bytes behind the family.
#[repr(C)]
pub struct PathBuffer {
    pub path: UnixPath,
    spare: [u8; 16],
}

#[inline(always)]
fn path_of(call: &Connecting, to: &mut PathBuffer) {
    let from = (call.address + 2) as *const _;
    let size = UNIX_PATH as u32;
    let bytes = to.path.bytes.as_mut_ptr();
    // A path in the file system ends at its NUL, which callers may or may not count; what is behind it is no part of it.
    // SAFETY: the helpers check `from`; `to` has room for UNIX_PATH bytes.
    let read = unsafe {
        if call.socket == 0 {
            bpf_probe_read_user_str(bytes.cast(), size, from)
        } else {
            bpf_probe_read_kernel_str(bytes.cast(), size, from)
        }
    };
    if read > 1 {
        to.path.len = read as u16 - 1;
        return;
    }
    // An abstract name begins with NUL.
    let len = call.len.saturating_sub(2);
    let len = if len > size { size } else { len };
    read_address(bytes, len, call, 2);
    to.path.len = len as u16;
}

pub const EMPTY_PATH: PathBuffer =
    PathBuffer { path: UnixPath { bytes: [0; UNIX_PATH], len: 0, pad: 0 }, spare: [0; 16] };

#[inline(never)]
fn connected(tgid: u32, call: &Connecting) {
    if family_of(call) != AF_UNIX {
        return;
    }
    let (sk, kind) = socket_of(call);
    if sk == 0 || kind != SOCK_STREAM {
        return;
    }
    let Some(worker) = record::worker(tgid) else { return };
    let mut buffer = EMPTY_PATH;
    path_of(call, &mut buffer);
    let path_id = number_of(&buffer.path, call.at_ns);
    emit::count(stats::ATTEMPTS, 1);
    let Some(record) = birth::create(sk, &Addr::of_path(path_id), call.at_ns) else { return };
    let now = emit::now();
    // SAFETY: a map value.
    unsafe {
        (*record).tgid = tgid;
        (*record).fd = call.fd;
        (*record).path_id = path_id;
        (*record).netns = record::netns(worker, sk);
        (*record).flags = flags::UNIX | flags::ESTABLISHED;
        (*record).established_ns = now;
        record::note(record, upstream_trace_common::StepKind::Established, now, 0);
        birth::take_client(record, worker, now);
        if let Some(counters) = record::counters(&*record) {
            record::add(&raw mut (*counters).established);
            (*counters).last_established_ns = now;
            if call.fd >= 0 {
                record::add_latency(&raw mut (*counters).connect, now.wrapping_sub(call.at_ns));
            }
        }
    }
    // Without it the end is found late, by user space.
    if call.fd >= 0 && UNIX_FDS.insert(FdKey { tgid, fd: call.fd }, sk, 0).is_err() {
        emit::count(stats::LOST_EVENTS, 1);
    }
}

/// The number of a unix path, given at its first use.
#[inline(always)]
pub fn number_of(path: &UnixPath, now: u64) -> u32 {
    // SAFETY: a plain copy of the value; values never change.
    if let Some(id) = unsafe { UNIX_PATHS.get(path) } {
        return *id;
    }
    // The time in steps of 16 ns: two paths would have to be met in the same step, 68 s apart.
    let id = (now >> 4) as u32 | 1;
    if UNIX_PATHS.insert(path, id, 1).is_err() {
        // SAFETY: as above.
        return unsafe { UNIX_PATHS.get(path) }.copied().unwrap_or(0);
    }
    id
}

#[inline(never)]
fn failed(tgid: u32, call: &Connecting, errno: i64) {
    let Some(worker) = record::worker(tgid) else { return };
    let (sk, kind) = socket_of(call);
    if sk != 0 && kind != SOCK_STREAM {
        // syslog, the resolver's UDP.
        return;
    }
    let family = family_of(call);
    let now = emit::now();
    let Some(mut entry) = EVENTS.reserve::<ConnectFailed>(0) else {
        // Unless TCP had begun and was counted: then the record ends here, too.
        if sk == 0 || RECORDS.remove(sk).is_err() {
            emit::count(stats::ATTEMPTS, 1);
        }
        emit::count(stats::LOST_RING, 1);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: reserved memory of that type, all of it written; map values.
    unsafe {
        event.write(core::mem::zeroed());
        (*event).header.now_ns = now;
        (*event).header.kind = EventKind::ConnectFailed as u32;
        (*event).header.tgid = tgid;
        (*event).id = birth::next_id(now);
        (*event).took_ns = now.wrapping_sub(call.at_ns);
        (*event).errno = errno as u32;
        (*event).netns = if sk == 0 { 0 } else { kernel::netns(sk) };
        let known = address(call, family, &mut (*event).remote, &mut (*event).path);
        // A key in the ring buffer's memory is refused before 5.16.
        let remote = (*event).remote;
        if !known || remote.port == DNS_PORT || dns::is_resolver(&remote) {
            entry.discard(0);
            return;
        }
        let mut counted = false;
        if sk != 0
            && let Some(record) = RECORDS.get_ptr_mut(sk)
        {
            (*event).id = (*record).id;
            (*event).retry_of = (*record).retry_of;
            (*event).had_syn_sent = u32::from(errno == EADDRNOTAVAIL);
            let _ = RECORDS.remove(sk);
            counted = true;
        } else if (*worker).armed != 0 && now.wrapping_sub((*worker).armed_ns) < 20_000_000 {
            (*event).retry_of = (*worker).armed;
        }
        if !counted {
            emit::count(stats::ATTEMPTS, 1);
            if family != AF_UNIX
                && let Some(counters) = birth::upstream(&remote)
            {
                record::add(&raw mut (*counters).attempts);
            }
        }
        if (*event).retry_of == 0 {
            (*worker).armed_client = (*worker).client;
            (*worker).armed_client_key = (*worker).client_key;
        }
        (*worker).armed = (*event).id;
        (*worker).armed_ns = now;
    }
    entry.submit(emit::wakeup());
    emit::count(stats::REPORTED, 1);
}

/// The address that was passed to `connect()`; false if it is of no family of ours.
#[inline(always)]
fn address(call: &Connecting, family: u16, remote: &mut Addr, path: &mut UnixPath) -> bool {
    remote.family = family;
    match family {
        AF_UNIX => {
            let mut buffer = EMPTY_PATH;
            path_of(call, &mut buffer);
            *path = buffer.path;
            true
        }
        AF_INET => {
            read_address((&raw mut remote.port).cast(), 2, call, 2);
            remote.port = u16::from_be(remote.port);
            read_address(remote.ip.as_mut_ptr(), 4, call, 4)
        }
        AF_INET6 => {
            read_address((&raw mut remote.port).cast(), 2, call, 2);
            remote.port = u16::from_be(remote.port);
            read_address(remote.ip.as_mut_ptr(), 16, call, 8)
        }
        _ => false,
    }
}
