//! `cargo xtask`: sets up, builds, runs, shows and tests upstream-trace.

mod archive;
mod bench;
mod build;
mod demo;
mod dist;
mod fuzz;
mod image;
mod lint;
mod paths;
mod process;
mod run;
mod sandbox;
mod say;
mod setup;
mod sha256;
mod site;
mod soak;
mod test;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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
    /// Write a container image with nothing in it but the static binary
    Image(image::Options),
    /// Make the packages of a release: .deb, .rpm, tarball, image, checksums
    Dist(dist::Options),
    /// Build it and run it as root
    Run {
        /// Arguments of upstream-trace
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Trace a private nginx with broken upstreams
    Demo(demo::Demo),
    /// Trace mixed traffic with reloads for long, and see whether anything grows
    Soak(soak::Soak),
    /// Measure what tracing costs a busy nginx, beside its peers
    Bench(bench::Options),
    /// Run unit tests and the fault lab
    Test(test::Selection),
    /// Run the fault lab on other kernels, in virtual machines
    Vm(vm::Vm),
    /// Give hostile input to whatever reads input, for as long as you like
    Fuzz(fuzz::Options),
    /// Check form, lints, rooms, licences, advisories and documentation
    Lint(lint::Options),
    /// The upstreams of the demo
    #[command(hide = true)]
    Backend {
        /// Whose
        side: site::backend::Side,
    },
    /// Origins of other protocols than HTTP, and a name server, for the soak test
    #[command(hide = true)]
    Responder,
    /// Clients that leave, upgrade and come in bursts, for the soak test
    #[command(hide = true)]
    Odd {
        /// Whether the nginx is a newer one
        #[arg(long)]
        newer: bool,
        /// Where certificates are
        certificates: PathBuf,
    },
    /// Empty programs on kernel tracepoints, for the benchmark
    #[command(hide = true)]
    Floor {
        /// Names of tracepoints
        hooks: Vec<String>,
    },
    /// An origin that never answers, for the benchmark
    #[command(hide = true)]
    Hold {
        /// Last number of its address
        host: u8,
    },
    /// Clients of that, for the benchmark
    #[command(hide = true)]
    Wait {
        /// How many
        clients: usize,
    },
    /// The client of the demo
    #[command(hide = true)]
    Client {
        /// How many requests to each upstream; with --mixed, seconds
        rounds: usize,
        /// Mixed traffic for so long
        #[arg(long)]
        mixed: bool,
    },
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
        Command::Setup { check: false } => {
            setup::everything().map(|()| say::say("Ready", "nothing is missing"))
        }
        Command::Build(options) => build::build(options).map(drop),
        Command::Image(options) => image::image(options),
        Command::Dist(options) => dist::dist(options),
        Command::Run { args } => run::run(&args),
        Command::Demo(options) => demo::demo(&options),
        Command::Bench(options) => bench::bench(&options),
        Command::Test(selection) => test::test(&selection),
        Command::Vm(options) => vm::vm(&options),
        Command::Fuzz(options) => fuzz::fuzz(&options),
        Command::Lint(options) => lint::lint(&options),
        Command::Backend { side } => site::backend::serve(side),
        Command::Responder => soak::healthy::responder::serve(),
        Command::Odd { newer, certificates } => {
            soak::healthy::odd::act(newer, &certificates);
            Ok(())
        }
        Command::Floor { hooks } => bench::floor::hold(&hooks),
        Command::Hold { host } => bench::hold::accept(host),
        Command::Wait { clients } => bench::hold::ask(clients),
        Command::Soak(options) => soak::soak(&options),
        Command::Client { rounds, mixed: true } => {
            site::client::mix(Duration::from_secs(rounds as u64));
            Ok(())
        }
        Command::Client { rounds, mixed: false } => {
            site::client::ask(rounds);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
