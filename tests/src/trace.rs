//! The tool at work on a world.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::expect::Expected;
use crate::pace::patient;
use crate::rights;
use crate::seen::Seen;
use crate::service;
use crate::tool::{Ended, Tool};
use crate::world::World;

/// How long the tool may take until it says that it has started.
const START: Duration = Duration::from_secs(10);
/// Time left to the tool after the last fault: it may wait a second for a log line.
const SETTLE: Duration = Duration::from_millis(300);
/// Time for an end that nothing holds up.
const END: Duration = Duration::from_secs(10);
/// Time for a report.
const REPORT: Duration = Duration::from_secs(10);

/// A trace that runs. Without the tool (only worlds are made) it does nothing.
#[derive(Debug)]
pub struct Trace<'world> {
    world: &'world World<'world>,
    tool: Option<Tool>,
    recording: Option<PathBuf>,
}

impl<'lab> World<'lab> {
    /// Starts the tool on this world's nginx and waits until it is ready.
    pub fn trace(&'lab self, args: &[&str]) -> Result<Trace<'lab>> {
        self.trace_pid(&self.nginx().master().to_string(), args)
    }

    /// The same, with something else after `--pid`.
    pub fn trace_pid(&'lab self, pid: &str, args: &[&str]) -> Result<Trace<'lab>> {
        self.trace_recorded(pid, args, self.lab().next_recording())
    }

    /// Starts the tool on this world's nginx, recording to this file; its end is followed by a report of that.
    pub fn trace_to(&'lab self, recording: &Path, args: &[&str]) -> Result<Trace<'lab>> {
        self.trace_recorded(&self.nginx().master().to_string(), args, Some(recording.to_owned()))
    }

    fn trace_recorded(
        &'lab self,
        pid: &str,
        args: &[&str],
        recording: Option<PathBuf>,
    ) -> Result<Trace<'lab>> {
        self.trace_chosen(&["--pid", pid], args, recording)
    }

    /// Starts the tool with these arguments to say which nginx it watches.
    pub fn trace_of(&'lab self, which: &[&str], args: &[&str]) -> Result<Trace<'lab>> {
        self.trace_chosen(which, args, self.lab().next_recording())
    }

    fn trace_chosen(
        &'lab self,
        which: &[&str],
        args: &[&str],
        recording: Option<PathBuf>,
    ) -> Result<Trace<'lab>> {
        let mut all = [which, &["--json"]].concat();
        all.extend(args);
        let tool = self.start_recorded(&all, recording.as_deref())?;
        self.ready(tool, recording)
    }

    /// The same as another user with these capabilities; not recorded.
    pub fn trace_as(&'lab self, capabilities: &[&str], args: &[&str]) -> Result<Trace<'lab>> {
        let mut all = vec!["--pid".to_owned(), self.nginx().master().to_string(), "--json".to_owned()];
        all.extend(args.iter().map(ToString::to_string));
        let tool = self.lab().tool().map(|path| rights::start(path, capabilities, &all)).transpose()?;
        self.ready(tool, None)
    }

    /// The same as a service manager starts it, see [`service::start`].
    pub fn trace_service(
        &'lab self,
        journal: &Path,
        variables: &[String],
        args: &[&str],
    ) -> Result<Trace<'lab>> {
        let mut all = vec!["--pid".to_owned(), self.nginx().master().to_string(), "--json".to_owned()];
        all.extend(args.iter().map(ToString::to_string));
        let start = |path: &PathBuf| service::start(path, journal, variables, &all);
        let tool = self.lab().tool().map(start).transpose()?;
        self.ready(tool, None)
    }

    /// The same through another program, such as docker: `before` says with which arguments that runs the tool.
    pub fn trace_through(
        &'lab self,
        program: &Path,
        before: &dyn Fn(&Path) -> Result<Vec<String>>,
    ) -> Result<Trace<'lab>> {
        let master = self.nginx().master().to_string();
        let start = |path: &PathBuf| {
            let mut all = before(path)?;
            all.extend(["--pid", &master, "--json"].map(str::to_owned));
            Tool::start(program, &all)
        };
        let tool = self.lab().tool().map(start).transpose()?;
        self.ready(tool, None)
    }

    fn ready(&'lab self, tool: Option<Tool>, recording: Option<PathBuf>) -> Result<Trace<'lab>> {
        if let Some(tool) = &tool {
            let started = tool.wait_line(START, |line| is_of_type(line, "start"));
            started.with_context(|| format!("the tool did not start:\n{}", tool.said()))?;
        }
        Ok(Trace { world: self, tool, recording })
    }

    /// Starts the tool with these arguments, without waiting for anything.
    pub fn start_tool(&self, args: &[&str]) -> Result<Option<Tool>> {
        self.start_recorded(args, self.lab().next_recording().as_deref())
    }

    /// The same, and never recorded as `LAB_RECORD` asks: the arguments say where to.
    pub fn start_tool_alone(&self, args: &[&str]) -> Result<Option<Tool>> {
        self.start_recorded(args, None)
    }

    fn start_recorded(&self, args: &[&str], recording: Option<&Path>) -> Result<Option<Tool>> {
        let mut args: Vec<String> = args.iter().map(ToString::to_string).collect();
        if let Some(recording) = recording {
            args.extend(["--record".to_owned(), recording.display().to_string()]);
        }
        self.lab().tool().map(|path| Tool::start(path, &args)).transpose()
    }
}

impl<'world> Trace<'world> {
    /// Ends the tool with Ctrl-C and collects what it said.
    pub fn finish(self) -> Result<Seen<'world>> {
        thread::sleep(patient(SETTLE));
        self.finish_at_once(Signal::SIGINT)
    }

    /// Whether such a line of standard output comes in time; true without the tool.
    pub fn wait_line(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> bool {
        self.tool.as_ref().is_none_or(|tool| tool.wait_line(limit, wanted).is_some())
    }

    /// Collects what it said once it has ended by itself, or by a signal that it got.
    pub fn wait_for_end(self) -> Result<Seen<'world>> {
        let lab = self.world.lab();
        let Some(tool) = self.tool else { return Ok(Seen::nothing(lab)) };
        let ended = tool.wait(END)?;
        lab.note("the tool", &ended.said());
        check_status(self.world, &ended, ended.status);
        Ok(Seen::new(lab, &ended.lines))
    }

    /// Ends the tool with a signal, with no time to settle.
    pub fn finish_at_once(self, how: Signal) -> Result<Seen<'world>> {
        let lab = self.world.lab();
        let Some(tool) = self.tool else { return Ok(Seen::nothing(lab)) };
        let ended = tool.stop(how)?;
        lab.note("the tool", &ended.said());
        check_status(self.world, &ended, ended.status);
        if let (Some(recording), Some(path)) = (&self.recording, lab.tool()) {
            let args = ["report", "--json", &recording.display().to_string()].map(str::to_owned);
            let report = Tool::start(path, &args)?.wait(REPORT)?;
            check_status(self.world, &report, report.status);
            compare(self.world, &ended, &report);
        }
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
        let within = patient(within);
        let limit = within + Duration::from_secs(2);
        match tool.wait_line(limit, wanted) {
            Some((at, line)) => {
                let late = at.saturating_duration_since(since);
                lab.check(late <= within, || format!("{name}: after {late:?}, not within {within:?}"));
                Expected::new(lab, name, parse(&line))
            }
            None => lab.expect_sight(name, None),
        }
    }

    /// Waits until there are so many `failure` lines.
    pub fn wait_failures(&self, count: usize, limit: Duration) {
        let Some(tool) = &self.tool else { return };
        let (begin, limit) = (Instant::now(), patient(limit));
        while begin.elapsed() < limit {
            let said = tool.said();
            if said.lines().filter(|line| is_of_type(line, "failure")).count() >= count {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.world.lab().complain(format!("fewer than {count} failures within {limit:?}"));
    }

    /// The tool itself, to be ended in another way.
    #[must_use]
    pub fn into_tool(self) -> Option<Tool> {
        self.tool
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

/// A report of the recording says what the run said, but for what only the run knows.
fn compare(world: &World<'_>, run: &Ended, report: &Ended) {
    let lines = |ended: &Ended| -> Vec<String> {
        ended.lines.iter().map(|(_, line)| without_cost(line).unwrap_or_else(|| line.clone())).collect()
    };
    let (run, report) = (lines(run), lines(report));
    let differ = (0..run.len().max(report.len())).find(|index| run.get(*index) != report.get(*index));
    if let Some(index) = differ {
        let line = |lines: &[String]| lines.get(index).cloned().unwrap_or_else(|| "nothing".into());
        world.lab().complain(format!(
            "line {index} of the report of the recording differs
  it says {}
  the run said {}",
            line(&report),
            line(&run)
        ));
    }
}

fn without_cost(line: &str) -> Option<String> {
    let mut value = parse(line).filter(|value| value["type"] == "summary")?;
    for field in ["overhead", "startup_ms", "rss_bytes", "accounts", "deep_ms"] {
        value.as_object_mut()?.remove(field);
    }
    Some(value.to_string())
}

fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

fn is_of_type(line: &str, kind: &str) -> bool {
    parse(line).is_some_and(|value| value["type"] == kind)
}
