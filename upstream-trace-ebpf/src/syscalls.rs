//! Tracepoints of system calls, for kernels that let us watch no functions. They slow every system call of the host a
//! little, so they are attached only where nothing else shows what is needed.

use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use upstream_trace_common::InflightConnect;

use crate::{connect, emit, kernel, unix, worker};

/// Offsets in the record of a `sys_enter_*` / `sys_exit_*` tracepoint: 8 bytes of header, the number of the call,
/// then the arguments (or the result), 8 bytes each. The same on every 64-bit architecture since 2.6.
const ARGUMENT_0: usize = 16;
/// See [`ARGUMENT_0`].
const RESULT: usize = 16;

/// `connect(fd, address, len)`.
#[tracepoint(category = "syscalls", name = "sys_enter_connect")]
pub fn sys_enter_connect(ctx: TracePointContext) -> u32 {
    let tgid = kernel::current_tgid();
    if !worker::may_be_watched(tgid) {
        return 0;
    }
    let Some(worker) = worker::serving(tgid) else { return 0 };
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
        (*worker).inflight_connect =
            InflightConnect { at_ns: emit::now(), address, len: len as u32, fd: fd as i32, socket: 0 }
    };
    0
}

/// Result of `connect()`.
#[tracepoint(category = "syscalls", name = "sys_exit_connect")]
pub fn sys_exit_connect(ctx: TracePointContext) -> u32 {
    let tgid = kernel::current_tgid();
    if !worker::may_be_watched(tgid) {
        return 0;
    }
    let Some(call) = connect::take_inflight(tgid) else { return 0 };
    // SAFETY: the result lies within the tracepoint's record.
    let result = unsafe { ctx.read_at::<i64>(RESULT) }.unwrap_or(0);
    connect::returned(tgid, &call, result);
    0
}

/// `close(fd)`: the end of a unix connection. Attached only while nginx has unix upstreams.
#[tracepoint(category = "syscalls", name = "sys_enter_close")]
pub fn sys_enter_close(ctx: TracePointContext) -> u32 {
    let tgid = kernel::current_tgid();
    if !worker::may_be_watched(tgid) {
        return 0;
    }
    // SAFETY: the argument lies within the tracepoint's record.
    let fd = unsafe { ctx.read_at::<u64>(ARGUMENT_0) }.unwrap_or(0) as i32;
    unix::closed(tgid, fd);
    0
}
