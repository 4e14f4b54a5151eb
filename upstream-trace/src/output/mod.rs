//! The sinks of a service: what other programs collect. Those for people are in `upstream_trace_read::output`.

mod handoff;
pub mod journal;
pub mod manager;
pub mod metrics;
pub mod otlp;
#[cfg(test)]
pub(crate) mod testkit;

use anyhow::Result;
use upstream_trace_read::output::Sinks;

/// Which of them are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Metrics go here.
    pub metrics: Vec<metrics::Target>,
    /// Failures go to this OpenTelemetry receiver.
    pub otlp: Option<otlp::Endpoint>,
    /// They are written to the journal.
    pub journal: bool,
}

/// Opens those that are wanted, after the others. `on_start` runs first on each of their threads.
///
/// # Errors
/// If one cannot be opened; the message names it.
pub fn open(options: &Options, sinks: &mut Sinks, on_start: fn()) -> Result<()> {
    for target in &options.metrics {
        sinks.push(metrics::Metrics::open(target, on_start)?);
    }
    if let Some(endpoint) = &options.otlp {
        sinks.push(otlp::Otlp::open(endpoint, on_start)?);
    }
    if options.journal {
        sinks.push(journal::Journal::open(on_start)?);
    }
    if let Some(manager) = manager::Manager::open(on_start)? {
        sinks.push(manager);
    }
    Ok(())
}
