//! Network namespaces: what happens in one stays there.

use std::ffi::OsStr;
use std::process::{self as this, Command};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process;

/// A namespace of our own; gone when dropped, with whatever still runs in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    /// Makes one in which only loopback is up.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        let name = format!("{prefix}-{}", this::id());
        ip(&["netns", "add", &name]).context("cannot make a network namespace")?;
        let namespace = Self { name };
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// A command that runs inside.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let inside = process::capture(Command::new("ip").args(["netns", "pids", &self.name]));
        for pid in inside.unwrap_or_default().lines().filter_map(|pid| pid.trim().parse().ok()) {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            crate::say::note("Left", format!("{error:#}"));
        }
    }
}

/// Runs `ip` with these arguments.
pub(crate) fn ip(args: &[&str]) -> Result<()> {
    process::capture(Command::new("ip").args(args)).map(drop)
}
