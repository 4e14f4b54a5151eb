//! What the program prints: JSON for programs, blocks of text for people.

pub(crate) mod about;
mod accounts;
pub(crate) mod block;
mod clock;
mod escape;
mod json;
pub mod layout;
pub mod number;
mod pipe;
pub mod progress;
mod queue;
mod rate_limiter;
mod sink;
mod status;
pub mod stream;
mod summary;
pub mod table;
mod terminal;
pub mod top;

use std::io::{self, IsTerminal};
use std::time::Duration;

use anstream::AutoStream;
use clap::ColorChoice;
use serde::Serialize;
use terminal_size::{Width, terminal_size_of};
use upstream_trace_core::event::Host;
use upstream_trace_core::verdict::LogLines;

pub use accounts::Accounts;
pub use escape::escape;
pub use json::Json;
pub use rate_limiter::{RateLimiter, Suppressed};
pub use sink::{Sink, SinkState, Sinks};
pub(crate) use summary::of_lost;
pub use terminal::{Look, Terminal};

/// What the summary says beyond the numbers of the engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extra {
    /// What a live trace cost; a recording does not tell.
    pub cost: Option<Cost>,
    /// Where all attempts are; a recording does not tell.
    pub accounts: Option<Accounts>,
}

/// What a live trace cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// What each hook cost.
    pub overhead: Vec<HookCost>,
    /// From the start of the program until all hooks were attached, milliseconds.
    pub startup_ms: f64,
    /// For how long what nginx sends and receives was watched, milliseconds.
    pub deep_ms: f64,
    /// Resident memory at the end.
    pub rss_bytes: u64,
}

/// How a live trace is doing; told now and then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Lines of error.log so far.
    pub log_lines: LogLines,
    /// What each hook cost when that was last measured.
    pub hooks: Vec<HookCost>,
    /// Processor time of the program.
    pub cpu: Duration,
    /// Its resident memory.
    pub rss_bytes: u64,
}

/// What one hook cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookCost {
    /// Name of the hook.
    pub name: String,
    /// How often it ran while that was measured: now and then, and all the time with `--verbose`.
    pub runs: u64,
    /// How long such a run took on average, nanoseconds, with the 65 to 75 that measuring costs.
    pub mean_ns: u64,
    /// How often it ran per second while that was measured.
    pub per_second: u64,
}

/// How text for stdout and stderr looks.
pub(crate) fn look(colour: ColorChoice, verbose: bool) -> Look {
    Look {
        width: columns(),
        colour: wants_colour(&io::stdout(), colour),
        status_colour: wants_colour(&io::stderr(), colour),
        verbose,
    }
}

/// How a host is called among others: by its name, or the file that it was recorded to.
pub(crate) fn host_label(host: &Host, file: &str) -> String {
    let name = if host.hostname.is_empty() { file } else { &host.hostname };
    escape(name).into_owned()
}

/// The page that stdout is.
#[must_use]
pub fn page(colour: ColorChoice) -> layout::TextLayout {
    layout::TextLayout { width: columns(), colour: wants_colour(&io::stdout(), colour) }
}

/// 80, or as wide as the terminal within reason.
fn columns() -> usize {
    let known = terminal_size_of(io::stdout()).or_else(|| terminal_size_of(io::stderr()));
    known.map_or(80, |(Width(columns), _)| usize::from(columns).clamp(40, 100))
}

/// `auto`: on a terminal that knows colours, unless `NO_COLOR` is set.
fn wants_colour(stream: &(impl anstream::stream::RawStream + IsTerminal), choice: ColorChoice) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => AutoStream::choice(stream) != anstream::ColorChoice::Never,
    }
}

#[cfg(test)]
pub(crate) mod tests;
