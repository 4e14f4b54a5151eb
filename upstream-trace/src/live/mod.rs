//! Tracing a running nginx: from the hooks to the output.
//!
//! Sources bring events, in the order of one list (`sources`). The `pipeline` has the engine judge them, records them
//! and prints what the engine says. The `event_loop` reads the ring buffer all the time and takes a turn of all sources
//! every 20 ms. Nothing on its thread waits for a file system, a program, another process or a reader: whatever may do so
//! is a `worker` with a bounded queue, or a thread with one of its own.

mod clock;
mod closers;
mod config;
mod connects;
mod context;
mod counters;
mod depth;
mod dns;
mod event_loop;
mod finish;
mod logs;
mod losses;
mod memory;
mod origins;
mod overhead;
mod pipeline;
mod resolver;
mod rules;
mod run;
mod scan;
mod sources;
mod start;
mod stop;
mod surroundings;
mod takeover;
mod turn;
mod unwatched;
mod vitals;
mod worker;
mod writes;

pub use run::run;

use nix::time::{ClockId, clock_gettime};
use upstream_trace_core::event::Nanos;

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of the events.
fn now() -> Nanos {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    Nanos::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000_000 + Nanos::try_from(now.tv_nsec()).unwrap_or(0)
}
