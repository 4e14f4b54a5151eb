//! The end of an attempt.

use core::arch::asm;
use core::ptr::NonNull;

use upstream_trace_common::{
    Addr, End, EventKind, FdKey, Record, RetryEvent, StepKind, Worker, flags, stats,
};

use crate::classify::{self, Fate};
use crate::kernel::{self, TCP_CLOSE, TCP_ESTABLISHED};
use crate::maps::{PARKED, RECORDS, UNIX_FDS, WITHOUT_IO};
use crate::record::{self, note};
use crate::{birth, emit};

/// nginx cuts the client off within the same turn of its event loop.
const CUT_NS: u64 = 5_000_000;

/// Ends the record of `sk`; `end` is an [`End`]. In process context, but for sockets whose memory was used again.
#[inline(never)]
pub fn finish(sk: u64, record: *mut Record, end: u32, now: u64) -> u32 {
    let tgid = kernel::current_tgid();
    // SAFETY: callers pass a map value.
    unsafe {
        (*record).end = end as u8;
        if WITHOUT_IO.get(0).is_some_and(|without| *without != 0) {
            // Whether the request was answered since, nobody saw.
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
        let worker = if ours { record::worker(tgid).and_then(NonNull::new) } else { None };
        explain_end(record, worker, now);
        let mut fate = classify::fate(&*record, now);
        if matches!(fate, Fate::Report | Fate::Park) && ours && kernel::current_is_exiting() {
            (*record).flags |= flags::WORKER_EXITING;
            fate = Fate::Aborted;
        }
        remember(record, fate);
        settle(sk, record, worker, now);
    }
    0
}

/// Keeps what becomes of a record in the record itself, whose header is not used until it is sent. Of what a program
/// reads from a map the verifier knows nothing: it walks what follows once, instead of once for every way on which it
/// has come here, of which there are hundreds.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn remember(record: *mut Record, fate: Fate) {
    // SAFETY: by contract.
    unsafe { (&raw mut (*record).header.kind).write_volatile(fate as u32) }
}

/// Whether this is what becomes of the record; see [`remember`].
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn fate_is(record: *mut Record, fate: Fate) -> bool {
    // SAFETY: by contract.
    unsafe { (&raw const (*record).header.kind).read_volatile() == fate as u32 }
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
        if reset && (*record).end == End::Destroyed as u8 && (*record).tcp.err == 0 && !has(flags::IDLE_PROBE)
        {
            (*record).flags |= flags::ERROR_FETCHED;
        }
        // nginx closed without having learnt of an end (a FIN that it has not read counts for nothing): did the client
        // make it do so?
        let gave_up = (*record).end == End::Closed as u8
            && !has(flags::RESET_RECEIVED
                | flags::ICMP
                | flags::READ_EOF
                | flags::SEND_ERROR
                | flags::RECV_ERROR)
            && (*record).tcp.err == 0
            && (*record).tcp.err_soft == 0;
        if !gave_up || !has(flags::CLIENT_KNOWN) {
            return;
        }
        let client = (*record).client;
        let head = kernel::head(client);
        if head.client_key() == (*record).client_key && head.state != TCP_ESTABLISHED {
            (*record).flags |= flags::CLIENT_GONE;
        }
        if let Some(worker) = checked(worker)
            && (*worker).client == client
            && classify::client_spoke(&*record, (*worker).client_ns, now)
        {
            (*record).flags |= flags::CLIENT_GONE;
        }
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
        // One that nginx took from its pool and found dead carries no request that would have told what it retries.
        if fate_is(record, Fate::Report)
            && classify::found_dead(&*record)
            && let Some(worker) = checked(worker)
            && (*worker).armed != 0
        {
            birth::take_client(record, worker, now);
        }
        if record::take_announced(record) && !fate_is(record, Fate::Report) {
            remember(record, Fate::Announced);
        }
        if !fate_is(record, Fate::Healthy)
            && !fate_is(record, Fate::Aborted)
            && (*record).end != End::Reborn as u8
        {
            record::refresh(sk, record);
        }
        if fate_is(record, Fate::Park)
            && (*record).flags & (flags::ADOPTED | flags::OUTSTANDING) != flags::ADOPTED
            && let Some(worker) = checked(worker)
        {
            (*worker).parked_client = (*record).client;
            (*worker).parked_ns = now;
            let _ = PARKED.insert((*record).tgid, &*record, 0);
        }
        if fate_is(record, Fate::Report)
            && let Some(worker) = checked(worker)
        {
            (*worker).armed = (*record).id;
            (*worker).armed_ns = now;
            (*worker).armed_client = (*record).client;
            (*worker).armed_client_key = (*record).client_key;
        }
        let sum = if fate_is(record, Fate::Report) || fate_is(record, Fate::Announced) {
            let sent = emit::record(record, EventKind::End as u32, now);
            if sent { stats::REPORTED } else { stats::LOST_RING }
        } else if fate_is(record, Fate::Aborted) {
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
    if RECORDS.remove(sk).is_ok() {
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

/// A watched process closed another socket, which was in this state: does that explain the attempt that it has just
/// given up?
#[inline(never)]
pub fn client_closed(sk: u64, old_state: u8, tgid: u32) {
    let Some(worker) = record::worker(tgid) else { return };
    // SAFETY: map values.
    unsafe {
        let armed = (*worker).armed;
        if armed != 0 && (*worker).armed_client == 0 && old_state != TCP_ESTABLISHED {
            let now = emit::now();
            (*worker).armed = 0;
            if now.wrapping_sub((*worker).armed_ns) < CUT_NS {
                emit::event::<RetryEvent>(EventKind::ClientGone, tgid, now, |event| {
                    (*event).failed = armed;
                    (*event).retry = 0;
                    (*event).remote = Addr { ip: [0; 16], port: 0, family: 0 };
                    (*event).pad = 0;
                });
            }
            return;
        }
        if (*worker).parked_client != sk || sk == 0 {
            return;
        }
        (*worker).parked_client = 0;
        let now = emit::now();
        if old_state != TCP_ESTABLISHED || now.wrapping_sub((*worker).parked_ns) > CUT_NS {
            return;
        }
        let Some(record) = PARKED.get_ptr_mut(tgid) else { return };
        (*record).flags |= flags::CLIENT_CUT;
        if emit::record(record, EventKind::End as u32, (*worker).parked_ns) {
            emit::count(stats::HEALTHY, -1);
            emit::count(stats::REPORTED, 1);
        } else {
            emit::count(stats::HEALTHY, -1);
            emit::count(stats::LOST_RING, 1);
        }
    }
}

/// Whether this transition of another socket is nginx closing it.
#[inline(always)]
pub fn is_close(old: u8, new: u8) -> bool {
    old == TCP_ESTABLISHED && (new == kernel::TCP_FIN_WAIT1 || new == TCP_CLOSE)
        || old == kernel::TCP_CLOSE_WAIT && new == kernel::TCP_LAST_ACK
}
