//! Into the ring buffer, and the sums that show what did not fit.

use core::arch::asm;

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use upstream_trace_common::{EventHeader, EventKind, Record, stats};

use crate::config::wakeup_bytes;
use crate::maps::{EVENTS, STATS};

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes no argument.
    unsafe { bpf_ktime_get_ns() }
}

/// Adds to one of the sums; per CPU, but a softirq may come between.
#[inline(always)]
pub fn count(index: u32, by: i64) {
    if let Some(sum) = STATS.get_ptr_mut(index) {
        // SAFETY: the pointer is to this CPU's element, which lives as long as the map.
        unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) sum, in(reg) by) }
    }
}

/// User space looks into the ring buffer every 20 ms by itself; waking it costs microseconds in nginx's own time, so it
/// is woken only when the buffer fills up.
#[inline(always)]
pub fn wakeup() -> u64 {
    const BPF_RB_AVAIL_DATA: u64 = 0;
    const BPF_RB_NO_WAKEUP: u64 = 1;
    const BPF_RB_FORCE_WAKEUP: u64 = 2;
    if EVENTS.query(BPF_RB_AVAIL_DATA) > wakeup_bytes() { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP }
}

/// Sends an event that `fill` completes; counts it as lost if the buffer is full.
#[inline(always)]
pub fn event<T: 'static>(kind: EventKind, tgid: u32, at: u64, fill: impl FnOnce(*mut T)) {
    let Some(mut entry) = EVENTS.reserve::<T>(0) else {
        count(stats::LOST_EVENTS, 1);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: every event type begins with an EventHeader (repr(C)) and the reserved memory is large enough.
    unsafe { event.cast::<EventHeader>().write(EventHeader { now_ns: at, kind: kind as u32, tgid }) };
    fill(event);
    entry.submit(wakeup());
}

/// Sends a record; false if the buffer is full.
#[inline(never)]
pub fn record(record: *const Record, kind: u32, now: u64) -> bool {
    let Some(mut entry) = EVENTS.reserve::<Record>(0) else { return false };
    let copy = entry.as_mut_ptr();
    // SAFETY: the verifier requires `record` to be a map value of that size; the reserved memory is as large and
    // does not overlap it.
    unsafe {
        core::ptr::copy_nonoverlapping(record, copy, 1);
        (*copy).header = EventHeader { now_ns: now, kind, tgid: (*copy).tgid };
    }
    entry.submit(wakeup());
    true
}

/// Sends the record of an attempt that has ended. The sum that the attempt is counted in, an index of [`stats`].
#[inline(always)]
pub fn end(ended: *const Record, now: u64) -> u32 {
    if record(ended, EventKind::End as u32, now) { stats::REPORTED } else { stats::LOST_RING }
}
