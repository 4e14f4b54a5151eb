//! Says why an nginx answers 502 or 504, from what the kernel did with its upstream connections.

use std::process::ExitCode;

use clap::Parser;
use upstream_trace::cli::Cli;
use upstream_trace::{live, output};

fn main() -> ExitCode {
    match live::run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // One line; what comes from outside (names, paths) may not reach the terminal raw.
            eprintln!("upstream-trace: {}", output::escape(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
