//! The functions of `fentry.rs` where the kernel has kprobes and no fentry. The return of a function does not tell
//! its arguments, so they are kept from its entry: a worker calls from one thread only.

use aya_ebpf::macros::{kprobe, kretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use upstream_trace_common::{InflightConnect, InflightIo};

use crate::{config, connect, emit, errors, kernel, sendrecv, unix, worker};

#[kprobe(function = "inet_stream_connect")]
pub fn inet_stream_connect_kprobe(ctx: ProbeContext) -> u32 {
    connecting(&ctx)
}

#[kprobe(function = "unix_stream_connect")]
pub fn unix_stream_connect_kprobe(ctx: ProbeContext) -> u32 {
    connecting(&ctx)
}

#[kprobe(function = "security_socket_connect")]
pub fn security_socket_connect_kprobe(ctx: ProbeContext) -> u32 {
    connecting(&ctx)
}

/// A function that connects was called.
#[inline(always)]
fn connecting(ctx: &ProbeContext) -> u32 {
    let tgid = kernel::current_tgid();
    if !worker::may_be_watched(tgid) {
        return 0;
    }
    let Some(worker) = worker::serving(tgid) else { return 0 };
    let argument = |index| ctx.arg::<u64>(index).unwrap_or(0);
    let (socket, address, len) = (argument(0), argument(1), argument(2) as u32);
    // SAFETY: a map value, written by this thread only.
    unsafe {
        (*worker).inflight_connect = InflightConnect { at_ns: emit::now(), address, len, fd: -1, socket }
    };
    0
}

#[kretprobe(function = "inet_stream_connect")]
pub fn inet_stream_connect_kretprobe(ctx: RetProbeContext) -> u32 {
    connected(ctx.ret::<u64>() as i32)
}

#[kretprobe(function = "unix_stream_connect")]
pub fn unix_stream_connect_kretprobe(ctx: RetProbeContext) -> u32 {
    connected(ctx.ret::<u64>() as i32)
}

#[kretprobe(function = "security_socket_connect")]
pub fn security_socket_connect_kretprobe(ctx: RetProbeContext) -> u32 {
    let result = ctx.ret::<u64>() as i32;
    if result < 0 { connected(result) } else { 0 }
}

/// A function that connects returned.
#[inline(always)]
fn connected(result: i32) -> u32 {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid)
        && let Some(call) = connect::take_inflight(tgid)
    {
        connect::returned(tgid, &call, i64::from(result));
    }
    0
}

#[kprobe(function = "unix_release")]
pub fn unix_release_kprobe(ctx: ProbeContext) -> u32 {
    unix::released(ctx.arg(0).unwrap_or(0));
    0
}

#[kprobe(function = "tcp_sendmsg")]
pub fn tcp_sendmsg_kprobe(ctx: ProbeContext) -> u32 {
    sending(ctx.arg(0).unwrap_or(0))
}

#[kprobe(function = "tcp_sendpage")]
pub fn tcp_sendpage_kprobe(ctx: ProbeContext) -> u32 {
    sending(ctx.arg(0).unwrap_or(0))
}

#[kprobe(function = "unix_stream_sendmsg")]
pub fn unix_stream_sendmsg_kprobe(ctx: ProbeContext) -> u32 {
    sending(kernel::socket_sk(ctx.arg(0).unwrap_or(0)))
}

#[kprobe(function = "unix_stream_sendpage")]
pub fn unix_stream_sendpage_kprobe(ctx: ProbeContext) -> u32 {
    sending(kernel::socket_sk(ctx.arg(0).unwrap_or(0)))
}

#[kprobe(function = "tcp_recvmsg")]
pub fn tcp_recvmsg_kprobe(ctx: ProbeContext) -> u32 {
    let argument = |index| ctx.arg::<u64>(index).unwrap_or(0);
    calling(InflightIo { sk: argument(0), flags: argument(3), fifth: argument(4) })
}

#[kprobe(function = "unix_stream_recvmsg")]
pub fn unix_stream_recvmsg_kprobe(ctx: ProbeContext) -> u32 {
    let flags = ctx.arg(3).unwrap_or(0);
    calling(InflightIo { sk: kernel::socket_sk(ctx.arg(0).unwrap_or(0)), flags, fifth: flags })
}

/// A function that sends was called.
#[inline(always)]
fn sending(sk: u64) -> u32 {
    calling(InflightIo { sk, flags: 0, fifth: 0 })
}

/// Keeps the arguments of a call until it returns.
#[inline(always)]
fn calling(call: InflightIo) -> u32 {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid)
        && let Some(worker) = worker::get(tgid)
    {
        // SAFETY: a map value, written by this thread only.
        unsafe { (*worker).inflight_io = call };
    }
    0
}

/// The call in flight in this process, which now returns.
#[inline(always)]
fn take_inflight(tgid: u32) -> Option<InflightIo> {
    let worker = worker::get(tgid)?;
    // SAFETY: a map value, written by this thread only.
    unsafe {
        let call = (*worker).inflight_io;
        (*worker).inflight_io.sk = 0;
        if call.sk == 0 { None } else { Some(call) }
    }
}

/// The return of every function that sends.
#[kretprobe]
pub fn send_kretprobe(ctx: RetProbeContext) -> u32 {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid)
        && let Some(call) = take_inflight(tgid)
    {
        sendrecv::send_returned(call.sk, tgid, ctx.ret::<u64>() as i32);
    }
    0
}

/// The return of every function that receives.
#[kretprobe]
pub fn receive_kretprobe(ctx: RetProbeContext) -> u32 {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid)
        && let Some(call) = take_inflight(tgid)
    {
        let flags = if config::recvmsg_nonblock() == 0 { call.flags } else { call.fifth };
        sendrecv::receive_returned(call.sk, tgid, ctx.ret::<u64>() as i32, flags as u32);
    }
    0
}

#[kprobe(function = "sock_queue_err_skb")]
pub fn sock_queue_err_skb_kprobe(ctx: ProbeContext) -> u32 {
    errors::error_queued(ctx.arg(0).unwrap_or(0), ctx.arg(1).unwrap_or(0));
    0
}
