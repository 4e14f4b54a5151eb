//! TCP states: birth, handshake, FIN, and every way to end.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use upstream_trace_common::{End, Moment, Record, StepKind, flags, stats};

use crate::kernel::{
    self, SHUTDOWN_BOTH, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_LAST_ACK,
    TCP_SYN_SENT,
};
use crate::maps::{LISTENING, io_since};
use crate::stand_in::{self, Place};
use crate::trail::note;
use crate::{adopt, birth, client, closers, counters, emit, exchange, finish, records, under_way, worker};

/// (const struct sock *sk, const int oldstate, const int newstate), 4.16 to 7.2.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: RawTracePointContext) -> i32 {
    stand_in::handled(Place::State, &ctx);
    state_set(&ctx);
    0
}

/// The same.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn inet_sock_set_state_stand_in(ctx: RawTracePointContext) -> i32 {
    if stand_in::is_left_out(Place::State, &ctx) {
        state_set(&ctx);
    }
    0
}

/// A TCP socket of this host changes its state.
#[inline(always)]
fn state_set(ctx: &RawTracePointContext) {
    let (sk, old, new): (u64, u64, u64) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    let (old, new) = (old as u8, new as u8);
    match (old, new) {
        (TCP_CLOSE, TCP_SYN_SENT) => begins(sk),
        (TCP_CLOSE, kernel::TCP_LISTEN) => listens(sk),
        (TCP_SYN_SENT | TCP_ESTABLISHED | TCP_CLOSE_WAIT, _) => changes(sk, old, new),
        _ => {}
    }
}

/// (struct sock *sk), 4.16 to 7.2. What is left here was closed by an error before nginx closed it.
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
pub fn tcp_destroy_sock(ctx: RawTracePointContext) -> i32 {
    let sk: u64 = ctx.arg(0);
    match records::find(sk) {
        Some(record) => {
            finish::finish(sk, record, End::Destroyed as u32, emit::now());
        }
        None => never_connected(sk),
    }
    0
}

/// A worker gives up a socket without a record. If it has no port on either side, `connect()` failed before there was
/// anything to see.
#[inline(always)]
fn never_connected(sk: u64) {
    let tgid = kernel::current_tgid();
    if !worker::may_be_watched(tgid) {
        return;
    }
    let Some(worker) = worker::serving(tgid) else { return };
    let head = kernel::head(sk);
    if !head.is_internet() {
        return;
    }
    if head.is_unconnected() {
        emit::count(stats::UNCONNECTED, 1);
        // SAFETY: a map value.
    } else if unsafe { (*worker).retry_candidate.id } != 0
        && io_since() == 0
        && worker::is_listening(kernel::own_port(sk, &head))
    {
        // A client that a reset had closed before.
        client::closed(sk, TCP_CLOSE, tgid);
    }
}

/// A socket goes to `SYN_SENT`.
#[inline(always)]
fn begins(sk: u64) {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid) {
        birth::tcp(sk, tgid, flags::BORN_BY_STATE);
    }
}

/// A watched process listens: connections on that port are clients.
#[inline(always)]
fn listens(sk: u64) {
    let tgid = kernel::current_tgid();
    if worker::may_be_watched(tgid)
        && worker::get(tgid).is_some()
        && let Some(flag) = LISTENING.get_ptr_mut(u32::from(kernel::local_port(sk)))
    {
        // SAFETY: a map value.
        unsafe { *flag = 1 };
    }
}

/// A connecting or connected socket changes its state.
#[inline(always)]
fn changes(sk: u64, old: u8, new: u8) {
    let Some(record) = adopt::find(sk) else {
        // Most of these are other programs' sockets, and need no further look.
        if client::is_close(old, new) {
            let tgid = kernel::current_tgid();
            if worker::may_be_watched(tgid) && kernel::shutdown(sk) == SHUTDOWN_BOTH {
                client::closed(sk, old, tgid);
            }
            closers::closes(sk, old);
        }
        return;
    };
    if new == TCP_ESTABLISHED || is_behind(record, old) {
        catch_up(sk, record, old);
    }
    let is_close = matches!(new, TCP_FIN_WAIT1 | TCP_LAST_ACK | TCP_CLOSE);
    if is_close && kernel::shutdown(sk) == SHUTDOWN_BOTH {
        if !finish::finish_answered(sk, record) {
            finish::finish(sk, record, End::Closed as u32, emit::now());
        }
        return;
    }
    match (old, new) {
        (TCP_ESTABLISHED, TCP_CLOSE_WAIT) => {
            let now = emit::now();
            if fin(sk, record, now) == 0 {
                under_way::decide(sk, record, Moment::Fin, now);
            }
        }
        // A half-closed connection (stream{} with proxy_half_close) goes on.
        (_, TCP_CLOSE) => fails(sk, record, old, emit::now()),
        _ => {}
    }
}

/// The socket has been through more than its record knows: the kernel had left out a run.
#[inline(always)]
fn is_behind(record: *mut Record, old: u8) -> bool {
    // SAFETY: a map value.
    let seen = unsafe { (*record).flags };
    let has = flags::ESTABLISHED | if old == TCP_CLOSE_WAIT { flags::FIN_RECEIVED } else { 0 };
    old != TCP_SYN_SENT && seen & has != has
}

/// Notes that it was established, and that the FIN came if it was in [`TCP_CLOSE_WAIT`].
#[inline(never)]
fn catch_up(sk: u64, record: *mut Record, old: u8) -> u32 {
    let now = emit::now();
    // SAFETY: a map value.
    let seen = unsafe { (*record).flags };
    if seen & flags::ESTABLISHED == 0 {
        established(sk, record, now);
    }
    if old == TCP_CLOSE_WAIT && seen & flags::FIN_RECEIVED == 0 {
        fin(sk, record, now);
    }
    0
}

/// The TCP handshake finished.
#[inline(always)]
fn established(sk: u64, record: *mut Record, now: u64) {
    // SAFETY: a map value.
    unsafe {
        (*record).flags |= flags::ESTABLISHED;
        (*record).flags &= !flags::RETRANSMITTED;
        (*record).established_ns = now;
        kernel::local(sk, &kernel::head(sk), &mut (*record).local);
        note(record, StepKind::Established, now, 0);
        if let Some(counters) = counters::get(&(*record).remote) {
            counters::add(&raw mut (*counters).established);
            (*counters).last_established_ns = now;
            counters::add_latency(&raw mut (*counters).connect, now.wrapping_sub((*record).born_ns));
        }
    }
}

/// The origin's FIN arrived; 0 if it is left to decide whether a request was under way. (Apart, and without a call, since
/// what it reads takes half of the stack that programs have together.)
#[inline(never)]
fn fin(sk: u64, record: *mut Record, now: u64) -> u32 {
    let exchange = exchange::of(sk);
    // SAFETY: a map value.
    unsafe {
        (*record).flags |= flags::FIN_RECEIVED;
        if exchange.unacked > 0 {
            (*record).flags |= flags::UNACKED_AT_END;
        }
        (*record).fin_ns = now;
        note(record, StepKind::Fin, now, exchange.unacked as i32);
    }
    u32::from(under_way::decide_exchange(record, &exchange, now))
}

/// A socket was closed by an error, or the handshake failed; nginx learns of it now and closes the socket next:
/// `tcp_destroy_sock`.
#[inline(always)]
fn fails(sk: u64, record: *mut Record, old: u8, now: u64) {
    let error = kernel::error(sk);
    // SAFETY: a map value.
    unsafe {
        (*record).tcp.err = error;
        if error != 0 {
            note(record, StepKind::Error, now, error as i32);
        } else if old == TCP_SYN_SENT && (*record).flags & (flags::ICMP | flags::RESET_RECEIVED) == 0 {
            // Of an error that came from outside nginx may have heard already, and fetched it: ICMP is reported twice, and
            // the first time is before this.
            (*record).flags |= flags::NO_LOCAL_PORT;
        }
    }
}
