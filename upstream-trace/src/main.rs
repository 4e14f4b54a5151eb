//! Says why an nginx answers 502 or 504, from what the kernel did with its upstream connections.

use std::process::ExitCode;

use clap::Parser;
use upstream_trace::cli::{Cli, Command};
use upstream_trace::{explain, live, output, report};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        None => live::run(&cli),
        Some(Command::Report(args)) => report::run(args),
        Some(Command::Explain(args)) => explain::run(args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // One line; what comes from outside (names, paths) may not reach the terminal raw.
            eprintln!("upstream-trace: {}", output::escape(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
