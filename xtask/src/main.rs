//! `cargo xtask`: sets up, builds, runs, shows and tests upstream-trace.

mod build;
mod paths;
mod process;
mod say;
mod setup;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Sets up, builds, runs, shows and tests upstream-trace.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get what build, tests and demo need, once
    Setup {
        /// Only say what is missing
        #[arg(long)]
        check: bool,
    },
    /// Build one self-contained binary
    Build(build::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::fail(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Setup { check: true } => setup::check(),
        Command::Setup { check: false } => setup::all().map(|_| say::say("Ready", "nothing is missing")),
        Command::Build(options) => build::build(options).map(drop),
    }
}
