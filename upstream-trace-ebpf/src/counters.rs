//! Counters per upstream address.

use core::arch::asm;

use upstream_trace_common::{Addr, LATENCY_BUCKETS, UpstreamCounters, bucket};

use crate::maps::UPSTREAMS;

/// `BPF_NOEXIST`.
const NO_EXIST: u64 = 1;

/// What new counters are copied from.
#[unsafe(no_mangle)]
static NO_COUNTS: UpstreamCounters = UpstreamCounters::ZERO;

/// Counters of an upstream, if it has some.
#[inline(always)]
pub fn get(remote: &Addr) -> Option<*mut UpstreamCounters> {
    UPSTREAMS.get_ptr_mut(remote)
}

/// Counters of an upstream, made if they are not there.
#[inline(always)]
pub fn get_or_insert(remote: &Addr) -> Option<*mut UpstreamCounters> {
    if let Some(counters) = get(remote) {
        return Some(counters);
    }
    // Two CPUs may come here at once: the second insertion fails and finds what the first one made.
    let _ = UPSTREAMS.insert(remote, &NO_COUNTS, NO_EXIST);
    get(remote)
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
    const _: () = assert!(LATENCY_BUCKETS <= 32);
    let mut bucket = bucket(ns);
    // The verifier of 6.1 also walks a path on which the comparison in `bucket` contradicts its shifts, and loses all
    // bounds there; this gives it one again.
    // SAFETY: one arithmetic instruction on a register.
    unsafe { asm!("{0} &= 31", inout(reg) bucket) };
    // SAFETY: as in `add`; `bucket` is below LATENCY_BUCKETS.
    unsafe {
        asm!("lock *(u32 *)({0} + 0) += {1}", in(reg) histogram.cast::<u32>().add(bucket), in(reg) 1u64);
    }
}
