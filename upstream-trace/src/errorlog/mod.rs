//! nginx's error.log: found through the open files of its processes, and read as it grows, over rotation, truncation
//! and reload.
//!
//! A log is opened through the descriptor of the process that writes it, so that neither its name nor the mount
//! namespace of a container matters. Files are looked at every few milliseconds instead of being waited for: a look
//! costs less than a microsecond, works on every file system, and comes soon enough for a verdict. Only regular files
//! are read: of what goes to the pipe of a container, the file that its runtime keeps (`outside`), or the journal
//! (`journal.rs`). What cannot be had is said once.

mod access;
mod choice;
mod classify;
mod dedup;
mod envelopes;
mod file;
mod files;
mod find;
mod follower;
mod journal;
mod merge;
mod notes;
mod outside;
mod pids;
mod processes;
mod record;
mod report;
mod stranger;
mod syslog;
mod tail;
#[cfg(test)]
mod tests;
mod watchdog;
mod whose;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::mem;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use upstream_trace_core::errorlog::parse;
use upstream_trace_core::event::{Event, Nanos, Outputs};

use crate::host::{WatchedPids, descriptor_path};
use access::AccessLogs;
pub use choice::ErrorLog;
use classify::Level;
use dedup::Dedup;
use file::FileId;
use files::{Amount, Files, Found, Line};
use find::Elsewhere;
pub use follower::{Follower, Ready};
use notes::Notes;
use outside::Outsides;
use pids::Pids;
use processes::Processes;
use stranger::Stranger;
use tail::Tail;
use watchdog::Watchdog;
pub use whose::{Whose, whose};

/// Most that is read at the end, bytes.
const MAX_LAST: usize = 16 << 20;

/// Lines whose process is not known yet; beyond that they are left out, which counts as a gap.
const MAX_STRANGERS: usize = 4_096;
/// Those of one file: whoever fills one takes no room from others.
const MAX_STRANGERS_OF_FILE: usize = 256;
/// A line of a known process waits so long at most until the process is found to have the file open.
const PATIENCE: Nanos = 1_000_000_000;

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
    dedup: Dedup,
    processes: Processes,
    outsides: Outsides,
    /// Those that send lines to syslog alone.
    syslogs: Outsides,
    pids: Pids,
    /// What was last reported of each worker.
    reported: BTreeMap<u32, (bool, Option<Level>)>,
    unreadable: BTreeMap<String, String>,
    notes: Notes,
    masters: Vec<u32>,
    strangers: Vec<Stranger>,
    /// Something is to be told of whose logs are read, perhaps.
    changed: bool,
    watchdog: Watchdog,
    /// Whether the kernel shows what is written to logs that are read nowhere; `None` if that is still to be tried.
    writes: Option<bool>,
    /// Files that access logs go to whose lines a client may begin.
    access: AccessLogs,
    /// Mounts that hung when the state of workers was last reported.
    hanging: usize,
}

impl Logs {
    fn new(source: ErrorLog, watchdog: Watchdog) -> Self {
        Self {
            source,
            files: Files::new(watchdog.clone()),
            dedup: Dedup::default(),
            processes: Processes::new(watchdog.clone()),
            outsides: Outsides::default(),
            syslogs: Outsides::default(),
            pids: Pids::default(),
            reported: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            notes: Notes::default(),
            masters: Vec::new(),
            strangers: Vec::new(),
            changed: true,
            watchdog,
            writes: None,
            access: AccessLogs::default(),
            hanging: 0,
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
        self.changed |= self.writes != watched.writes;
        self.writes = watched.writes;
        let checked = self.look(watched, now, false);
        self.report(&watched.workers, now, say);
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
        while total < MAX_LAST {
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
        let (new, gone) = self.processes.update(&watched.all(), now);
        self.changed |= !new.is_empty() || !gone.is_empty();
        for pid in new {
            self.pids.add(pid);
        }
        for pid in gone {
            self.pids.end(pid, now);
            self.reported.remove(&pid);
            self.outsides.remove(pid, now);
            self.syslogs.remove(pid, now);
        }
        let checked = self.processes.check(now);
        match self.source.clone() {
            ErrorLog::Auto => {
                self.look_through(now, all);
                self.look_outside(&watched.syslog, checked || all, now);
                if checked {
                    self.look_for_doubt(&watched.outputs);
                }
            }
            ErrorLog::File(path) if checked => self.look_at(&path, now),
            _ => {}
        }
        checked
    }

    /// Where the lines go of those that write to a pipe or a socket.
    fn look_outside(&mut self, syslog: &BTreeMap<u32, Vec<String>>, checked: bool, now: Nanos) {
        let Self { processes, outsides, syslogs, files, watchdog, .. } = self;
        let mut new = false;
        for (pid, servers) in syslog.iter().filter(|(pid, _)| processes.get(**pid).is_some()) {
            new |= syslogs.add_syslog(*pid, servers);
        }
        self.changed |= new;
        for (pid, held) in processes.writing_elsewhere() {
            // Whoever reads a pipe is another program than the journal.
            let by_journal = held.elsewhere == Elsewhere::Socket && !files.any_error_log(&held.files);
            new |= outsides.add(pid, by_journal);
        }
        if new || checked {
            for outsides in [outsides, syslogs] {
                outsides.forget_read(&|id| files.get(id).map(Tail::position));
                let mut found = |path: &Path, name: &str, mount| files.add_kept(path, name, mount, now);
                self.changed |= outsides.look(watchdog, &mut found);
            }
        }
    }

    /// Which lines may be those of an access log.
    fn look_for_doubt(&mut self, outputs: &BTreeMap<u32, Arc<Outputs>>) {
        let Self { processes, outsides, access, files, .. } = self;
        *access = AccessLogs::of(outputs, &|pid| processes.get(pid));
        for (pid, outputs) in outputs {
            outsides.set_doubt(*pid, || whose::in_doubt(*pid, outputs));
        }
        files.leave_out(&access.only);
    }

    fn close_unused(&mut self, now: Nanos) {
        self.pids.forget(now);
        let named = self.named();
        let Self { processes, outsides, syslogs, files, .. } = self;
        outsides.forget(now);
        syslogs.forget(now);
        let outside = |id| outsides.anyone_holds(id) || syslogs.anyone_holds(id);
        let held = |id| named == Some(id) || processes.anyone_holds(id) || outside(id);
        files.close_unused(now, held);
    }

    fn look_through(&mut self, now: Nanos, all: bool) {
        let Self { processes, files, unreadable, .. } = self;
        let any = processes.scan(all, &mut |pid, open| {
            if files.knows(open.id, &open.name) {
                return;
            }
            let found = Found { name: &open.name, certain: open.stderr, mount: open.mount };
            if let Err(error) = files.add(&descriptor_path(pid, open.fd), &found, now)
                && unreadable.len() < 64
            {
                unreadable.insert(open.name.to_string(), error.to_string());
            }
        });
        self.changed |= any;
    }

    /// The file of that name may be another one by now. It may be missing for a while; then another one will come.
    fn look_at(&mut self, path: &Path, now: Nanos) {
        if self.named().is_some_and(|id| self.files.get(id).is_none()) {
            let _ = self.add_named(path, now);
        }
    }

    /// Where the user's file is mounted is not known.
    fn add_named(&mut self, path: &Path, now: Nanos) -> io::Result<()> {
        self.files.add_kept(path, &path.to_string_lossy(), 0, now)
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
        // The file that the user names may be a copy of what the workers write elsewhere.
        let named = matches!(self.source, ErrorLog::File(_));
        let Self { files, dedup, pids, processes, outsides, syslogs, access, masters, strangers, .. } = self;
        let several = files.iter().count() > 1;
        let mut lines = Vec::new();
        let mut give = |line: Line<'_>| {
            let outside = |pid| outsides.holds(pid, line.file) || syslogs.holds(pid, line.file);
            let holds = |pid| named || processes.holds(pid, line.file) || outside(pid);
            let worker = match line.kept.pid {
                Some(pid) if !named && outside(pid) => Some(pid),
                // What all send to syslog is told apart by that alone.
                Some(_) if syslogs.anyone_holds(line.file) => None,
                _ => pids.find(line.header.pid, holds),
            };
            let Some(worker) = worker else { return false };
            let new = !several || dedup.is_new(worker, line.text, line.file, now);
            if new
                && !masters.contains(&worker)
                && let Some(mut parsed) = parse(line.text)
            {
                // A runtime knows to the microsecond when it came.
                let received = now.saturating_sub(line.kept.age.unwrap_or(0));
                let after = line.kept.not_before(line.after, received);
                parsed.at = received.max(after);
                parsed.after = after;
                parsed.source = line.kept.source;
                parsed.doubtful = line.doubtful
                    || access.are_in(worker, line.file, line.kept.source)
                    || outsides.is_in_doubt(worker, line.kept.stream);
                parsed.worker = Some(worker);
                line.name.clone_into(&mut parsed.file);
                lines.push(parsed);
            }
            true
        };
        let mut unknown = Vec::new();
        for stranger in mem::take(strangers) {
            if !give(stranger.line()) {
                unknown.push(stranger);
            }
        }
        let mut by_file = HashMap::<FileId, usize>::new();
        for stranger in &unknown {
            *by_file.entry(stranger.line().file).or_default() += 1;
        }
        let mut left_out = false;
        let read = files.read(now, &mut |line: Line<'_>| {
            if give(line) {
                return;
            }
            let count = by_file.entry(line.file).or_default();
            if *count < MAX_STRANGERS_OF_FILE && unknown.len() < MAX_STRANGERS {
                *count += 1;
                unknown.push(Stranger::of(line, now));
            } else {
                left_out = true;
            }
        });
        files.gaps += u64::from(left_out);
        // Of a process that is known it may turn out that it has the file open; another one is waited for once.
        for stranger in unknown {
            let known: Vec<u32> = pids.with(stranger.header.pid).collect();
            let waits = now.saturating_sub(stranger.since) < PATIENCE && !known.is_empty();
            for pid in known {
                processes.request(pid);
            }
            if waits || stranger.since == now {
                strangers.push(stranger);
            }
        }
        for line in merge::by_time(lines) {
            say(LogOutput::Event(Box::new(Event::Log(line))));
        }
        read
    }
}
