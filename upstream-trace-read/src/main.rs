//! Reads recordings of upstream-trace on any system, without root.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use upstream_trace_read::args::{Explain, Redact, Report, Top};
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
    /// Print verdicts and reports from recordings
    Report(Report),
    /// Show a recording on the whole terminal
    Top(Top),
    /// Copy a recording without client addresses, request paths and host names
    Redact(Redact),
    /// Explain a cause: what it means, its evidence, the fix
    Explain(Explain),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Report(args) => commands::report(&args),
        Command::Top(args) => commands::top(&args.file, args.color),
        Command::Redact(args) => commands::redact(&args),
        Command::Explain(args) => explain::run(&args),
    };
    result.unwrap_or_else(|error| {
        // One line; what comes from outside (names, paths) may not reach the terminal raw.
        eprintln!("upstream-trace: {}", output::escape(&format!("{error:#}")));
        ExitCode::FAILURE
    })
}
