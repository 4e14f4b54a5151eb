//! What nginx sends to an upstream: where a request begins.

use upstream_trace_common::{Record, StepKind, flags, is_upgrade};

use crate::kernel::{EAGAIN, Head, TCP_CLOSE_WAIT};
use crate::trail::note;
use crate::{counters, emit, http2, payload, retry, tls, worker};

/// nginx sent to an upstream, or tried to; `ret` is bytes or a negative errno.
#[inline(always)]
pub fn sent(head: &Head, record: *mut Record, tgid: u32, ret: i32) {
    let now = emit::now();
    // SAFETY: a map value.
    unsafe {
        if ret > 0 {
            if (*record).requests > 0 && (*record).request_ns == 0 && payload::is_tls() {
                // Its beginning was not watched.
                (*record).flags |= flags::TLS;
            }
            if (*record).flags & flags::TLS != 0 && (*record).requests > 0 && payload::is_alert(ret) {
                // nginx says goodbye: no request.
                note(record, StepKind::TlsRefused, now, -1);
                return;
            }
            let handshake = (*record).requests == 0 && tls::sent(record, now, ret);
            if !handshake && (*record).flags & flags::OUTSTANDING == 0 {
                let in_tunnel = (*record).requests > 0 && is_upgrade(&(*record).head);
                if in_tunnel || http2::is_control(record, ret) {
                    return;
                }
                request_begins(record, tgid, now, ret);
            }
            (*record).flags &= !flags::SEND_BLOCKED;
            (*record).app_sent += ret as u64;
            (*record).last_send_ns = now;
            if (*record).flags & flags::UNIX == 0 && head.state == TCP_CLOSE_WAIT {
                (*record).flags |= flags::SENT_AFTER_FIN;
            }
        } else if ret == EAGAIN {
            if (*record).flags & flags::SEND_BLOCKED == 0 {
                note(record, StepKind::SendBlocked, now, 0);
            }
            (*record).flags |= flags::SEND_BLOCKED;
        } else if ret < 0 {
            (*record).flags |= flags::SEND_ERROR;
            note(record, StepKind::SendError, now, -ret);
        }
    }
}

/// The first bytes since the last response: a request begins.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn request_begins(record: *mut Record, tgid: u32, now: u64, bytes: i32) {
    // SAFETY: by contract.
    unsafe {
        if (*record).requests > 0 {
            // The trail is about the current request.
            (*record).trail_len = 0;
            (*record).trail_lost = 0;
            (*record).retransmits = 0;
            (*record).retransmits_failed = 0;
            (*record).drops = 0;
        }
        (*record).requests += 1;
        (*record).request_ns = now;
        (*record).first_recv_ns = 0;
        (*record).app_sent = 0;
        (*record).app_received = 0;
        let fresh = flags::RETRANSMITTED
            | flags::SEND_ERROR
            | flags::RECV_ERROR
            | flags::TROUBLE_SENT
            | flags::READ_EOF;
        if (*record).requests > 1 {
            (*record).flags &= !fresh;
        }
        (*record).flags |= flags::OUTSTANDING;
        note(record, StepKind::Request, now, bytes);
        // A session of stream goes on to the next peer before its client says a word: that stays a retry.
        let unclaimed = (*record).flags & flags::CLIENT_KNOWN == 0 && (*record).retry_of == 0;
        if ((*record).requests > 1 || unclaimed)
            && let Some(worker) = worker::get(tgid)
        {
            retry::assign_client(record, worker, now);
        }
        if let Some(counters) = counters::get(&(*record).remote) {
            counters::add(&raw mut (*counters).requests);
        }
    }
}
