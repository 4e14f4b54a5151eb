//! What nginx receives from an upstream: when a response begins, and with which status.

use upstream_trace_common::{EventKind, Record, StepKind, flags, is_server_error, stats};

use crate::trail::note;
use crate::{birth, counters, emit, http2, payload, record, retry, tls, worker};

/// `MSG_PEEK`: nginx probes idle connections of its pool with it.
const MSG_PEEK: u32 = 2;

/// nginx received from an upstream, or tried to; `ret` is bytes or a negative errno, `how` the flags of the call.
#[inline(always)]
pub fn received(sk: u64, record: *mut Record, tgid: u32, ret: i32, how: u32) {
    let now = emit::now();
    // SAFETY: a map value.
    unsafe {
        if how & MSG_PEEK != 0 {
            if ret <= 0 {
                (*record).flags |= flags::IDLE_PROBE;
            }
            return;
        }
        match ret {
            1.. => arrived(sk, record, tgid, now, ret),
            0 => {
                (*record).flags |= flags::READ_EOF;
                note(record, StepKind::Eof, now, 0);
            }
            _ => {
                (*record).flags |= flags::RECV_ERROR;
                note(record, StepKind::RecvError, now, -ret);
            }
        }
    }
}

/// nginx received bytes.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn arrived(sk: u64, record: *mut Record, tgid: u32, now: u64, bytes: i32) {
    // SAFETY: by contract.
    unsafe {
        let mut error = false;
        if (*record).flags & flags::TLS_HANDSHAKE != 0 {
            tls::received(record, now, bytes);
            retry::retract_trouble(record, now);
        } else if (*record).first_recv_ns == 0 {
            if (*record).flags & flags::TLS != 0 {
                if is_no_response(record, now, bytes) {
                    return;
                }
            } else {
                payload::head(&mut (*record).head, bytes);
                if http2::answers_nothing(&(*record).head, bytes) {
                    return;
                }
            }
            error = response_begins(record, tgid, now, bytes);
        } else if (*record).flags & flags::TLS != 0
            && (*record).requests == 1
            && (*record).app_received == bytes as u64
            && tls::tickets(record, now, bytes)
        {
            return;
        }
        (*record).flags &= !flags::OUTSTANDING;
        (*record).app_received += bytes as u64;
        (*record).last_recv_ns = now;
        if error {
            error_status(sk, record, tgid, now);
        }
    }
}

/// What came over TLS after a request, and is not the start of its response.
///
/// # Safety
/// `record` is a map value.
#[inline(never)]
unsafe fn is_no_response(record: *mut Record, now: u64, bytes: i32) -> bool {
    if payload::is_alert(bytes) {
        note(record, StepKind::TlsAlert, now, -1);
        return true;
    }
    // SAFETY: by contract.
    unsafe { (*record).requests == 1 && tls::tickets(record, now, bytes) }
}

/// The first bytes of a response came. Whether they say that it is a server error.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn response_begins(record: *mut Record, tgid: u32, now: u64, bytes: i32) -> bool {
    // SAFETY: by contract.
    unsafe {
        (*record).first_recv_ns = now;
        note(record, StepKind::Response, now, bytes);
        let mut error = false;
        if (*record).flags & flags::TLS == 0 {
            error = is_server_error(&(*record).head);
        }
        if !error {
            retry::answered(record, now);
        }
        retry::retract_trouble(record, now);
        if let Some(worker) = worker::get(tgid) {
            // What nginx connects to next, if it has not heard another client, is for the same one.
            (*worker).client = (*record).client;
            (*worker).client_key = (*record).client_key;
        }
        if (*record).request_ns != 0
            && let Some(counters) = counters::get(&(*record).remote)
        {
            counters::add(&raw mut (*counters).answers);
            (*counters).last_answer_ns = now;
            counters::add_latency(&raw mut (*counters).first_byte, now.wrapping_sub((*record).request_ns));
        }
        error
    }
}

/// The origin answered with a status of 500 to 599. nginx passes that on, or tries another peer in the same turn; the
/// connection goes on, and its next request is another attempt.
///
/// # Safety
/// `record` is a map value.
#[inline(never)]
unsafe fn error_status(sk: u64, record: *mut Record, tgid: u32, now: u64) -> u32 {
    record::refresh(sk, record);
    if !emit::record(record, EventKind::ErrorStatus as u32, now) {
        emit::count(stats::LOST_EVENTS, 1);
    }
    // SAFETY: by contract; a map value.
    unsafe {
        if let Some(worker) = worker::get(tgid) {
            retry::make_candidate(worker, record, now);
        }
        (*record).id = birth::next_id(now);
        (*record).retry_of = 0;
    }
    0
}
