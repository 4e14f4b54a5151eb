//! What nginx sends and receives, on sockets of upstreams, clients and name servers.
//!
//! `sock_send_length` and `sock_recv_length` (6.3) see every family and way of sending in one place. They run for
//! every socket of the host, so a process that is not watched must leave at once.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use upstream_trace_common::Record;

use crate::kernel::{self, AF_UNIX, EAGAIN, EPIPE, Head};
use crate::maps::io_since;
use crate::stand_in::{self, Place};
use crate::{adopt, client, dns, records, request, response, under_way, unix, worker};

/// Whose socket a watched process used.
enum Side {
    /// An upstream's, with its record.
    Upstream(*mut Record),
    /// A client's.
    Client,
    /// A name server's, or one that has no record yet.
    Other,
}

/// (struct sock *sk, int ret, int flags), 6.3 to 7.2.
#[raw_tracepoint(tracepoint = "sock_send_length")]
pub fn sock_send_length(ctx: RawTracePointContext) -> i32 {
    stand_in::handled(Place::Send, &ctx);
    sent(&ctx);
    0
}

/// The same.
#[raw_tracepoint(tracepoint = "sock_send_length")]
pub fn sock_send_length_stand_in(ctx: RawTracePointContext) -> i32 {
    if stand_in::is_left_out(Place::Send, &ctx) {
        sent(&ctx);
    }
    0
}

/// A process sent something, or tried to.
#[inline(always)]
fn sent(ctx: &RawTracePointContext) {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid) {
        send_returned(ctx.arg(0), tgid, ctx.arg::<u64>(1) as i32);
    }
}

/// A watched process sent through this socket, or tried to.
#[inline(always)]
pub fn send_returned(sk: u64, tgid: u32, ret: i32) {
    if io_since() == 0 {
        return;
    }
    let head = kernel::head(sk);
    match side(sk, &head) {
        Side::Upstream(record) if !unix::is_replaced(sk, record) => {
            if under_way::catch_up(sk, record, ret, false) {
                request::sent(&head, record, tgid, ret);
            }
        }
        Side::Client if ret > 0 => client::was_sent_to(tgid),
        Side::Other | Side::Upstream(_) if head.family == AF_UNIX => {
            // The peer may have closed before anything was sent.
            if (ret > 0 || ret == EPIPE)
                && let Some(record) = unix::first_sent(sk, tgid)
            {
                request::sent(&head, record, tgid, ret);
            }
        }
        Side::Client | Side::Upstream(_) => {}
        Side::Other => drop(dns::exchanged(sk, tgid, ret, 1)),
    }
}

/// (struct sock *sk, int ret, int flags), 6.3 to 7.2.
#[raw_tracepoint(tracepoint = "sock_recv_length")]
pub fn sock_recv_length(ctx: RawTracePointContext) -> i32 {
    stand_in::handled(Place::Receive, &ctx);
    received(&ctx);
    0
}

/// The same.
#[raw_tracepoint(tracepoint = "sock_recv_length")]
pub fn sock_recv_length_stand_in(ctx: RawTracePointContext) -> i32 {
    if stand_in::is_left_out(Place::Receive, &ctx) {
        received(&ctx);
    }
    0
}

/// A process read something, or tried to.
#[inline(always)]
fn received(ctx: &RawTracePointContext) {
    let (sk, ret, how): (u64, u64, u64) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    if ret as i32 == EAGAIN {
        return;
    }
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid) {
        receive_returned(sk, tgid, ret as i32, how as u32);
    }
}

/// A watched process read from this socket, or tried to; `how` are the flags of the call.
#[inline(always)]
pub fn receive_returned(sk: u64, tgid: u32, ret: i32, how: u32) {
    // Nothing to read is no failure: OpenSSL always reads until there is nothing more.
    if ret == EAGAIN || io_since() == 0 {
        return;
    }
    let head = kernel::head(sk);
    match side(sk, &head) {
        Side::Upstream(record) => {
            if under_way::catch_up(sk, record, ret, true) {
                response::received(sk, record, tgid, ret, how);
            }
        }
        Side::Client if ret > 0 => client::spoke(sk, &head, tgid),
        Side::Client => {}
        Side::Other => drop(dns::exchanged(sk, tgid, ret, 0)),
    }
}

/// Whose socket this is.
#[inline(always)]
fn side(sk: u64, head: &Head) -> Side {
    /// Local ports below this one are never given to outgoing connections.
    const FIRST_EPHEMERAL: u16 = 1024;
    let internet = head.is_internet();
    let listening = internet && worker::is_listening(head.num);
    if listening && head.num < FIRST_EPHEMERAL {
        return Side::Client;
    }
    // A port says nothing of another address or network namespace, nor of when nginx listened there; a record does.
    let record = if internet { adopt::find(sk) } else { records::find(sk) };
    match record {
        Some(record) => Side::Upstream(record),
        None if listening => Side::Client,
        None => Side::Other,
    }
}
