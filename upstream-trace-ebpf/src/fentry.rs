//! Functions of the kernel, watched through fentry and fexit: better hooks than tracepoints of system calls, and the
//! only ones where a kernel has no tracepoint. Each is called through a pointer or from another file, so that no
//! compiler can have put it into its caller, where it would not be seen.

use core::arch::asm;

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use upstream_trace_common::InflightConnect;

use crate::stand_in::{self, Place};
use crate::{config, connect, emit, errors, kernel, sendrecv, unix, worker};

/// int inet_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int flags), 3.x to 7.2.
#[fexit(function = "inet_stream_connect")]
pub fn inet_stream_connect_fexit(ctx: FExitContext) -> i32 {
    connected(ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg::<u64>(4) as i32)
}

/// int unix_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int flags), 3.x to 7.2.
#[fexit(function = "unix_stream_connect")]
pub fn unix_stream_connect_fexit(ctx: FExitContext) -> i32 {
    stand_in::handled(Place::UnixConnect, &ctx);
    unix_connected(&ctx)
}

/// The same.
#[fexit(function = "unix_stream_connect")]
pub fn unix_stream_connect_fexit_stand_in(ctx: FExitContext) -> i32 {
    if stand_in::is_left_out(Place::UnixConnect, &ctx) { unix_connected(&ctx) } else { 0 }
}

/// The function returned.
#[inline(always)]
fn unix_connected(ctx: &FExitContext) -> i32 {
    connected(ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg::<u64>(4) as i32)
}

/// A function that connects returned.
#[inline(always)]
fn connected(socket: u64, address: u64, len: u64, result: i32) -> i32 {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid) && worker::serving(tgid).is_some() {
        let call = InflightConnect { at_ns: emit::now(), address, len: len as u32, fd: -1, socket };
        connect::returned(tgid, &call, i64::from(result));
    }
    0
}

/// int security_socket_connect(struct socket *sock, struct sockaddr *address, int addrlen), 3.x to 7.2. What it
/// refuses never gets to the two above.
#[fexit(function = "security_socket_connect")]
pub fn security_socket_connect_fexit(ctx: FExitContext) -> i32 {
    let result = ctx.arg::<u64>(3) as i32;
    if result < 0 { connected(ctx.arg(0), ctx.arg(1), ctx.arg(2), result) } else { 0 }
}

/// int unix_release(struct socket *sock), 3.x to 7.2: the end of a unix connection.
#[fentry(function = "unix_release")]
pub fn unix_release_fentry(ctx: FEntryContext) -> i32 {
    stand_in::handled(Place::UnixRelease, &ctx);
    unix::released(ctx.arg(0));
    0
}

/// The same.
#[fentry(function = "unix_release")]
pub fn unix_release_fentry_stand_in(ctx: FEntryContext) -> i32 {
    if stand_in::is_left_out(Place::UnixRelease, &ctx) {
        unix::released(ctx.arg(0));
    }
    0
}

/// int tcp_sendmsg(struct sock *sk, struct msghdr *msg, size_t size), 4.1 to 7.2.
#[fexit(function = "tcp_sendmsg")]
pub fn tcp_sendmsg_fexit(ctx: FExitContext) -> i32 {
    sent(ctx.arg(0), ctx.arg::<u64>(3))
}

/// int tcp_sendpage(struct sock *sk, struct page *page, int offset, size_t size, int flags), up to 6.4: `sendfile()`.
#[fexit(function = "tcp_sendpage")]
pub fn tcp_sendpage_fexit(ctx: FExitContext) -> i32 {
    sent(ctx.arg(0), ctx.arg::<u64>(5))
}

/// int unix_stream_sendmsg(struct socket *sock, struct msghdr *msg, size_t len), 4.1 to 7.2.
#[fexit(function = "unix_stream_sendmsg")]
pub fn unix_stream_sendmsg_fexit(ctx: FExitContext) -> i32 {
    unix_sent(ctx.arg(0), ctx.arg::<u64>(3))
}

/// ssize_t unix_stream_sendpage(struct socket *sock, struct page *page, int offset, size_t size, int flags), up to 6.4.
#[fexit(function = "unix_stream_sendpage")]
pub fn unix_stream_sendpage_fexit(ctx: FExitContext) -> i32 {
    unix_sent(ctx.arg(0), ctx.arg::<u64>(5))
}

/// int tcp_recvmsg(struct sock *sk, struct msghdr *msg, size_t len[, int nonblock (before 5.19)], int flags,
/// int *addr_len).
#[fexit(function = "tcp_recvmsg")]
pub fn tcp_recvmsg_fexit(ctx: FExitContext) -> i32 {
    let tgid = kernel::current_tgid();
    if !worker::may_be_watched(tgid) {
        return 0;
    }
    let (flags, result): (u64, u64);
    // The compiler would make one load at an offset that depends on the condition, which the verifier refuses.
    // SAFETY: loads from the context; the verifier walks only the branch whose arguments the function has.
    unsafe {
        if config::recvmsg_nonblock() == 0 {
            asm!("{0} = *(u64 *)({1} + 24)", out(reg) flags, in(reg) ctx.as_ptr());
            asm!("{0} = *(u64 *)({1} + 40)", out(reg) result, in(reg) ctx.as_ptr());
        } else {
            asm!("{0} = *(u64 *)({1} + 32)", out(reg) flags, in(reg) ctx.as_ptr());
            asm!("{0} = *(u64 *)({1} + 48)", out(reg) result, in(reg) ctx.as_ptr());
        }
    }
    sendrecv::receive_returned(ctx.arg(0), tgid, result as i32, flags as u32);
    0
}

/// int unix_stream_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags), 4.1 to 7.2.
#[fexit(function = "unix_stream_recvmsg")]
pub fn unix_stream_recvmsg_fexit(ctx: FExitContext) -> i32 {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid) {
        let (flags, result): (u64, u64) = (ctx.arg(3), ctx.arg(4));
        sendrecv::receive_returned(kernel::socket_sk(ctx.arg(0)), tgid, result as i32, flags as u32);
    }
    0
}

/// A function that sends over TCP returned.
#[inline(always)]
fn sent(sk: u64, result: u64) -> i32 {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid) {
        sendrecv::send_returned(sk, tgid, result as i32);
    }
    0
}

/// A function that sends over a unix socket returned.
#[inline(always)]
fn unix_sent(socket: u64, result: u64) -> i32 {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid) {
        sendrecv::send_returned(kernel::socket_sk(socket), tgid, result as i32);
    }
    0
}

/// int sock_queue_err_skb(struct sock *sk, struct sk_buff *skb), 3.x to 7.2.
#[fentry(function = "sock_queue_err_skb")]
pub fn sock_queue_err_skb_fentry(ctx: FEntryContext) -> i32 {
    errors::error_queued(ctx.arg(0), ctx.arg(1));
    0
}
