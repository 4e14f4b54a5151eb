//! Which attempts belong to one request: nginx goes on to another peer in the event-loop iteration in which the first
//! attempt failed.

use upstream_trace_common::{
    Addr, AttemptEvent, EventKind, Record, RetryCandidate, RetryEvent, Worker, flags,
};

use crate::maps::io_since;
use crate::{emit, pending};

/// An attempt that begins this soon after another one failed in the same process retries it, unless nginx turned to a
/// client meanwhile. Nanoseconds.
const WINDOW_NS: u64 = 20_000_000;

/// As above where nobody sees whether it did: nginx goes on to the next peer in the same breath. Nanoseconds.
const SAME_BREATH_NS: u64 = 500_000;

/// The attempt that one which begins now would retry.
///
/// # Safety
/// `worker` is a map value.
#[inline(always)]
pub unsafe fn candidate(worker: *mut Worker, now: u64) -> Option<RetryCandidate> {
    // SAFETY: by contract.
    let candidate = unsafe { (*worker).retry_candidate };
    let window = if io_since() == 0 { SAME_BREATH_NS } else { WINDOW_NS };
    (candidate.id != 0 && now.wrapping_sub(candidate.failed_ns) < window).then_some(candidate)
}

/// This attempt has failed: the next one may retry it.
///
/// # Safety
/// `worker` and `record` are map values.
#[inline(always)]
pub unsafe fn make_candidate(worker: *mut Worker, record: *const Record, now: u64) {
    // SAFETY: by contract.
    unsafe {
        (*worker).retry_candidate = RetryCandidate {
            id: (*record).id,
            failed_ns: now,
            client: (*record).client,
            client_key: (*record).client_key,
        };
    }
}

/// nginx turned to a client: whatever failed before is not retried any more.
///
/// # Safety
/// `worker` is a map value.
#[inline(always)]
pub unsafe fn drop_candidate(worker: *mut Worker) {
    // SAFETY: by contract.
    unsafe { (*worker).retry_candidate.id = 0 }
}

/// Notes whose request the attempt is for, and whether it retries one that has just failed.
#[inline(always)]
pub fn assign_client(record: *mut Record, worker: *mut Worker, now: u64) {
    // SAFETY: both are map values.
    unsafe {
        if let Some(candidate) = candidate(worker, now) {
            (*record).retry_of = candidate.id;
            (*record).client = candidate.client;
            (*record).client_key = candidate.client_key;
            drop_candidate(worker);
            link(EventKind::RetryStarted, record, now);
        } else {
            (*record).retry_of = 0;
            // Which client spoke last is known only where receives are watched.
            (*record).client = if io_since() == 0 { 0 } else { (*worker).client };
            (*record).client_key = (*worker).client_key;
        }
        if (*record).client != 0 {
            (*record).flags |= flags::CLIENT_KNOWN;
        }
    }
}

/// The response to the attempt has begun. An error status in its turn makes nothing good.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
pub unsafe fn answered(record: *mut Record, now: u64) {
    // SAFETY: by contract.
    unsafe {
        if (*record).retry_of != 0 {
            link(EventKind::RetryAnswered, record, now);
            (*record).retry_of = 0;
        }
    }
}

/// Bytes arrived: if the attempt was reported to be in trouble, that is over.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
pub unsafe fn retract_trouble(record: *mut Record, now: u64) {
    if pending::clear(record) {
        // SAFETY: by contract.
        unsafe { about(EventKind::Answered, (*record).tgid, (*record).id, now) };
    }
}

/// Sends something that needs only the number of the attempt.
#[inline(always)]
pub fn about(kind: EventKind, tgid: u32, id: u64, now: u64) {
    emit::event::<AttemptEvent>(kind, tgid, now, |event| {
        // SAFETY: reserved memory of that type.
        unsafe { (*event).id = id }
    });
}

/// Sends that the attempt retries another one.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn link(kind: EventKind, record: *const Record, now: u64) {
    // SAFETY: by contract.
    let (tgid, failed, retry, remote): (u32, u64, u64, Addr) =
        unsafe { ((*record).tgid, (*record).retry_of, (*record).id, (*record).remote) };
    emit::event::<RetryEvent>(kind, tgid, now, |event| {
        // SAFETY: reserved memory of that type.
        unsafe {
            (*event).failed = failed;
            (*event).retry = retry;
            (*event).remote = remote;
            (*event).pad = 0;
        }
    });
}
