//! The sinks of a service: what other programs collect. Those for people are in `upstream_trace_read::output`.
//!
//! To add a sink, write its file, and here its `mod` line, its option and its line in [`open`].

mod handoff;
pub mod journal;
pub mod manager;
pub mod metrics;
pub mod otlp;
#[cfg(test)]
pub(crate) mod testkit;

use anyhow::Result;
use clap::Args;
use upstream_trace_read::output::Sinks;

/// Which of them are wanted: options of the command line, and keys of the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct Options {
    /// Serve metrics for Prometheus at this address, or write them to a file
    /// that ends in .prom, for the textfile collector; repeatable
    #[arg(long, value_name = "ADDR:PORT|FILE.prom")]
    pub metrics: Vec<metrics::Target>,

    /// Send failures as log events to this OpenTelemetry receiver
    /// (`http://HOST:4318`), by OTLP over HTTP
    #[arg(long, value_name = "URL")]
    pub otlp: Option<otlp::Endpoint>,

    /// Write results to the systemd journal, with fields. This is the default
    /// if stdout is the journal and `--json` is not given
    #[arg(long)]
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
