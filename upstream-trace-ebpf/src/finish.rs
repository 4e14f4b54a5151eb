//! The end of an attempt.

use core::arch::asm;
use core::ptr::NonNull;

use upstream_trace_common::{
    Disposition, EVENT_LOOP_NS, End, EndFacts, FdKey, Moment, Record, StepKind, Worker, client_spoke, flags,
    stats,
};

use crate::kernel::{self, TCP_ESTABLISHED};
use crate::maps::{DEFERRED, UNIX_FDS};
use crate::trail::note;
use crate::{emit, pending, record, records, retry, under_way, worker};

/// Ends the record of `sk`; `end` is an [`End`]. In process context, but for sockets whose memory was used again.
#[inline(never)]
pub fn finish(sk: u64, record: *mut Record, end: u32, now: u64) -> u32 {
    let tgid = kernel::current_tgid();
    // SAFETY: callers pass a map value.
    unsafe {
        (*record).end = end as u8;
        if end != End::Reborn as u32 {
            under_way::decide(sk, record, Moment::Close, now);
        } else if !under_way::is_watched(record) {
            // Whether the request was answered since, nobody saw, and the socket serves another.
            (*record).flags &= !flags::OUTSTANDING;
        }
        // Whatever else the socket knows is read once it is known to matter: most ends are healthy.
        if end != End::Reborn as u32 {
            let harm = flags::FIN_RECEIVED | flags::OUTSTANDING | flags::RESET_RECEIVED;
            // Nothing went wrong with what was answered, then closed by the origin, then by nginx.
            if end != End::Closed as u32 || (*record).flags & harm != flags::FIN_RECEIVED {
                record::refresh_errors(sk, record);
            }
            if (*record).flags & flags::OUTSTANDING != 0 {
                record::refresh(sk, record);
            }
        }
        if end == End::Closed as u32 {
            note(record, StepKind::Closed, now, 0);
        }
        let ours = end != End::Reborn as u32 && tgid == (*record).tgid;
        // In one register: of a pair the compiler may save the half that was never set, which the verifier refuses.
        let worker = if ours { worker::get(tgid).and_then(NonNull::new) } else { None };
        explain_end(record, worker, now);
        let mut disposition = EndFacts::of(&*record, now).disposition();
        if matches!(disposition, Disposition::Report | Disposition::Defer)
            && ours
            && kernel::current_is_exiting()
        {
            (*record).flags |= flags::WORKER_EXITING;
            disposition = Disposition::Aborted;
        }
        set(record, disposition);
        settle(sk, record, worker, now);
    }
    0
}

/// Ends the record of `sk`, which nginx closes, if it is the commonest that there is: answered, then closed by the origin.
/// False if it is another, which [`finish`] has to end.
#[inline(always)]
pub fn finish_answered(sk: u64, record: *mut Record) -> bool {
    // SAFETY: callers pass a map value.
    let is_answered = unsafe { (*record).was_answered_and_ended() };
    if !is_answered
        || under_way::is_watched(record)
        || pending::is_announced(record)
        || under_way::has_sent_since_fin(sk, record)
    {
        return false;
    }
    remove_and_count(sk, stats::HEALTHY);
    true
}

/// Keeps the disposition in the record itself. Of what a program reads from a map the verifier knows nothing: it walks
/// what follows once, instead of once for every way on which it has come here, of which there are hundreds.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn set(record: *mut Record, disposition: Disposition) {
    // SAFETY: by contract.
    unsafe { (&raw mut (*record).disposition).write_volatile(disposition as u8) }
}

/// Whether this is the disposition of the record; see [`set`].
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn is(record: *mut Record, disposition: Disposition) -> bool {
    // SAFETY: by contract.
    unsafe { (&raw const (*record).disposition).read_volatile() == disposition as u8 }
}

/// What else the host knows that explains why it ended.
///
/// # Safety
/// `record` and `worker` are map values.
#[inline(always)]
unsafe fn explain_end(record: *mut Record, worker: Option<NonNull<Worker>>, now: u64) {
    // SAFETY: by contract.
    unsafe {
        let seen = (*record).flags;
        let has = |bits: u32| seen & bits != 0;
        let reset = has(flags::RESET_RECEIVED);
        if reset
            && (*record).end == End::Destroyed as u8
            && (*record).tcp.err == 0
            && !has(flags::IDLE_PROBE | flags::BY_SOCKET)
        {
            (*record).flags |= flags::ERROR_FETCHED;
        }
        // If nothing ended it, did the client make nginx close it?
        if !EndFacts::of(&*record, now).gave_up() || !has(flags::CLIENT_KNOWN) {
            return;
        }
        let client = (*record).client;
        let head = kernel::head(client);
        // One that has just been sent its response closes straight away: a Lua program that gave up closes its sockets after
        // that.
        let answered =
            has(flags::OUTSTANDING) && now.wrapping_sub(kernel::last_sent_ns(client)) < EVENT_LOOP_NS;
        if head.client_key() == (*record).client_key && head.state != TCP_ESTABLISHED && !answered {
            (*record).flags |= flags::CLIENT_GONE;
        }
        if let Some(worker) = checked(worker)
            && (*worker).client == client
            && client_spoke((*worker).client_ns, begun_ns(record), now)
        {
            (*record).flags |= flags::CLIENT_GONE;
        }
    }
}

/// When the attempt, or its current request, began.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn begun_ns(record: *const Record) -> u64 {
    // SAFETY: by contract.
    let (request, born) = unsafe { ((*record).request_ns, (*record).born_ns) };
    if request > born { request } else { born }
}

/// A connection whose sends and receives were not watched was reset, and its error was fetched: nginx found it dead in its
/// pool when it took it for a request, or when the reset came. If it was for a request, nginx goes on to another at once.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn found_by_error(record: *mut Record) -> bool {
    const FOUND: u32 = flags::BY_SOCKET | flags::RESET_RECEIVED;
    // SAFETY: by contract.
    unsafe {
        (*record).flags & FOUND == FOUND && (*record).end == End::Destroyed as u8 && (*record).tcp.err == 0
    }
}

/// The worker, with a check for null that stays a branch of its own: joined with other conditions into one number, as
/// the optimizer likes to do, verifiers (seen on 5.10 and 6.1) no longer know that the pointer is none behind it.
#[inline(always)]
fn checked(worker: Option<NonNull<Worker>>) -> Option<*mut Worker> {
    let mut pointer = worker.map_or(core::ptr::null_mut(), NonNull::as_ptr);
    // SAFETY: moves a register to itself; not pure, so that it is not done before the conditions in front of it.
    unsafe { asm!("{0} = {0}", inout(reg) pointer) };
    (!pointer.is_null()).then_some(pointer)
}

/// Counts the record, sends it if need be, and removes it.
///
/// # Safety
/// `record` and `worker` are map values.
#[inline(always)]
unsafe fn settle(sk: u64, record: *mut Record, worker: Option<NonNull<Worker>>, now: u64) {
    // SAFETY: by contract.
    unsafe {
        // On a pooled connection that nginx found dead no request began: what it retries was not noted then.
        if is(record, Disposition::Report)
            && EndFacts::of(&*record, now).found_dead()
            && let Some(worker) = checked(worker)
            && (*worker).retry_candidate.id != 0
        {
            retry::assign_client(record, worker, now);
        }
        if pending::clear(record) && !is(record, Disposition::Report) {
            set(record, Disposition::ReportEnd);
        }
        if !is(record, Disposition::Healthy)
            && !is(record, Disposition::Aborted)
            && (*record).end != End::Reborn as u8
        {
            record::refresh(sk, record);
        }
        if is(record, Disposition::Defer)
            && (*record).flags & (flags::ADOPTED | flags::OUTSTANDING) != flags::ADOPTED
            && let Some(worker) = checked(worker)
        {
            (*worker).deferred_client = (*record).client;
            (*worker).deferred_ns = now;
            let _ = DEFERRED.insert((*record).tgid, &*record, 0);
        }
        if (is(record, Disposition::Report) || found_by_error(record))
            && let Some(worker) = checked(worker)
        {
            retry::make_candidate(worker, record, now);
        }
        let sum = if is(record, Disposition::Report) || is(record, Disposition::ReportEnd) {
            emit::end(record, now)
        } else if is(record, Disposition::Aborted) {
            stats::ABORTED
        } else {
            stats::HEALTHY
        };
        forget_descriptor(record);
        remove_and_count(sk, sum);
    }
}

/// User space may find a unix connection ended at this very moment, and remove its record: whoever removes it counts it.
#[inline(always)]
pub fn remove_and_count(sk: u64, sum: u32) {
    if records::remove(sk) {
        emit::count(sum, 1);
    }
}

/// The descriptor of a unix connection may serve another one from here on.
#[inline(always)]
pub fn forget_descriptor(record: *const Record) {
    // SAFETY: callers pass a map value.
    unsafe {
        if (*record).flags & flags::UNIX != 0 && (*record).fd >= 0 {
            let _ = UNIX_FDS.remove(&FdKey { tgid: (*record).tgid, fd: (*record).fd });
        }
    }
}
