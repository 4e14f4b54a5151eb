//! Connections on which nobody watches what nginx sends and receives: at the end, the socket itself tells whether a
//! request was under way.
//!
//! The hooks on send and receive come and go. What they noted on a record counts only while they have been attached
//! without a gap: `IO_SINCE` is a new number each time.

use upstream_trace_common::{GOODBYE, Moment, Record, UnderWay, flags};

use crate::exchange::Exchange;
use crate::kernel;
use crate::maps::io_since;
use crate::retry;

/// What the hooks on send and receive note, and what is void once they were away.
const NOTED: u32 = flags::OUTSTANDING
    | flags::SEND_BLOCKED
    | flags::SEND_ERROR
    | flags::RECV_ERROR
    | flags::READ_EOF
    | flags::IDLE_PROBE
    | flags::SENT_AFTER_FIN
    | flags::TLS_HANDSHAKE
    | flags::CLIENT_KNOWN
    | flags::BY_SOCKET
    | flags::IN_DOUBT
    | flags::DECIDED
    | flags::SILENT;

/// Whether the hooks on send and receive saw all of the request that this record is about.
#[inline(always)]
pub fn is_watched(record: *const Record) -> bool {
    let since = io_since();
    // SAFETY: callers pass a map value.
    since != 0 && unsafe { (*record).io_since } == since
}

/// Decides from the socket whether a request is under way, unless the hooks on send and receive saw it. At the arrival of
/// a FIN or a RST that is kept, since the end overwrites what it rests on.
#[inline(always)]
pub fn decide(sk: u64, record: *mut Record, moment: Moment, now: u64) {
    if is_watched(record) {
        return;
    }
    // SAFETY: callers pass a map value.
    unsafe {
        if (*record).flags & flags::ESTABLISHED == 0 {
            // Only sends and receives made these.
            (*record).flags &= !(NOTED & !flags::CLIENT_KNOWN);
        } else if (*record).flags & flags::DECIDED != 0 {
            sent_since_fin(sk, record);
        } else {
            read(sk, record, moment as u32, now);
        }
    }
}

/// Decides the commonest case at a FIN, one exchange that is over, from what `exchange` holds; false if [`decide`] has to.
#[inline(always)]
pub fn decide_exchange(record: *mut Record, exchange: &Exchange, now: u64) -> bool {
    // SAFETY: callers pass a map value.
    unsafe {
        let is_plain =
            (*record).flags & (flags::ESTABLISHED | flags::DECIDED | flags::UNIX) == flags::ESTABLISHED;
        if is_watched(record) || !is_plain || !exchange.is_one() {
            return false;
        }
        forget_noted(record);
        (*record).flags |= flags::DECIDED;
        (*record).written_at_fin = exchange.write_seq;
        if (*record).requests == 0 {
            (*record).requests = 1;
        }
        retry::answered(record, now);
    }
    true
}

/// Whether nginx sent a request on a connection that the origin had closed, whose record is decided.
#[inline(always)]
pub fn has_sent_since_fin(sk: u64, record: *const Record) -> bool {
    // SAFETY: callers pass a map value.
    kernel::write_seq(sk).wrapping_sub(unsafe { (*record).written_at_fin }) > GOODBYE
}

/// Notes it if nginx sent a request on a connection that the origin had closed.
#[inline(always)]
unsafe fn sent_since_fin(sk: u64, record: *mut Record) {
    // SAFETY: by contract.
    unsafe {
        if (*record).flags & flags::FIN_RECEIVED != 0 && has_sent_since_fin(sk, record) {
            if (*record).flags & flags::OUTSTANDING == 0 {
                (*record).requests += 1;
            }
            (*record).flags |= flags::SENT_AFTER_FIN | flags::OUTSTANDING;
            (*record).flags &= !flags::IN_DOUBT;
            (*record).request_ns = kernel::last_sent_ns(sk);
            (*record).last_send_ns = (*record).request_ns;
        }
    }
}

/// What the hooks noted is void. Of a connection that they never saw nothing is there: another processor need not write
/// there then.
#[inline(always)]
unsafe fn forget_noted(record: *mut Record) {
    // SAFETY: by contract.
    unsafe {
        let noted = (*record).io_since != 0 || (*record).flags & (flags::ADOPTED | flags::BY_SOCKET) != 0;
        (*record).flags = (*record).flags & !NOTED | flags::BY_SOCKET;
        (*record).client = 0;
        if noted {
            (*record).request_ns = 0;
            (*record).last_send_ns = 0;
            (*record).first_recv_ns = 0;
            (*record).last_recv_ns = 0;
            (*record).app_sent = 0;
            (*record).app_received = 0;
        }
    }
}

/// Reads it.
#[inline(never)]
fn read(sk: u64, record: *mut Record, moment: u32, now: u64) -> u32 {
    // SAFETY: callers pass a map value.
    unsafe {
        forget_noted(record);
        if (*record).flags & flags::UNIX != 0 {
            // Keeps nothing of the kind.
            return 0;
        }
        let (fin, reset) = (moment == Moment::Fin as u32, moment == Moment::Reset as u32);
        let facts = kernel::socket_facts(sk, now);
        if fin || reset {
            (*record).flags |= flags::DECIDED;
            (*record).written_at_fin = kernel::write_seq(sk);
        }
        if facts.silent() {
            (*record).flags |= flags::SILENT;
        }
        let under_way = facts.under_way(if fin {
            Moment::Fin
        } else if reset {
            Moment::Reset
        } else {
            Moment::Close
        });
        let served = if under_way == UnderWay::Unused {
            (*record).requests = 0;
            return 0;
        } else {
            u32::from(facts.bytes_received > u64::from(fin))
        };
        if under_way == UnderWay::Answered {
            if (*record).requests == 0 {
                (*record).requests = 1;
            }
            retry::answered(record, now);
            return 0;
        }
        // Of a used connection it is not known how many came before.
        if (*record).requests <= served {
            (*record).requests = served + 1;
        }
        (*record).flags |= flags::OUTSTANDING;
        (*record).app_sent = if served == 0 { facts.written() } else { u64::from(facts.unacked) };
        if under_way != UnderWay::Unanswered {
            (*record).flags |= flags::IN_DOUBT;
        }
        let sent = kernel::last_sent_ns(sk);
        // The kernel notes no time for what this host itself refused to send.
        (*record).request_ns = if sent == 0 { (*record).established_ns } else { sent };
        (*record).last_send_ns = (*record).request_ns;
    }
    0
}

/// nginx sends or receives on this connection, and the hooks see it. If they were away since they last saw it, or since
/// it began, what was noted before is void. `ret` is what the call returned. False if they come too late: what the socket
/// tells of the end is right, and what they see of it is not all.
#[inline(always)]
pub fn catch_up(sk: u64, record: *mut Record, ret: i32, receives: bool) -> bool {
    let since = io_since();
    // SAFETY: callers pass a map value.
    unsafe {
        if (*record).io_since == since {
            return true;
        }
        let seen = (*record).flags;
        let ends = if receives { seen & flags::DECIDED != 0 } else { ret <= GOODBYE as i32 };
        if seen & flags::UNIX == 0 && (ret <= 0 || ends) {
            return false;
        }
        let sent = if receives { 0 } else { ret as u64 };
        (*record).io_since = since;
        (*record).flags &= !NOTED;
        (*record).request_ns = 0;
        (*record).first_recv_ns = 0;
        if (*record).flags & flags::UNIX == 0 && (*record).requests == 0 && kernel::written(sk) > sent {
            (*record).requests = 1;
        }
    }
    true
}
