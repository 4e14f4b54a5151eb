//! What becomes of a record at its end. Only what is provably healthy, or was ended by the client or by the exit of
//! the worker, stays in the kernel.

use upstream_trace_common::{End, Record, flags};

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Counted only.
    Healthy,
    /// Counted only: nobody waits for an answer any more.
    Aborted,
    /// Sent.
    Report,
    /// Healthy, unless nginx now cuts the client off: then the answer had stalled.
    Park,
    /// None of its own to tell, but it was reported to be in trouble, so that its end is sent.
    Announced,
}

/// An answer that paused for longer than this before nginx closed may have stalled. A pool entry that nginx closes
/// because it idled looks the same until nginx's next step is seen.
const STALL_NS: u64 = 100_000_000;

/// nginx reads what a client says and acts on it in the same turn of its event loop.
const CLIENT_SPOKE_NS: u64 = 2_000_000;

/// Whether what the client did explains why nginx closed.
pub fn client_spoke(record: &Record, spoke_ns: u64, now: u64) -> bool {
    let begun = if record.request_ns > record.born_ns { record.request_ns } else { record.born_ns };
    now.wrapping_sub(spoke_ns) < CLIENT_SPOKE_NS && spoke_ns > begun + 1_000_000
}

#[inline(always)]
pub fn fate(record: &Record, now: u64) -> Fate {
    let has = |bits: u32| record.flags & bits != 0;
    if has(flags::CLIENT_GONE) {
        return Fate::Aborted;
    }
    if !has(flags::ESTABLISHED) || has(flags::TLS_HANDSHAKE) {
        return Fate::Report;
    }
    if has(flags::RESET_RECEIVED) || record.tcp.err != 0 {
        return after_reset(record);
    }
    if has(flags::SENT_AFTER_FIN) {
        return Fate::Report;
    }
    if has(flags::UNIX) && has(flags::SEND_ERROR) && !has(flags::SEND_BLOCKED) {
        // The peer of a pooled unix connection had closed it: there is no FIN to see, only EPIPE.
        return Fate::Report;
    }
    if has(flags::OUTSTANDING) {
        return if left_unread(record) { Fate::Healthy } else { Fate::Report };
    }
    if has(flags::FIN_RECEIVED) {
        return if record.requests == 0 && has(flags::READ_EOF) { Fate::Report } else { Fate::Healthy };
    }
    if record.requests > 0
        && record.end == End::Closed as u8
        && has(flags::CLIENT_KNOWN)
        && now.wrapping_sub(record.last_recv_ns) > STALL_NS
    {
        return Fate::Park;
    }
    Fate::Healthy
}

/// The answer had arrived, and nginx closed without reading it: it had no use for it any more.
#[inline(always)]
fn left_unread(record: &Record) -> bool {
    let fin = u32::from(record.flags & flags::FIN_RECEIVED != 0);
    let unread = record.tcp.rcv_nxt.wrapping_sub(record.tcp.copied_seq).saturating_sub(fin);
    let looked = flags::READ_EOF | flags::SEND_ERROR | flags::SEND_BLOCKED | flags::RECV_ERROR;
    record.flags & (flags::UNIX | looked) == 0 && unread > 0 && record.end == End::Closed as u8
}

/// It was over before nginx could send a request on it.
#[inline(always)]
pub fn found_dead(record: &Record) -> bool {
    let has = |bits: u32| record.flags & bits != 0;
    let refused = has(flags::UNIX) && has(flags::SEND_ERROR);
    let reset = has(flags::RESET_RECEIVED) && !has(flags::RECV_ERROR);
    record.requests > 0 && !has(flags::OUTSTANDING) && (refused || reset)
}

/// A reset hurts only if nginx wanted something of the connection.
#[inline(always)]
fn after_reset(record: &Record) -> Fate {
    let has = |bits: u32| record.flags & bits != 0;
    let in_use = flags::OUTSTANDING | flags::SEND_ERROR | flags::RECV_ERROR | flags::SENT_AFTER_FIN;
    if has(in_use) || record.requests == 0 || has(flags::ERROR_FETCHED) {
        return Fate::Report;
    }
    Fate::Healthy
}
