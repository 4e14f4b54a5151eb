//! Finding a socket's record and noting what happens to it.

use core::arch::asm;

use upstream_trace_common::{
    EventKind, LATENCY_BUCKETS, Record, Seed, SeedKey, Step, StepKind, TRAIL, UpstreamCounters, Worker,
    flags, stats,
};

use crate::kernel;
use crate::maps::{ANNOUNCED, ANY_ANNOUNCED, LISTENING, RECORDS, SEEDS, SEEDS_LEFT, UPSTREAMS, WORKERS};
use crate::{birth, emit};

/// Whether this process may be watched; a few nanoseconds, with false positives.
#[inline(always)]
pub fn may_be_watched(tgid: u32) -> bool {
    WORKERS.get(Worker::places(tgid)[0]).is_some_and(|worker| worker.tgid != 0)
}

/// State of a watched process. Lookups in an array are part of the program, those in a hash table are calls of 20 ns.
#[inline(always)]
pub fn worker(tgid: u32) -> Option<*mut Worker> {
    let [first, second] = Worker::places(tgid);
    let worker = WORKERS.get_ptr_mut(first)?;
    // SAFETY: map values.
    unsafe {
        if (*worker).tgid == tgid {
            return Some(worker);
        }
        if (*worker).tgid == 0 {
            return None;
        }
        WORKERS.get_ptr_mut(second).filter(|worker| (**worker).tgid == tgid)
    }
}

/// Watches this process; false if both of its places are taken.
#[inline(always)]
pub fn watch(tgid: u32) -> bool {
    for place in Worker::places(tgid) {
        if let Some(worker) = WORKERS.get_ptr_mut(place) {
            // SAFETY: a map value.
            unsafe {
                if (*worker).tgid == 0 || (*worker).tgid == Worker::GONE {
                    *worker = Worker::ZERO;
                    (*worker).tgid = tgid;
                    return true;
                }
            }
        }
    }
    false
}

/// As above, unless it is a master: what a master connects to (name service caches and the like) is no upstream.
#[inline(always)]
pub fn serving(tgid: u32) -> Option<*mut Worker> {
    // SAFETY: a map value.
    worker(tgid).filter(|worker| unsafe { (**worker).master } == 0)
}

/// Network namespace of a worker's socket. A worker stays where it is, and two reads are spared.
#[inline(always)]
pub fn netns(worker: *mut Worker, sk: u64) -> u32 {
    // SAFETY: callers pass a map value, written by this process only.
    unsafe {
        if (*worker).netns == 0 {
            (*worker).netns = kernel::netns(sk);
        }
        (*worker).netns
    }
}

/// Whether nginx listens on this port.
#[inline(always)]
pub fn is_listening(port: u16) -> bool {
    LISTENING.get(u32::from(port)).is_some_and(|flag| *flag != 0)
}

/// The record of this socket, taking over a connection that was open before the start.
#[inline(always)]
pub fn find(sk: u64) -> Option<*mut Record> {
    match RECORDS.get_ptr_mut(sk) {
        Some(record) => Some(record),
        None if SEEDS_LEFT.get(0).is_some_and(|left| *left != 0) => adopt(sk),
        None => None,
    }
}

#[inline(never)]
fn adopt(sk: u64) -> Option<*mut Record> {
    let head = kernel::head(sk);
    if !head.is_internet() {
        return None;
    }
    let mut key = SeedKey { netns: kernel::netns(sk), ..SeedKey::default() };
    kernel::local(sk, &head, &mut key.local);
    kernel::remote(sk, &head, &mut key.remote);
    // SAFETY: seeds are written by user space before the programs are attached and only removed afterwards.
    let seed: Seed = *unsafe { SEEDS.get(&key) }?;
    // Whoever removes the seed owns the adoption: two CPUs may come here at once.
    SEEDS.remove(&key).ok()?;
    if let Some(left) = SEEDS_LEFT.get_ptr_mut(0) {
        // SAFETY: a plain counter; a lost update only costs lookups.
        unsafe { *left = (*left).saturating_sub(1) };
    }
    emit::count(stats::ADOPTED, 1);
    birth::adopted(sk, &key, &seed)
}

/// An index into the trail. The compiler knows that it is small and would drop a mask that the verifier needs, so
/// the mask is an instruction that it cannot see.
#[inline(always)]
fn trail_index(index: usize) -> usize {
    const _: () = assert!(TRAIL == 16);
    let mut index = index;
    // SAFETY: one arithmetic instruction on a register.
    unsafe { asm!("{0} &= 15", inout(reg) index) };
    index
}

/// Appends to the trail; the same step again only counts.
#[inline(always)]
pub fn note(record: *mut Record, kind: StepKind, at_ns: u64, arg: i32) {
    // SAFETY: callers pass a map value.
    unsafe {
        let trail = (&raw mut (*record).trail).cast::<Step>();
        let len = (*record).trail_len as usize;
        if len > 0 {
            let last = trail.add(trail_index(len - 1));
            if (*last).kind == kind as u8 {
                (*last).count = (*last).count.saturating_add(1);
                (*last).span_ms = (at_ns.wrapping_sub((*last).at_ns) / 1_000_000).min(0xffff) as u16;
                return;
            }
        }
        if len < TRAIL {
            *trail.add(trail_index(len)) = Step { at_ns, arg, kind: kind as u8, count: 1, span_ms: 0 };
            (*record).trail_len = len as u8 + 1;
        } else {
            (*record).trail_lost = (*record).trail_lost.saturating_add(1);
        }
    }
}

/// The last step turned out to be another.
#[inline(always)]
pub fn rename_last(record: *mut Record, from: StepKind, to: StepKind) {
    // SAFETY: callers pass a map value.
    unsafe {
        let len = (*record).trail_len as usize;
        let trail = (&raw mut (*record).trail).cast::<Step>();
        let last = trail.add(trail_index(len.wrapping_sub(1)));
        if len > 0 && (*last).kind == from as u8 {
            (*last).kind = to as u8;
        }
    }
}

/// Sends the record at its first sign of trouble; the attempt goes on.
#[inline(always)]
pub fn trouble(sk: u64, record: *mut Record, now: u64) {
    // SAFETY: callers pass a map value.
    unsafe {
        if (*record).flags & flags::TROUBLE_SENT != 0 {
            return;
        }
        (*record).flags |= flags::TROUBLE_SENT;
        refresh(sk, record);
    }
    if !emit::record(record, EventKind::Trouble as u32, now) {
        emit::count(stats::LOST_EVENTS, 1);
    }
}

/// Takes back that the attempt was reported to be in trouble; whether it was, by the kernel side or by user space.
#[inline(always)]
pub fn take_announced(record: *mut Record) -> bool {
    // SAFETY: callers pass a map value; ANNOUNCED holds plain numbers.
    unsafe {
        let mut announced = (*record).flags & flags::TROUBLE_SENT != 0;
        if ANY_ANNOUNCED.get(0).is_some_and(|any| *any != 0)
            && ANNOUNCED.get((*record).sk).copied() == Some((*record).id)
        {
            let _ = ANNOUNCED.remove((*record).sk);
            announced = true;
        }
        (*record).flags &= !flags::TROUBLE_SENT;
        announced
    }
}

/// Reads into the record which errors the socket has.
#[inline(always)]
pub fn refresh_errors(sk: u64, record: *mut Record) {
    // SAFETY: callers pass a map value.
    let record = unsafe { &mut *record };
    if record.flags & flags::UNIX == 0 {
        kernel::errors(sk, &mut record.tcp);
    }
}

/// Reads into the record what the socket itself knows.
#[inline(never)]
pub fn refresh(sk: u64, record: *mut Record) -> u32 {
    // SAFETY: callers pass a map value.
    let record = unsafe { &mut *record };
    if record.flags & flags::UNIX != 0 {
        return 0;
    }
    kernel::local(sk, &kernel::head(sk), &mut record.local);
    kernel::tcp_numbers(sk, &mut record.tcp);
    if record.tcp.snd_wnd == 0 && record.flags & flags::ESTABLISHED != 0 {
        record.flags |= flags::ZERO_WINDOW;
    }
    0
}

/// Counters of the record's upstream.
#[inline(always)]
pub fn counters(record: &Record) -> Option<*mut UpstreamCounters> {
    UPSTREAMS.get_ptr_mut(&record.remote)
}

/// Counts one more.
#[inline(always)]
pub fn add(counter: *mut u64) {
    // SAFETY: callers pass an aligned field of a map value; the counter is shared between CPUs, hence atomic.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) 1u64) }
}

/// Counts a latency.
#[inline(always)]
pub fn add_latency(histogram: *mut [u32; LATENCY_BUCKETS], ns: u64) {
    let bucket = bucket(ns);
    // SAFETY: as above; `bucket` is below LATENCY_BUCKETS.
    unsafe {
        asm!("lock *(u32 *)({0} + 0) += {1}", in(reg) histogram.cast::<u32>().add(bucket), in(reg) 1u64)
    }
}

/// Bucket of a latency: bucket i holds values below 2^i microseconds.
#[inline(always)]
pub fn bucket(ns: u64) -> usize {
    let us = ns / 1000;
    let mut bucket = 0;
    // Unrolled binary search for the bit length: leading_zeros is no BPF instruction.
    let mut rest = us;
    if rest >> 16 != 0 {
        bucket += 16;
        rest >>= 16;
    }
    if rest >> 8 != 0 {
        bucket += 8;
        rest >>= 8;
    }
    if rest >> 4 != 0 {
        bucket += 4;
        rest >>= 4;
    }
    if rest >> 2 != 0 {
        bucket += 2;
        rest >>= 2;
    }
    if rest >> 1 != 0 {
        bucket += 1;
        rest >>= 1;
    }
    bucket += rest as usize;
    let mut bucket = if bucket >= LATENCY_BUCKETS { LATENCY_BUCKETS - 1 } else { bucket };
    const _: () = assert!(LATENCY_BUCKETS <= 32);
    // The verifier of 6.1 also walks a path on which the comparison above contradicts the shifts, and loses all bounds
    // there; this gives it one again.
    // SAFETY: one arithmetic instruction on a register.
    unsafe { asm!("{0} &= 31", inout(reg) bucket) };
    bucket
}
