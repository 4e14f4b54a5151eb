//! What nginx sends and reads: where requests begin, when answers come, which client a request belongs to.
//!
//! `sock_send_length` and `sock_recv_length` (6.3) see every family and way of sending in one place. They run for
//! every socket of the host, so a process that is not watched must leave at once.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use upstream_trace_common::{Addr, EventKind, Record, RetryEvent, StepKind, flags, stats};

use crate::kernel::{self, AF_UNIX, Head, TCP_CLOSE_WAIT};
use crate::maps::RECORDS;
use crate::record::{self, note};
use crate::{birth, dns, emit, payload, tls, unix};

pub const EAGAIN: i32 = -11;
const EPIPE: i32 = -32;

/// `MSG_PEEK`: nginx probes idle connections of its pool with it.
const MSG_PEEK: u32 = 2;

/// Whose socket a watched process used.
enum Side {
    Upstream(*mut Record),
    Client,
    Other,
}

/// (struct sock *sk, int ret, int flags), 6.3 to 7.2.
#[raw_tracepoint(tracepoint = "sock_send_length")]
pub fn sock_send_length(ctx: RawTracePointContext) -> i32 {
    let tgid = kernel::current_tgid();
    if record::may_be_watched(tgid) {
        send_returned(ctx.arg(0), tgid, ctx.arg::<u64>(1) as i32);
    }
    0
}

/// A watched process sent through this socket, or tried to.
#[inline(always)]
pub fn send_returned(sk: u64, tgid: u32, ret: i32) {
    let head = kernel::head(sk);
    match side(sk, &head) {
        Side::Upstream(record) if !unix::is_replaced(sk, record) => sent(&head, record, tgid, ret),
        Side::Client if ret > 0 => answered(tgid),
        Side::Client => {}
        Side::Other | Side::Upstream(_) if head.family == AF_UNIX => {
            // The peer may have closed before anything was sent.
            if (ret > 0 || ret == EPIPE)
                && let Some(record) = unix::first_sent(sk, tgid)
            {
                sent(&head, record, tgid, ret);
            }
        }
        Side::Upstream(_) => {}
        Side::Other => drop(dns::exchanged(sk, tgid, ret, 1)),
    }
}

/// (struct sock *sk, int ret, int flags), 6.3 to 7.2.
#[raw_tracepoint(tracepoint = "sock_recv_length")]
pub fn sock_recv_length(ctx: RawTracePointContext) -> i32 {
    let (sk, ret, how): (u64, u64, u64) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    if ret as i32 == EAGAIN {
        return 0;
    }
    let tgid = kernel::current_tgid();
    if record::may_be_watched(tgid) {
        receive_returned(sk, tgid, ret as i32, how as u32);
    }
    0
}

/// A watched process read from this socket, or tried to; `how` are the flags of the call.
#[inline(always)]
pub fn receive_returned(sk: u64, tgid: u32, ret: i32, how: u32) {
    // Nothing to read is no failure: OpenSSL always reads until there is nothing more.
    if ret == EAGAIN {
        return;
    }
    let head = kernel::head(sk);
    match side(sk, &head) {
        Side::Upstream(record) => received(sk, record, tgid, ret, how),
        Side::Client if ret > 0 => asked(sk, &head, tgid),
        Side::Client => {}
        Side::Other => drop(dns::exchanged(sk, tgid, ret, 0)),
    }
}

#[inline(always)]
fn side(sk: u64, head: &Head) -> Side {
    let internet = head.is_internet();
    if internet && record::is_listening(head.num) {
        return Side::Client;
    }
    let record = if internet { record::find(sk) } else { RECORDS.get_ptr_mut(sk) };
    record.map_or(Side::Other, Side::Upstream)
}

/// A client spoke: what nginx does next is for that client.
#[inline(always)]
fn asked(sk: u64, head: &Head, tgid: u32) {
    if let Some(worker) = record::worker(tgid) {
        // SAFETY: a map value.
        unsafe {
            (*worker).client = sk;
            (*worker).client_key = head.client_key();
            (*worker).client_ns = emit::now();
            // A retry begins before nginx turns to the next client.
            (*worker).armed = 0;
        }
    }
}

/// A client got (part of) an answer: an attempt that failed before is not being retried.
#[inline(always)]
fn answered(tgid: u32) {
    if let Some(worker) = record::worker(tgid) {
        // SAFETY: a map value.
        unsafe { (*worker).armed = 0 };
    }
}

#[inline(always)]
fn sent(head: &Head, record: *mut Record, tgid: u32, ret: i32) {
    let now = emit::now();
    // SAFETY: a map value.
    unsafe {
        (*record).last_send = ret;
        if ret > 0 {
            if (*record).flags & flags::TLS != 0 && (*record).requests > 0 && payload::is_alert(ret) {
                // nginx says goodbye: no request.
                note(record, StepKind::TlsRefused, now, -1);
                return;
            }
            let handshake = (*record).requests == 0 && tls::sent(record, now, ret);
            if !handshake && (*record).flags & flags::OUTSTANDING == 0 {
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

/// The first bytes since the last answer: a request begins.
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
        if ((*record).requests > 1 || (*record).flags & flags::CLIENT_KNOWN == 0)
            && let Some(worker) = record::worker(tgid)
        {
            birth::take_client(record, worker, now);
        }
        if let Some(counters) = record::counters(&*record) {
            record::add(&raw mut (*counters).requests);
        }
    }
}

#[inline(always)]
fn received(sk: u64, record: *mut Record, tgid: u32, ret: i32, how: u32) {
    let now = emit::now();
    // SAFETY: a map value.
    unsafe {
        if how & MSG_PEEK != 0 {
            if ret <= 0 {
                (*record).flags |= flags::IDLE_PROBE;
            }
            return;
        }
        (*record).last_recv = ret;
        if ret > 0 {
            let mut error = false;
            if (*record).flags & flags::TLS_HANDSHAKE != 0 {
                tls::received(record, now, ret);
                told_of_in_vain(record, tgid, now);
            } else if (*record).first_recv_ns == 0 {
                if (*record).flags & flags::TLS != 0 && no_answer(record, now, ret) {
                    return;
                }
                error = answer_begins(record, tgid, now, ret);
            } else if (*record).flags & flags::TLS != 0
                && (*record).requests == 1
                && (*record).app_received == ret as u64
                && tls::tickets(record, now, ret)
            {
                return;
            }
            (*record).flags &= !flags::OUTSTANDING;
            (*record).app_received += ret as u64;
            (*record).last_recv_ns = now;
            if error {
                error_status(sk, record, tgid, now);
            }
        } else if ret == 0 {
            (*record).flags |= flags::READ_EOF;
            note(record, StepKind::Eof, now, 0);
        } else {
            (*record).flags |= flags::RECV_ERROR;
            note(record, StepKind::RecvError, now, -ret);
        }
    }
}

/// What came over TLS after a request, and is not the begin of its answer.
///
/// # Safety
/// `record` is a map value.
#[inline(never)]
unsafe fn no_answer(record: *mut Record, now: u64, bytes: i32) -> bool {
    if payload::is_alert(bytes) {
        note(record, StepKind::TlsAlert, now, -1);
        return true;
    }
    // SAFETY: by contract.
    unsafe { (*record).requests == 1 && tls::tickets(record, now, bytes) }
}

/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn answer_begins(record: *mut Record, tgid: u32, now: u64, bytes: i32) -> bool {
    // SAFETY: by contract.
    unsafe {
        (*record).first_recv_ns = now;
        note(record, StepKind::Response, now, bytes);
        let mut error = false;
        if (*record).flags & flags::TLS == 0 {
            payload::head(&mut (*record).head, bytes);
            error = payload::is_error(&(*record).head);
        }
        // An error in its turn makes nothing good.
        if (*record).retry_of != 0 && !error {
            let (failed, retry, remote) = ((*record).retry_of, (*record).id, (*record).remote);
            (*record).retry_of = 0;
            emit::event::<RetryEvent>(EventKind::RetryAnswered, tgid, now, |event| {
                (*event).failed = failed;
                (*event).retry = retry;
                (*event).remote = remote;
                (*event).pad = 0;
            });
        }
        told_of_in_vain(record, tgid, now);
        if let Some(worker) = record::worker(tgid) {
            // What nginx connects to next, if it has not heard another client, is for the same one.
            (*worker).client = (*record).client;
            (*worker).client_key = (*record).client_key;
        }
        if (*record).request_ns != 0
            && let Some(counters) = record::counters(&*record)
        {
            record::add(&raw mut (*counters).answers);
            (*counters).last_answer_ns = now;
            record::add_latency(&raw mut (*counters).first_byte, now.wrapping_sub((*record).request_ns));
        }
        error
    }
}

/// Something came: if the attempt was told to be in trouble, that is over.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn told_of_in_vain(record: *mut Record, tgid: u32, now: u64) {
    if record::take_announced(record) {
        // SAFETY: by contract.
        let id = unsafe { (*record).id };
        emit::event::<RetryEvent>(EventKind::Answered, tgid, now, |event| {
            // SAFETY: reserved memory of that type.
            unsafe {
                (*event).failed = id;
                (*event).retry = 0;
                (*event).remote = Addr { ip: [0; 16], port: 0, family: 0 };
                (*event).pad = 0;
            }
        });
    }
}

/// The origin answers with a status of 500 or above. nginx passes that on, or tries another peer in the same turn; the
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
        if let Some(worker) = record::worker(tgid) {
            (*worker).armed = (*record).id;
            (*worker).armed_ns = now;
            (*worker).armed_client = (*record).client;
            (*worker).armed_client_key = (*record).client_key;
        }
        (*record).id = birth::next_id(now);
        (*record).retry_of = 0;
    }
    0
}
