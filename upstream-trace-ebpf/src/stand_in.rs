//! Programs that stand in for one that does not run.
//!
//! While a program runs on a processor, the kernel leaves out all other runs of it there. Before 7.0 only an interrupt comes in
//! between. From 7.0 on ("tracing: Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast") a process may lose its
//! processor in the middle of a tracepoint, and until it has it back, milliseconds later, every run is left out: on a busy
//! guest 800 of some 12,000 changes of state. A second program at the same tracepoint runs after each event as well, and handles
//! those that the first one did not get.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::programs::RawTracePointContext;
use upstream_trace_common::stats;

use crate::maps::TAKEN;
use crate::{config, emit};

/// A tracepoint with two programs.
#[derive(Clone, Copy)]
pub enum Tracepoint {
    State = 0,
    Send = 1,
    Receive = 2,
}

/// The first program: it handles each event that it gets.
#[inline(always)]
pub fn first(
    tracepoint: Tracepoint,
    event: &RawTracePointContext,
    handle: impl FnOnce(&RawTracePointContext),
) -> i32 {
    if config::preempts() != 0 {
        take(tracepoint, place_of(event));
    }
    handle(event);
    0
}

/// The stand-in: it handles what the first one did not get.
#[inline(always)]
pub fn second(
    tracepoint: Tracepoint,
    event: &RawTracePointContext,
    handle: impl FnOnce(&RawTracePointContext),
) -> i32 {
    if !is_taken(tracepoint, place_of(event)) {
        emit::count(stats::STOOD_IN, 1);
        handle(event);
    }
    0
}

/// Where the arguments lie: on the stack of whoever runs, at the same place for both programs, and elsewhere for whatever
/// comes in between.
#[inline(always)]
fn place_of(event: &RawTracePointContext) -> u64 {
    event.as_ptr() as u64
}

/// The first program has this event.
#[inline(always)]
fn take(tracepoint: Tracepoint, place: u64) {
    let Some(taken) = TAKEN.get_ptr_mut(tracepoint as u32) else { return };
    // SAFETY: a map value of this processor.
    let taken = unsafe { &mut *taken };
    match taken.iter_mut().find(|taken| **taken == 0) {
        Some(free) => *free = place,
        // Of runs of the stand-in that were left out.
        None => *taken = [place, 0, 0, 0],
    }
}

/// Whether the first program had this event.
#[inline(always)]
fn is_taken(tracepoint: Tracepoint, place: u64) -> bool {
    let Some(taken) = TAKEN.get_ptr_mut(tracepoint as u32) else { return true };
    // SAFETY: as above.
    let taken = unsafe { &mut *taken };
    let taken = taken.iter_mut().find(|taken| **taken == place);
    taken.map(|taken| *taken = 0).is_some()
}
