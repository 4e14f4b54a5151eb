//! nginx's error.log: found through the open files of its processes, and read as it grows, over rotation, truncation
//! and reload.
//!
//! A log is opened through the descriptor of the process that writes it, so that neither its name nor the mount
//! namespace of a container matters. Files are looked at every few milliseconds instead of being waited for: a look
//! costs less than a microsecond, works on every file system, and comes soon enough for a verdict. Only regular files
//! are read; what goes to a pipe, a terminal or syslog stays unread, which is said once.

mod choice;
mod file;
mod files;
mod find;
mod followed;
mod follower;
mod judge;
mod merge;
mod pids;
mod processes;
mod same;
mod strangers;
mod tail;
mod tell;
#[cfg(test)]
mod tests;
mod watchdog;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::mem;
use std::path::Path;

use anyhow::{Context, Result};
use upstream_trace_core::errorlog::parse;
use upstream_trace_core::event::{Event, Nanos};

use crate::nginx::WatchedPids;
pub use choice::ErrorLog;
use file::FileId;
use files::{Amount, Files, Found, Line};
pub use follower::{Follower, Ready};
use judge::Level;
use pids::Pids;
use processes::Processes;
use strangers::Stranger;
use tell::Notes;
use watchdog::Watchdog;

/// Most that is read at the end, bytes.
const LAST: usize = 16 << 20;

/// Lines of processes that are not known yet; beyond that they are dropped, as those of other programs are.
const STRANGERS: usize = 1_024;

/// What reading the logs brings.
#[derive(Clone, Debug, PartialEq)]
pub enum LogOutput {
    /// [`Event::Log`] or [`Event::LogFollowed`].
    Event(Box<Event>),
    /// A sentence about what cannot be read.
    Note(String),
}

/// Reads the logs of the watched processes.
#[derive(Debug)]
pub struct Logs {
    source: ErrorLog,
    files: Files,
    processes: Processes,
    pids: Pids,
    /// What was last said of each worker.
    told: BTreeMap<u32, (bool, Option<Level>)>,
    unreadable: BTreeMap<String, String>,
    notes: Notes,
    masters: Vec<u32>,
    strangers: Vec<Stranger>,
    watchdog: Watchdog,
}

impl Logs {
    fn new(source: ErrorLog, watchdog: Watchdog) -> Self {
        Self {
            source,
            files: Files::new(watchdog.clone()),
            processes: Processes::new(watchdog.clone()),
            pids: Pids::default(),
            told: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            notes: Notes::default(),
            masters: Vec::new(),
            strangers: Vec::new(),
            watchdog,
        }
    }

    /// Finds the logs. Lines are read from here on: to be called before the first event can come.
    ///
    /// # Errors
    /// If the one file that was asked for cannot be read.
    pub fn open(source: &ErrorLog, watched: &WatchedPids, now: Nanos) -> Result<Self> {
        Self::open_watched(source, watched, now, Watchdog::default())
    }

    fn open_watched(
        source: &ErrorLog,
        watched: &WatchedPids,
        now: Nanos,
        watchdog: Watchdog,
    ) -> Result<Self> {
        let mut logs = Self::new(source.clone(), watchdog);
        if let ErrorLog::File(path) = source {
            logs.add_named(path, now)
                .with_context(|| format!("cannot read {}, the file of --error-log", path.display()))?;
        }
        if logs.source != ErrorLog::None {
            logs.look(watched, now, true);
            logs.files.begin();
        }
        Ok(logs)
    }

    /// Names of the files that are read.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.files.iter().map(|tail| tail.name.to_string()).collect()
    }

    /// How often something could not be read: a file failed, or grew faster than it can be read.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.files.gaps
    }

    /// What came since the last time, up to a bound; true if that is all. To be called every few milliseconds.
    pub fn tick(&mut self, watched: &WatchedPids, now: Nanos, say: &mut dyn FnMut(LogOutput)) -> bool {
        if self.source == ErrorLog::None {
            return true;
        }
        let checked = self.look(watched, now, false);
        self.tell(&watched.workers, now, say);
        let read = self.read(now, say);
        if checked {
            self.close_unused(now);
        }
        read.all
    }

    /// What is left to be read at the end.
    pub fn finish(&mut self, watched: &WatchedPids, now: Nanos, say: &mut dyn FnMut(LogOutput)) {
        self.tick(watched, now, say);
        let mut total = 0;
        while total < LAST {
            match self.read(now, say).bytes {
                0 => break,
                read => total += read,
            }
        }
    }

    /// Looks for processes and files that are new; true if it was time to look at all of them.
    fn look(&mut self, watched: &WatchedPids, now: Nanos, all: bool) -> bool {
        // With `master_process off` one process is both.
        let is_only_master = |pid: &&u32| !watched.workers.contains(pid);
        self.masters = watched.masters.iter().filter(is_only_master).copied().collect();
        let (new, gone) = self.processes.update(&watched.all());
        for pid in new {
            self.pids.add(pid);
        }
        for pid in gone {
            self.pids.end(pid, now);
            self.told.remove(&pid);
        }
        let checked = self.processes.check(now);
        match self.source.clone() {
            ErrorLog::Auto => self.look_through(now, all),
            ErrorLog::File(path) if checked => self.look_at(&path, now),
            _ => {}
        }
        checked
    }

    fn close_unused(&mut self, now: Nanos) {
        self.pids.forget(now);
        let named = self.named();
        let processes = &self.processes;
        self.files.close_unused(now, |id| named == Some(id) || processes.anyone_holds(id));
    }

    fn look_through(&mut self, now: Nanos, all: bool) {
        let Self { processes, files, unreadable, .. } = self;
        processes.scan(all, &mut |pid, open| {
            if files.knows(open.id, &open.name) {
                return;
            }
            let found = Found { name: &open.name, certain: open.stderr, mount: open.mount };
            if let Err(error) = files.add(&find::path(pid, open.fd), &found, now)
                && unreadable.len() < 64
            {
                unreadable.insert(open.name.to_string(), error.to_string());
            }
        });
    }

    /// The file of that name may be another one by now. It may be missing for a while; then another one will come.
    fn look_at(&mut self, path: &Path, now: Nanos) {
        if self.named().is_some_and(|id| self.files.get(id).is_none()) {
            let _ = self.add_named(path, now);
        }
    }

    /// Where the user's file is mounted is not known.
    fn add_named(&mut self, path: &Path, now: Nanos) -> io::Result<()> {
        let name = path.to_string_lossy().into();
        self.files.add(path, &Found { name: &name, certain: true, mount: 0 }, now)
    }

    /// The file that has the name given by the user.
    fn named(&self) -> Option<FileId> {
        let ErrorLog::File(path) = &self.source else { return None };
        if self.watchdog.hangs(0) {
            return None;
        }
        let name = path.to_string_lossy().into();
        let metadata = self.watchdog.step(&name, 0, || fs::metadata(path)).ok()?;
        Some(FileId::of(&metadata))
    }

    fn read(&mut self, now: Nanos, say: &mut dyn FnMut(LogOutput)) -> Amount {
        let Self { files, pids, processes, masters, strangers, .. } = self;
        let mut lines = Vec::new();
        let mut give = |line: Line<'_>| {
            let worker = pids.find(line.header.pid, |pid| processes.holds(pid, line.file));
            let Some(worker) = worker else { return false };
            if !masters.contains(&worker)
                && let Some(mut parsed) = parse(line.text)
            {
                parsed.at = now;
                parsed.after = line.after;
                parsed.worker = Some(worker);
                line.name.clone_into(&mut parsed.file);
                lines.push(parsed);
            }
            true
        };
        for stranger in mem::take(strangers) {
            give(stranger.line());
        }
        let read = files.read(now, &mut |line: Line<'_>| {
            if !give(line) && strangers.len() < STRANGERS {
                strangers.push(Stranger::of(line));
            }
        });
        for line in merge::by_time(lines) {
            say(LogOutput::Event(Box::new(Event::Log(line))));
        }
        read
    }
}
