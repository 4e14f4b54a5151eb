//! `upstream-trace doctor`: what this kernel and these rights allow, tried and not guessed, and what is lost without
//! each.

mod json;
mod look;
mod text;

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli;
use crate::errorlog::LogOutput;
use crate::host::privileges::Right;
use crate::kernel::hook_filter;
use crate::kernel::probe::{MapSize, Probed};
use upstream_trace_read::output;

/// What was found.
#[derive(Debug, Default)]
struct Findings {
    system: System,
    rights: Vec<(&'static Right, bool)>,
    /// Hooks were really tried.
    tried: bool,
    hooks: Vec<Probed>,
    maps: Vec<MapSize>,
    nginx: Option<NginxFindings>,
    /// Programs that list rules, and where each is.
    programs: Vec<(&'static str, Option<String>)>,
    /// What is in the way of a trace.
    obstacles: Vec<Obstacle>,
}

/// The kernel.
#[derive(Debug, Default)]
struct System {
    kernel: String,
    /// `none`, `integrity`, `confidentiality`.
    lockdown: Option<String>,
    /// Fields of kernel structures that are read, and those of them that this kernel lacks; `None` without BTF.
    fields: Option<(usize, Vec<String>)>,
    /// Addresses of kernel functions are shown.
    symbols: bool,
}

/// nginx, as a trace would find it.
#[derive(Debug, Default)]
struct NginxFindings {
    masters: Vec<u32>,
    workers: Vec<u32>,
    version: Option<String>,
    /// It is in another network namespace than this program.
    elsewhere: bool,
    /// Logs that a trace would read.
    logs: Vec<String>,
    /// What else there is to say of them.
    said: Vec<LogOutput>,
}

/// Something in the way, and what to do about it.
#[derive(Debug)]
struct Obstacle {
    what: String,
    next: Option<String>,
}

impl Findings {
    fn can_run(&self) -> bool {
        self.obstacles.is_empty()
    }
}

/// Looks at everything and says it; status 1 if a trace cannot run.
pub fn run(args: &cli::Doctor) -> Result<ExitCode> {
    if args.list_hooks || args.hooks.list {
        return say(&hook_filter::list()).map(|()| ExitCode::SUCCESS);
    }
    let findings = look::look(&args.which.targets(), &args.hooks);
    let text =
        if args.json { json::lines(&findings) } else { text::page(output::page(args.color), &findings) };
    say(&text)?;
    Ok(if findings.can_run() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(text: &str) -> Result<()> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who pages through it need not read to the end.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write the output"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
