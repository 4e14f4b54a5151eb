//! Programs that stand in for one that does not run.
//!
//! While a program runs on a processor, the kernel leaves out all other runs of it there. Before 7.0 only an interrupt comes in
//! between. From 7.0 on ("tracing: Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast") a process may lose its
//! processor in the middle of a tracepoint, and until it has it back, milliseconds later, every run is left out: on a busy
//! guest 800 of some 12,000 changes of state. A second program at the same place runs after each event as well, and handles those
//! that the first one did not get. Programs at functions (fentry, fexit) may lose their processor as well.

use aya_ebpf::EbpfContext;
use upstream_trace_common::stats;

use crate::maps::TAKEN;
use crate::{config, emit};

/// A place with two programs.
#[derive(Clone, Copy)]
pub enum Place {
    State = 0,
    Send = 1,
    Receive = 2,
    UnixConnect = 3,
    UnixRelease = 4,
}

/// For the first program: it handles this event.
#[inline(always)]
pub fn handled(place: Place, event: &impl EbpfContext) {
    if config::preempts() != 0 {
        take(place, arguments(event));
    }
}

/// For the stand-in: whether it has to handle this event, since the first program did not get it.
#[inline(always)]
pub fn is_left_out(place: Place, event: &impl EbpfContext) -> bool {
    let left_out = !is_taken(place, arguments(event));
    if left_out {
        emit::count(stats::STOOD_IN, 1);
    }
    left_out
}

/// Where the arguments lie: on the stack of whoever runs, at the same address for both programs, and elsewhere for whatever
/// comes in between.
#[inline(always)]
fn arguments(event: &impl EbpfContext) -> u64 {
    event.as_ptr() as u64
}

/// The first program has this event.
#[inline(always)]
fn take(place: Place, arguments: u64) {
    let Some(taken) = TAKEN.get_ptr_mut(place as u32) else { return };
    // SAFETY: a map value of this processor.
    let taken = unsafe { &mut *taken };
    match taken.iter_mut().find(|taken| **taken == 0) {
        Some(free) => *free = arguments,
        // Of runs of the stand-in that were left out.
        None => *taken = [arguments, 0, 0, 0],
    }
}

/// Whether the first program had this event.
#[inline(always)]
fn is_taken(place: Place, arguments: u64) -> bool {
    let Some(taken) = TAKEN.get_ptr_mut(place as u32) else { return true };
    // SAFETY: as above.
    let taken = unsafe { &mut *taken };
    let taken = taken.iter_mut().find(|taken| **taken == arguments);
    taken.map(|taken| *taken = 0).is_some()
}
