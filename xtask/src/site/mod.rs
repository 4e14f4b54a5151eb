//! An nginx with upstreams that are broken in known ways: what the demo shows and the soak test loads.

pub(crate) mod backend;
pub(crate) mod client;
mod fault;
mod network;
mod nginx;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::sandbox::{Namespace, Running};
pub(crate) use fault::{LISTEN, UPSTREAMS};
pub(crate) use network::{add_firewall, pair as network};
pub(crate) use nginx::configuration;

/// The program that is all upstreams of a side; it listens when this returns.
pub(crate) fn start_upstreams(namespace: &Namespace, side: &str) -> Result<Running> {
    let mut command = namespace.command(std::env::current_exe().context("cannot find xtask itself")?);
    command.args(["backend", side]).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut upstreams = Running::start(&mut command)?;
    let mut line = String::new();
    if let Some(stdout) = &mut upstreams.child.stdout {
        BufReader::new(stdout).read_line(&mut line).context("cannot hear the upstreams")?;
    }
    if line.trim() != backend::READY {
        bail!("the upstreams of the demo did not start");
    }
    Ok(upstreams)
}
