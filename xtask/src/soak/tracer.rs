//! The tool, and all that it says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::truth;
use crate::sandbox::Running;

/// So many objects are kept to be shown.
const SHOWN: usize = 20;
/// From its start until all hooks are attached.
const START: Duration = Duration::from_secs(30);
/// From SIGINT to its summary.
const END: Duration = Duration::from_secs(20);

/// What it said of a world in which nothing is wrong.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) failures: u64,
    pub(super) pending: u64,
    /// The first of these.
    pub(super) shown: Vec<String>,
    /// The first failure of each cause and upstream.
    pub(super) firsts: BTreeMap<String, Value>,
    /// The first failures whose cause is none that the upstream has.
    pub(super) wrong: Vec<Value>,
    pub(super) summary: Value,
}

impl Said {
    fn hear(&mut self, line: String, begun: &Sender<()>) {
        let Ok(object) = serde_json::from_str::<Value>(&line) else { return };
        match object["type"].as_str() {
            Some("start") => {
                let _nobody_waits = begun.send(());
                return;
            }
            Some("summary") => {
                self.summary = object;
                return;
            }
            Some("failure") => {
                self.failures += 1;
                if !truth::is_possible(&object) && self.wrong.len() < SHOWN {
                    self.wrong.push(object.clone());
                }
                let of = format!("{} of {}", object["cause"], object["upstream"]);
                self.firsts.entry(of).or_insert(object);
            }
            Some("pending") => self.pending += 1,
            Some("lost") => {}
            _ => return,
        }
        if self.shown.len() < SHOWN {
            self.shown.push(line);
        }
    }
}

/// It runs until it is told to end.
pub(super) struct Tracer {
    pub(super) running: Running,
    said: JoinHandle<Said>,
}

impl Tracer {
    /// Starts it on this nginx; its hooks are attached when this returns.
    pub(super) fn start(program: &Path, nginx: u32, depth: &str, more: &[OsString]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--json", "--depth", depth, "--pid", &nginx.to_string()]).args(more);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = Running::start(&mut command)?;
        let stdout = running.child.stdout.take().context("the tracer's output")?;
        let (begun, begins): (_, Receiver<()>) = channel();
        let said = thread::spawn(move || {
            let mut said = Said::default();
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| said.hear(line, &begun));
            said
        });
        ensure!(begins.recv_timeout(START).is_ok(), "the tracer did not start");
        Ok(Self { running, said })
    }

    /// Ends it.
    pub(super) fn end(mut self) -> Result<Said> {
        self.running.signal(Signal::SIGINT);
        ensure!(self.running.wait(END, || false), "the tracer does not end");
        let said = self.said.join().ok().context("the tracer's output cannot be read")?;
        ensure!(said.summary.is_object(), "the tracer gave no summary");
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_counted() {
        let (begun, begins) = channel();
        let mut said = Said::default();
        for line in [
            r#"{"type":"start"}"#,
            r#"{"type":"failure","cause":"x","attempt":1}"#,
            r#"{"type":"failure","cause":"x","attempt":2}"#,
            r#"{"type":"pending"}"#,
            r#"{"type":"note"}"#,
            r#"{"type":"lost"}"#,
            "no json",
            r#"{"type":"summary","lost":1}"#,
        ] {
            said.hear(line.to_owned(), &begun);
        }
        assert!(begins.try_recv().is_ok());
        assert_eq!((said.failures, said.pending, said.shown.len()), (2, 1, 4));
        assert!(said.firsts.len() == 1 && said.firsts.values().all(|first| first["attempt"] == 1));
        assert_eq!(said.summary["lost"], 1);
    }
}
