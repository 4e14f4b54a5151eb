//! What a scenario is given: worlds to make, and somewhere to complain.

pub mod expect;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use serde_json::Value;

use crate::lab::expect::Expected;
use crate::limits::{self, Limit};
use crate::pace::is_emulated;
use crate::report;
use crate::results;
use crate::table::Row;
use crate::util::Missing;

/// What to do with the scenarios.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Run this tool in each world and check what it says.
    Tool(PathBuf),
    /// Only make the worlds, and check nginx's own words.
    Worlds,
    /// Nothing, for this reason.
    Nothing(String),
}

impl Mode {
    /// From `UPSTREAM_TRACE_BIN` (the tool) or `UPSTREAM_TRACE_LAB=worlds`.
    #[must_use]
    pub fn from_environment() -> Self {
        if !nix::unistd::geteuid().is_root() {
            return Self::Nothing("it takes root to make network namespaces".into());
        }
        if env::var_os("UPSTREAM_TRACE_LAB").is_some_and(|what| what == "worlds") {
            return Self::Worlds;
        }
        match env::var_os("UPSTREAM_TRACE_BIN").map(PathBuf::from) {
            Some(path) if path.is_file() => Self::Tool(std::path::absolute(&path).unwrap_or(path)),
            Some(path) => Self::Nothing(format!("UPSTREAM_TRACE_BIN: there is no file {}", path.display())),
            None => Self::Nothing(
                "set UPSTREAM_TRACE_BIN to the tool, or UPSTREAM_TRACE_LAB=worlds to check the faults alone"
                    .into(),
            ),
        }
    }
}

/// The body of a scenario.
pub type Body = fn(&Lab) -> Result<()>;

/// A name and what to do.
pub type Scenario = (&'static str, Body);

/// The lab of one scenario.
#[derive(Debug)]
pub struct Lab {
    name: &'static str,
    mode: Mode,
    recordings: AtomicUsize,
    complaints: Mutex<Vec<String>>,
    excused: AtomicBool,
    said: Mutex<Vec<Value>>,
    transcript: Mutex<String>,
    row: Mutex<Row>,
}

impl Lab {
    /// Runs a scenario; the error carries every complaint and what the tool and nginx said.
    pub fn run(mode: &Mode, (name, body): Scenario) -> Result<(), String> {
        let lab = Self {
            name,
            mode: mode.clone(),
            recordings: AtomicUsize::new(1),
            complaints: Mutex::default(),
            excused: AtomicBool::default(),
            said: Mutex::default(),
            transcript: Mutex::default(),
            row: Mutex::default(),
        };
        match catch_unwind(AssertUnwindSafe(|| body(&lab))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => match error.downcast_ref() {
                Some(Missing(program)) if is_emulated() => {
                    results::not_run(name, program);
                    return Ok(());
                }
                _ => lab.complain(format!("{error:#}")),
            },
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                lab.complain(format!(
                    "panic: {}",
                    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("?")
                ));
            }
        }
        let complaints = lab.complaints.into_inner().unwrap_or_else(PoisonError::into_inner);
        let said = lab.said.into_inner().unwrap_or_else(PoisonError::into_inner);
        let limit = limits::of(name).filter(|_| lab.excused.into_inner());
        results::note(name, &said, &complaints, limit.map(|limit| limit.why));
        if complaints.is_empty() {
            lab.row.into_inner().unwrap_or_else(PoisonError::into_inner).keep(name);
            return Ok(());
        }
        let transcript = lab.transcript.into_inner().unwrap_or_else(PoisonError::into_inner);
        Err(report::report(&complaints, &transcript))
    }

    /// The tool, unless only worlds are made.
    pub fn tool(&self) -> Option<&PathBuf> {
        if let Mode::Tool(path) = &self.mode { Some(path) } else { None }
    }

    /// Where the next run of the tool records itself, if `LAB_RECORD` names a folder for that: the name of the scenario,
    /// and a number from the second run on.
    pub fn next_recording(&self) -> Option<PathBuf> {
        let folder = PathBuf::from(env::var_os("LAB_RECORD")?);
        let name = self.name.replace('/', "-");
        let path = match self.recordings.fetch_add(1, Ordering::SeqCst) {
            1 => folder.join(format!("{name}.zst")),
            number => folder.join(format!("{name}-{number}.zst")),
        };
        // Of an earlier run; the tool overwrites nothing.
        let _none = fs::remove_file(&path);
        Some(path)
    }

    /// What this kernel cannot show in this scenario, if there is something.
    pub fn limit(&self) -> Option<&'static Limit> {
        // Where the kernel shows everything nothing is excused.
        limits::of(self.name)
    }

    /// Notes that something is missing that this kernel cannot show.
    pub fn excuse(&self) {
        self.excused.store(true, Ordering::Relaxed);
    }

    /// Whether this field may say something else within the limit that touches this scenario; that is noted.
    pub fn may_differ(&self, field: &str) -> bool {
        let differs = self.limit().is_some_and(|limit| limit.fields.contains(&field));
        if differs {
            self.excuse();
        }
        differs
    }

    /// Something that the tool must have said, unless this kernel cannot show it.
    pub(crate) fn expect_sight(&self, name: String, object: Option<Value>) -> Expected<'_> {
        if object.is_none() && self.limit().is_some_and(|limit| limit.unseen) {
            self.excuse();
            return Expected::unchecked(self, name);
        }
        Expected::new(self, name, object)
    }

    /// Notes a failure that the tool told of.
    pub fn saw(&self, failure: &Value) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(failure.clone());
    }

    /// Notes that something is not as it should be; the scenario goes on and fails at its end.
    pub fn complain(&self, text: impl Into<String>) {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    /// Complains unless something is so.
    pub fn check(&self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.complain(otherwise());
        }
    }

    /// Notes something for the table of scenarios.
    pub(crate) fn tabulate(&self, note: impl FnOnce(&mut Row)) {
        note(&mut self.row.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Keeps a text for the report of a scenario that fails.
    pub fn note(&self, title: &str, text: &str) {
        let mut transcript = self.transcript.lock().unwrap_or_else(PoisonError::into_inner);
        let _infallible = writeln!(transcript, "--- {title}\n{}", report::shorten(text));
    }
}
