//! Programs that stand in for one that does not run.
//!
//! While a program runs on a processor, the kernel leaves out all other runs of it there. Before 7.0 only an interrupt comes in
//! between. From 7.0 on ("tracing: Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast") a process may lose its
//! processor in the middle of a tracepoint, and until it has it back, milliseconds later, every run is left out: on a busy
//! guest 800 of 12,000 changes of state. A second program at the same tracepoint runs after each event as well, and handles
//! those that the first one did not get.

use core::ffi::c_void;

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

use upstream_trace_common::stats;

use crate::{config, emit};

/// A tracepoint with two programs.
#[derive(Clone, Copy)]
pub enum Tracepoint {
    State = 0,
    Send = 1,
    Receive = 2,
}

/// Where the arguments lie of events that the first program had and of which the stand-in has not heard yet: one, and those
/// that were interrupted between the two programs.
type Taken = [u64; 4];

/// By tracepoint.
#[map]
static TAKEN: PerCpuArray<Taken> = PerCpuArray::with_max_entries(3, 0);

/// The first program has this event. Its arguments lie on the stack of whoever runs: at the same place for the stand-in, and
/// elsewhere for whatever comes in between.
#[inline(always)]
pub fn take(tracepoint: Tracepoint, arguments: *const c_void) {
    if config::preempts() == 0 {
        return;
    }
    let Some(taken) = TAKEN.get_ptr_mut(tracepoint as u32) else { return };
    // SAFETY: a map value of this processor.
    let taken = unsafe { &mut *taken };
    match taken.iter_mut().find(|place| **place == 0) {
        Some(place) => *place = arguments as u64,
        // Of runs of the stand-in that were left out.
        None => *taken = [arguments as u64, 0, 0, 0],
    }
}

/// Whether the first program had this event.
#[inline(always)]
pub fn is_taken(tracepoint: Tracepoint, arguments: *const c_void) -> bool {
    let Some(taken) = TAKEN.get_ptr_mut(tracepoint as u32) else { return true };
    // SAFETY: as above.
    let taken = unsafe { &mut *taken };
    let place = taken.iter_mut().find(|place| **place == arguments as u64);
    if let Some(place) = place {
        *place = 0;
        true
    } else {
        emit::count(stats::STOOD_IN, 1);
        false
    }
}
