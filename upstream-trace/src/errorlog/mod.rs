//! nginx's error.log: found through the open files of its processes, and read as it grows, over rotation, truncation
//! and reload.
//!
//! A log is opened through the descriptor of the process that writes it, so that neither its name nor the mount
//! namespace of a container matters. Files are looked at every few milliseconds instead of being waited for: a look
//! costs less than a microsecond, works on every file system, and comes soon enough for a verdict. Only regular files
//! are read: of what goes to the pipe of a container, the file that its runtime keeps ([`outside`]). What cannot be had is
//! said once.

mod choice;
mod envelopes;
mod file;
mod files;
mod find;
mod judge;
mod merge;
mod outside;
mod pids;
mod processes;
mod same;
mod tail;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::mem;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use upstream_trace_core::errorlog::parse;
use upstream_trace_core::event::{Event, LogFollowed, Nanos};

use crate::host::{WatchedPids, descriptor_path};
pub use choice::ErrorLog;
use envelopes::Kept;
use file::FileId;
use files::{Files, Line};
use judge::{Header, Level};
use outside::Outsides;
use pids::Pids;
use processes::Processes;
use tell::{Notes, Why};

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
    outsides: Outsides,
    pids: Pids,
    /// What was last said of each worker.
    told: BTreeMap<u32, (bool, Option<Level>)>,
    unreadable: BTreeMap<String, String>,
    notes: Notes,
    masters: Vec<u32>,
    strangers: Vec<Stranger>,
}

impl Default for Logs {
    /// Reads nothing.
    fn default() -> Self {
        Self::new(ErrorLog::None)
    }
}

impl Logs {
    fn new(source: ErrorLog) -> Self {
        Self {
            source,
            files: Files::new(),
            processes: Processes::default(),
            outsides: Outsides::default(),
            pids: Pids::default(),
            told: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            notes: Notes::default(),
            masters: Vec::new(),
            strangers: Vec::new(),
        }
    }

    /// Finds the logs. Lines are read from here on: to be called before the first event can come.
    ///
    /// # Errors
    /// If the one file that was asked for cannot be read.
    pub fn open(source: &ErrorLog, watched: &WatchedPids, now: Nanos) -> Result<Self> {
        let mut logs = Self::new(source.clone());
        if let ErrorLog::File(path) = source {
            let add = logs.files.add_kept(path, &path.to_string_lossy(), now);
            add.with_context(|| format!("cannot read {}, the file of --error-log", path.display()))?;
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

    /// What came since the last time, up to a bound. To be called every few milliseconds.
    pub fn tick(&mut self, watched: &WatchedPids, now: Nanos, say: &mut dyn FnMut(LogOutput)) {
        if self.source == ErrorLog::None {
            return;
        }
        let checked = self.look(watched, now, false);
        self.tell(&watched.workers, now, say);
        self.read(now, say);
        if checked {
            self.close_unused(now);
        }
    }

    /// What is left to be read at the end.
    pub fn finish(&mut self, watched: &WatchedPids, now: Nanos, say: &mut dyn FnMut(LogOutput)) {
        self.tick(watched, now, say);
        let mut total = 0;
        while total < LAST {
            match self.read(now, say) {
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
            self.outsides.remove(pid);
        }
        let checked = self.processes.check(now);
        match self.source.clone() {
            ErrorLog::Auto => {
                self.look_through(now, all);
                self.look_outside(checked || all, now);
            }
            ErrorLog::File(path) if checked => self.look_at(&path, now),
            _ => {}
        }
        checked
    }

    /// Where the lines go of those that write to a pipe or a socket.
    fn look_outside(&mut self, checked: bool, now: Nanos) {
        let Self { processes, outsides, files, .. } = self;
        let mut new = false;
        for pid in processes.writing_elsewhere() {
            new |= outsides.add(pid);
        }
        if new || checked {
            outsides.look(&mut |path, name, _| files.add_kept(path, name, now));
        }
    }

    fn close_unused(&mut self, now: Nanos) {
        self.pids.forget(now);
        let named = self.named();
        let Self { processes, outsides, files, .. } = self;
        let held = |id| named == Some(id) || processes.anyone_holds(id) || outsides.anyone_holds(id);
        files.close_unused(now, held);
    }

    fn look_through(&mut self, now: Nanos, all: bool) {
        let Self { processes, files, unreadable, .. } = self;
        processes.scan(all, &mut |pid, open| {
            if files.knows(open.id, &open.name) {
                return;
            }
            if let Err(error) = files.add(&descriptor_path(pid, open.fd), &open.name, open.stderr, now)
                && unreadable.len() < 64
            {
                unreadable.insert(open.name.clone(), error.to_string());
            }
        });
    }

    /// The file of that name may be another one by now. It may be missing for a while; then another one will come.
    fn look_at(&mut self, path: &Path, now: Nanos) {
        if self.named().is_some_and(|id| self.files.get(id).is_none()) {
            let _ = self.files.add_kept(path, &path.to_string_lossy(), now);
        }
    }

    /// The file that has the name given by the user.
    fn named(&self) -> Option<FileId> {
        let ErrorLog::File(path) = &self.source else { return None };
        fs::metadata(path).ok().map(|metadata| FileId::of(&metadata))
    }

    /// Says whose logs are read, where that is new.
    fn tell(&mut self, workers: &[u32], now: Nanos, say: &mut dyn FnMut(LogOutput)) {
        let mut without = Vec::new();
        for worker in workers {
            let Some(state) = self.state(*worker) else { continue };
            if self.told.insert(*worker, state) == Some(state) {
                continue;
            }
            let (followed, level) = state;
            let level = level.map(|level| level.name().to_owned());
            let event = LogFollowed { at: now, worker: *worker, followed, level };
            say(LogOutput::Event(Box::new(Event::LogFollowed(event))));
            if !followed {
                without.extend(self.why(*worker).map(|why| (*worker, why)));
            }
        }
        for note in self.notes.without_log(without) {
            say(LogOutput::Note(note));
        }
        self.tell_of_files(say);
    }

    /// Whether a log of each of these workers is read, as far as is known.
    #[must_use]
    pub fn tells_of(&self, workers: &[u32]) -> bool {
        self.source != ErrorLog::None
            && workers.iter().all(|worker| self.state(*worker).is_none_or(|(followed, _)| followed))
    }

    /// Whether a log of this worker is read, and its level if known to let errors pass; `None` if not known yet.
    fn state(&self, worker: u32) -> Option<(bool, Option<Level>)> {
        let held = self.processes.get(worker)?;
        let tails: Vec<_> = match self.source {
            ErrorLog::File(_) => self.files.iter().collect(),
            _ if !held.known => return None,
            _ => {
                let outside = self.outsides.get(worker).and_then(|outside| outside.file);
                held.files
                    .iter()
                    .map(|open| open.id)
                    .chain(outside)
                    .filter_map(|id| self.files.get(id))
                    .collect()
            }
        };
        let level = tails.iter().filter_map(|tail| tail.level).filter(|level| level.lets_errors_pass()).min();
        Some((!tails.is_empty(), level))
    }

    fn why(&self, worker: u32) -> Option<Why> {
        let held = self.processes.get(worker).filter(|held| held.known)?;
        let unreadable = held.files.iter().find_map(|open| self.unreadable.get_key_value(&open.name));
        if let Some(trouble) = self.outsides.get(worker).and_then(outside::Outside::trouble) {
            return Some(Why::Container(trouble));
        }
        Some(Why::of(held, unreadable.map(|(file, error)| (file.as_str(), error.as_str()))))
    }

    fn tell_of_files(&mut self, say: &mut dyn FnMut(LogOutput)) {
        let asked_for = matches!(self.source, ErrorLog::File(_));
        for tail in self.files.iter() {
            let name = &tail.name;
            if tail.left_out > 0 && self.notes.is_new(format!("left out {name}")) {
                say(LogOutput::Note(format!("{name} grows faster than it can be read: lines are left out.")));
            }
            let strange = asked_for && tail.level.is_none() && tail.position() > 0;
            if strange && self.notes.is_new(format!("strange {name}")) {
                say(LogOutput::Note(format!("{name} does not look like an error.log of nginx.")));
            }
        }
    }

    fn read(&mut self, now: Nanos, say: &mut dyn FnMut(LogOutput)) -> usize {
        let Self { files, pids, processes, outsides, masters, strangers, .. } = self;
        let mut lines = Vec::new();
        let mut give = |line: Line<'_>| {
            let holds = |pid| processes.holds(pid, line.file) || outsides.holds(pid, line.file);
            let worker = pids.find(line.header.pid, holds);
            let Some(worker) = worker else { return false };
            if !masters.contains(&worker)
                && let Some(mut parsed) = parse(line.text)
            {
                // A runtime knows to the microsecond when it came.
                parsed.at = now.saturating_sub(line.kept.age.unwrap_or(0)).max(line.after);
                parsed.after = line.after;
                parsed.source = line.kept.source;
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

/// A line of a process that was not known when it was read: a worker that has just begun, perhaps. It is looked at once
/// more.
#[derive(Debug)]
struct Stranger {
    header: Header,
    text: Box<[u8]>,
    file: FileId,
    name: Arc<str>,
    after: Nanos,
    kept: Kept,
}

impl Stranger {
    fn of(line: Line<'_>) -> Self {
        Self {
            header: line.header,
            text: line.text.into(),
            file: line.file,
            name: line.name.into(),
            after: line.after,
            kept: line.kept,
        }
    }

    fn line(&self) -> Line<'_> {
        Line {
            header: self.header,
            text: &self.text,
            file: self.file,
            name: &self.name,
            after: self.after,
            kept: self.kept,
        }
    }
}
