//! nginx's clients, as far as they explain what nginx does with an upstream: whose request an attempt is for, and who
//! ended it.

use upstream_trace_common::{EventKind, flags, stats};

use crate::kernel::{self, Head, TCP_CLOSE, TCP_ESTABLISHED};
use crate::maps::DEFERRED;
use crate::{emit, retry, worker};

/// When nginx gives up an attempt whose response has begun, it closes the client's connection in the same event-loop
/// iteration. Nanoseconds.
const CUT_NS: u64 = 5_000_000;

/// A client spoke: what nginx does next is for that client.
#[inline(always)]
pub fn spoke(sk: u64, head: &Head, tgid: u32) {
    if let Some(worker) = worker::get(tgid) {
        // SAFETY: a map value.
        unsafe {
            (*worker).client = sk;
            (*worker).client_key = head.client_key();
            (*worker).client_ns = emit::now();
            // A retry begins before nginx turns to the next client.
            retry::drop_candidate(worker);
        }
    }
}

/// A client got (part of) a response: an attempt that failed before is not being retried.
#[inline(always)]
pub fn was_sent_to(tgid: u32) {
    if let Some(worker) = worker::get(tgid) {
        // SAFETY: a map value.
        unsafe { retry::drop_candidate(worker) };
    }
}

/// A watched process closed another socket, which was in this state: does that explain the attempt that it has just
/// given up?
#[inline(never)]
pub fn closed(sk: u64, old_state: u8, tgid: u32) {
    let Some(worker) = worker::get(tgid) else { return };
    // SAFETY: map values.
    unsafe {
        let candidate = (*worker).retry_candidate;
        if candidate.id != 0 && candidate.client == 0 && old_state != TCP_ESTABLISHED {
            let now = emit::now();
            retry::drop_candidate(worker);
            // A client that was sent something since did not leave: it has its response.
            if now.wrapping_sub(candidate.failed_ns) < CUT_NS
                && kernel::last_sent_ns(sk) < candidate.failed_ns
            {
                retry::about(EventKind::ClientGone, tgid, candidate.id, now);
            }
            return;
        }
        if candidate.client == 0 {
            // nginx is done with a client.
            retry::drop_candidate(worker);
        }
        if (*worker).deferred_client != sk || sk == 0 {
            return;
        }
        (*worker).deferred_client = 0;
        let now = emit::now();
        if old_state != TCP_ESTABLISHED || now.wrapping_sub((*worker).deferred_ns) > CUT_NS {
            return;
        }
        let Some(record) = DEFERRED.get_ptr_mut(tgid) else { return };
        (*record).flags |= flags::CLIENT_CUT;
        emit::count(stats::HEALTHY, -1);
        emit::count(emit::end(record, (*worker).deferred_ns), 1);
    }
}

/// Whether this transition of another socket is nginx closing it.
#[inline(always)]
pub fn is_close(old: u8, new: u8) -> bool {
    old == TCP_ESTABLISHED && (new == kernel::TCP_FIN_WAIT1 || new == TCP_CLOSE)
        || old == kernel::TCP_CLOSE_WAIT && new == kernel::TCP_LAST_ACK
}
