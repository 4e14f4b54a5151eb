//! The tool at work on a world.

use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::expect::Expected;
use crate::seen::Seen;
use crate::tool::{Ended, Tool};
use crate::world::World;

/// How long the tool may take until it says that it has started.
const START: Duration = Duration::from_secs(10);
/// Time left to the tool after the last fault: it may wait a second for a log line.
const SETTLE: Duration = Duration::from_millis(300);

/// A trace that runs. Without the tool (only worlds are made) it does nothing.
#[derive(Debug)]
pub struct Trace<'world> {
    world: &'world World<'world>,
    tool: Option<Tool>,
}

impl<'lab> World<'lab> {
    /// Starts the tool on this world's nginx and waits until it is ready.
    pub fn trace(&'lab self, args: &[&str]) -> Result<Trace<'lab>> {
        self.trace_pid(&self.nginx().master().to_string(), args)
    }

    /// The same, with something else after `--pid`.
    pub fn trace_pid(&'lab self, pid: &str, args: &[&str]) -> Result<Trace<'lab>> {
        let mut all = vec!["--pid", pid, "--json"];
        all.extend(args);
        let tool = self.start_tool(&all)?;
        if let Some(tool) = &tool {
            let started = tool.wait_line(START, |line| is_of_type(line, "start"));
            started.with_context(|| format!("the tool did not start:\n{}", tool.said()))?;
        }
        Ok(Trace { world: self, tool })
    }

    /// Starts the tool with these arguments, without waiting for anything.
    pub fn start_tool(&self, args: &[&str]) -> Result<Option<Tool>> {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        self.lab().tool().map(|path| Tool::start(path, &args)).transpose()
    }
}

impl<'world> Trace<'world> {
    /// Ends the tool with Ctrl-C and collects what it said.
    pub fn finish(self) -> Result<Seen<'world>> {
        thread::sleep(SETTLE);
        self.finish_at_once(Signal::SIGINT)
    }

    /// Ends the tool with a signal, with no time to settle.
    pub fn finish_at_once(self, how: Signal) -> Result<Seen<'world>> {
        let lab = self.world.lab();
        let Some(tool) = self.tool else { return Ok(Seen::nothing(lab)) };
        let ended = tool.stop(how)?;
        lab.note("the tool", &ended.said());
        check_status(self.world, &ended, ended.status);
        Ok(Seen::new(lab, &ended.lines))
    }

    /// Waits for a `pending` line with this cause that must come within a time of a moment.
    pub fn pending(&self, cause: &str, since: Instant, within: Duration) -> Expected<'world> {
        let lab = self.world.lab();
        let name = format!("pending {cause}");
        let Some(tool) = &self.tool else { return Expected::unchecked(lab, name) };
        let wanted = |line: &str| {
            is_of_type(line, "pending") && parse(line).is_some_and(|value| value["cause"] == cause)
        };
        let limit = within + Duration::from_secs(2);
        match tool.wait_line(limit, wanted) {
            Some((at, line)) => {
                let late = at.saturating_duration_since(since);
                lab.check(late <= within, || format!("{name}: after {late:?}, not within {within:?}"));
                Expected::new(lab, name, parse(&line))
            }
            None => Expected::new(lab, name, None),
        }
    }

    /// Waits until there are so many `failure` lines.
    pub fn wait_failures(&self, count: usize, limit: Duration) {
        let Some(tool) = &self.tool else { return };
        let begin = Instant::now();
        while begin.elapsed() < limit {
            let said = tool.said();
            if said.lines().filter(|line| is_of_type(line, "failure")).count() >= count {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.world.lab().complain(format!("fewer than {count} failures within {limit:?}"));
    }

    /// The pid of the tool, if there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.tool.as_ref().map(Tool::pid)
    }
}

fn check_status(world: &World<'_>, ended: &Ended, status: ExitStatus) {
    world.lab().check(status.code() == Some(0), || format!("the tool ended with {status}: {}", ended.stderr));
}

fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

fn is_of_type(line: &str, kind: &str) -> bool {
    parse(line).is_some_and(|value| value["type"] == kind)
}
