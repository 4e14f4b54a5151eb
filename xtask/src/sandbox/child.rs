//! A process that does not outlive its owner.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process;

/// Ends the process when dropped: it is asked first, and has this long.
const GRACE: Duration = Duration::from_secs(2);

/// A process that we started.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
}

impl Running {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {}", process::text(command)))?;
        Ok(Self { child })
    }

    /// Starts a helper of a sandbox, in a process group of its own; it has said this word when this returns, and runs until
    /// its standard input is closed.
    pub(crate) fn start_ready(command: &mut Command, ready: &str) -> Result<Self> {
        let command = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Self::start(command)?;
        let mut line = String::new();
        if let Some(stdout) = &mut running.child.stdout {
            BufReader::new(stdout).read_line(&mut line).context("cannot hear a helper of the sandbox")?;
        }
        ensure!(line.trim() == ready, "{} did not start", process::text(command));
        Ok(running)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal, unless it ended: then its id may be another's by now.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if !self.has_ended() {
            let _gone = kill(Pid::from_raw(self.pid().cast_signed()), signal);
        }
    }

    /// Waits until it ends, or something else is so; whether it ended.
    pub(crate) fn wait(&mut self, limit: Duration, or: impl Fn() -> bool) -> bool {
        let begin = Instant::now();
        while !self.has_ended() {
            if begin.elapsed() > limit || or() {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
        if !self.wait(GRACE, || false) {
            self.signal(Signal::SIGKILL);
            let _reaped = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_outlive_its_owner() {
        let running = Running::start(Command::new("sleep").arg("60")).unwrap();
        let pid = Pid::from_raw(running.pid().cast_signed());
        assert!(kill(pid, None).is_ok());
        drop(running);
        assert!(kill(pid, None).is_err());
    }

    #[test]
    fn waiting_ends() {
        let mut running = Running::start(Command::new("sleep").arg("60")).unwrap();
        assert!(!running.wait(Duration::from_secs(9), || true));
        running.signal(Signal::SIGKILL);
        assert!(running.wait(Duration::from_secs(9), || false));
    }
}
