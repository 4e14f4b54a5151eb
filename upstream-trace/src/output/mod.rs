//! The sinks of a service: what other programs collect. Those for people are in `upstream_trace_read::output`.

pub mod metrics;
#[cfg(test)]
pub(crate) mod testkit;

use anyhow::Result;
use upstream_trace_read::output::Sinks;

/// Which of them are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Metrics go here.
    pub metrics: Vec<metrics::Target>,
}

impl Options {
    /// Whether any is.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.metrics.is_empty()
    }
}

/// Opens those that are wanted, after the others. `on_start` runs first on each of their threads.
///
/// # Errors
/// If one cannot be opened; the message names it.
pub fn open(options: &Options, sinks: &mut Sinks, on_start: fn()) -> Result<()> {
    for target in &options.metrics {
        sinks.push(metrics::Metrics::open(target, on_start)?);
    }
    Ok(())
}
