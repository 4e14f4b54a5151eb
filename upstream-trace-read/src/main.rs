//! Reads recordings of upstream-trace on any system, without root.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use upstream_trace_read::args::{Explain, Redact, Report};
use upstream_trace_read::{commands, explain, output};

/// Reads recordings of upstream-trace: why an nginx answered 502 or 504.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the verdicts from a recording
    Report(Report),
    /// Write a copy of a recording to share, without who asked for what
    Redact(Redact),
    /// Say what a cause means, how it is told apart and what to do
    Explain(Explain),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Report(args) => commands::report(&args),
        Command::Redact(args) => commands::redact(&args),
        Command::Explain(args) => explain::run(&args),
    };
    result.unwrap_or_else(|error| {
        // One line; what comes from outside (names, paths) may not reach the terminal raw.
        eprintln!("upstream-trace: {}", output::escape(&format!("{error:#}")));
        ExitCode::FAILURE
    })
}
