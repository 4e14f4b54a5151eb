//! Which line of error.log belongs to which failure.
//!
//! A worker writes the line just before it closes the socket, and deals with one failure after the other: among those
//! that a line fits (same worker, same upstream, same kind of end) it belongs to the one that ended first and has none.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::engine::logjoin::healthy::Healthy;
use crate::engine::logjoin::matching::{earliest, timeout};
use crate::engine::logjoin::signature::{FailureSignature, seen_by_kernel, without_attempt};
use crate::engine::stores::overflow::Overflow;
use crate::engine::stores::resolver_errors::ResolverErrors;
use crate::errorlog::{self, Kind};
use crate::event::{Attempt, AttemptId, LogFollowed, LogLine, Nanos, Process, ProcessChange, Upstream};
use crate::event::{MS, SECOND};
use crate::verdict::LogLines;

/// How long a failure is held for its line, if the log of its worker is read.
pub(in crate::engine) const LINE_COMES: Nanos = SECOND;
/// A line that comes later than this after a failure is not its own.
pub(in crate::engine) const AFTER: Nanos = 2 * SECOND;
/// How long a timeout waits for the ends of other attempts of the same moment, so that the right one is taken.
const SETTLES: Nanos = 50 * MS;
/// How long a line waits for the end of its attempt before it is a failure of its own.
pub(in crate::engine) const ALONE: Nanos = 300 * MS;
/// Lines that wait; beyond that the oldest waits no longer.
const WAITING: usize = 16_384;
/// Failures without a line, per worker and upstream; the oldest make room.
const OPEN: usize = 4_096;
/// Pairs of worker and upstream, workers, paths of sockets.
pub(in crate::engine) const KEYS: usize = 4_096;

/// Worker and upstream.
pub(in crate::engine) type Key = (u32, Option<Upstream>);

/// A failure that has no line.
#[derive(Debug)]
pub(in crate::engine) struct Open {
    pub(in crate::engine) id: AttemptId,
    pub(in crate::engine) at: Nanos,
    pub(in crate::engine) shape: FailureSignature,
}

/// A line that has no failure.
#[derive(Debug)]
pub(in crate::engine) struct Waiting {
    pub(in crate::engine) line: Box<LogLine>,
    pub(in crate::engine) kind: Kind,
    pub(in crate::engine) settles: Nanos,
    due: Nanos,
    /// It made room for others before its time: its failure may still come.
    pub(in crate::engine) early: bool,
    pub(in crate::engine) key: Key,
}

/// What was read.
#[derive(Debug, Default)]
pub(in crate::engine) struct Logs {
    followed: HashMap<u32, bool>,
    /// Workers that ended a short while ago, in order of time; as many as there are in `followed`.
    exited: VecDeque<(Nanos, u32)>,
    pub(in crate::engine) open: HashMap<Key, VecDeque<Open>>,
    healthy: Healthy,
    /// Lines by number, in the order in which they came, and so of `due`.
    waiting: VecDeque<u64>,
    pub(in crate::engine) lines: HashMap<u64, Waiting>,
    pub(in crate::engine) by_key: HashMap<Key, BTreeSet<u64>>,
    /// Timeouts by number, in order of `settles`.
    pub(in crate::engine) settling: VecDeque<u64>,
    /// Where a failure came that may be a timeout.
    pub(in crate::engine) unsettled: BTreeSet<Key>,
    joined: HashMap<AttemptId, LogLine>,
    paths: BTreeSet<String>,
    complaints: ResolverErrors,
    next: u64,
    cleaned: Nanos,
    /// When the latest failure ended that made room, or found none, while its line may still come; by worker.
    forgotten: HashMap<u32, Nanos>,
    /// Lines, and failures that wait for theirs, that made room for others.
    pub(in crate::engine) lost: Overflow,
    /// Workers of which it is not known whether their lines are read.
    pub(in crate::engine) workers_lost: Overflow,
    pub(in crate::engine) counts: LogLines,
}

impl Logs {
    pub(in crate::engine) fn follow(&mut self, followed: &LogFollowed) {
        if self.followed.len() < KEYS || self.followed.contains_key(&followed.worker) {
            self.followed.insert(followed.worker, followed.followed);
            self.exited.retain(|(_, pid)| *pid != followed.worker);
        } else {
            self.workers_lost.note(followed.at, followed.at);
        }
    }

    /// What a worker that ended was known to do is forgotten.
    pub(in crate::engine) fn process(&mut self, process: &Process) {
        if matches!(process.change, ProcessChange::WorkerExited { .. }) {
            // What it closed in its last second still waits for lines, or for their absence.
            if self.followed.contains_key(&process.pid)
                && self.exited.iter().all(|(_, pid)| *pid != process.pid)
            {
                self.exited.push_back((process.at, process.pid));
            }
            self.complaints.forget(process.pid);
        }
    }

    /// For each failure of this worker a line is to be expected.
    pub(in crate::engine) fn followed(&self, worker: u32) -> bool {
        self.followed.get(&worker).is_some_and(|followed| *followed)
    }

    /// It is known that no lines of this worker are read.
    pub(in crate::engine) fn unread(&self, worker: u32) -> bool {
        self.followed.get(&worker).is_some_and(|followed| !*followed)
    }

    /// A line was read; the failure that it belongs to, if that is clear at once.
    pub(in crate::engine) fn read(&mut self, line: &LogLine, now: Nanos) -> Option<AttemptId> {
        let Some(kind) = errorlog::kind(line) else {
            self.complaints.read(line);
            return None;
        };
        self.counts.seen += 1;
        let key = self.key(line);
        let waits = without_attempt(kind) || (timeout(kind) && key.1.is_some());
        if !waits && let Some(id) = self.best(&key, line, kind) {
            self.join(&key, id, line.clone());
            return Some(id);
        }
        self.next += 1;
        let number = self.next;
        let now = line.at.max(now);
        let (settles, due) = (now.saturating_add(SETTLES), now.saturating_add(ALONE));
        self.waiting.push_back(number);
        if !without_attempt(kind) {
            self.by_key.entry(key.clone()).or_default().insert(number);
        }
        if timeout(kind) {
            self.settling.push_back(number);
        }
        let waiting = Waiting { line: Box::new(line.clone()), kind, settles, due, early: false, key };
        self.lines.insert(number, waiting);
        None
    }

    /// A failure that is held from now on: takes the line that waits for it, if there is one.
    pub(in crate::engine) fn failed(
        &mut self,
        id: AttemptId,
        worker: u32,
        upstream: Option<&Upstream>,
        at: Nanos,
        shape: FailureSignature,
    ) {
        self.remember(upstream);
        let key = (worker, upstream.cloned());
        let number = self.best_line(&key, at, shape, |_| true).or_else(|| {
            // Of a path that was not known before, a line may tell only now.
            let upstream = upstream?;
            self.best_line(&(worker, None), at, shape, |line| errorlog::fits(line, upstream))
        });
        if let Some(found) = number.and_then(|number| self.remove(number)) {
            self.joined.insert(id, *found.line);
            return;
        }
        if self.open.len() >= KEYS && !self.open.contains_key(&key) {
            self.forget(worker, at);
            return;
        }
        if shape.silent() {
            self.unsettled.insert(key.clone());
        }
        let open = self.open.entry(key).or_default();
        open.push_back(Open { id, at, shape });
        if open.len() > OPEN
            && let Some(oldest) = open.pop_front().filter(|oldest| oldest.at.saturating_add(AFTER) >= at)
        {
            self.forget(worker, oldest.at);
        }
    }

    /// A failure that ended then is not known any more when its line comes.
    fn forget(&mut self, worker: u32, at: Nanos) {
        self.lost.note(at, at);
        // Beyond so many workers, whichever it is.
        let worker = if self.forgotten.len() < KEYS { worker } else { 0 };
        let latest = self.forgotten.entry(worker).or_default();
        *latest = at.max(*latest);
    }

    /// The failure that a line is about may be one that was told of, or will be, without it.
    pub(in crate::engine) fn told_without(&self, waiting: &Waiting) -> bool {
        let workers = [waiting.key.0, 0];
        let mut forgotten = workers.iter().filter_map(|worker| self.forgotten.get(worker));
        waiting.early || forgotten.any(|at| *at >= earliest(&waiting.line))
    }

    /// An attempt that ended well, as far as was seen.
    pub(in crate::engine) fn ended_well(&mut self, attempt: &Attempt) {
        self.remember(attempt.upstream.as_ref());
        self.healthy.keep(attempt, attempt.seen.saturating_add(ALONE));
    }

    /// An attempt that is taken for one whose client left, since no line came.
    pub(in crate::engine) fn left(&mut self, attempt: &Attempt) {
        if let Some(open) = self.open.get_mut(&(attempt.worker, attempt.upstream.clone())) {
            open.retain(|open| open.id != attempt.id);
        }
        self.healthy.keep(attempt, attempt.seen.saturating_add(AFTER));
    }

    /// A failure has its line, or none is to be expected.
    pub(in crate::engine) fn ready(&self, id: AttemptId, worker: u32) -> bool {
        self.joined.contains_key(&id) || !self.followed(worker)
    }

    /// The line of a failure that is let go.
    pub(in crate::engine) fn take(&mut self, id: AttemptId) -> Option<LogLine> {
        self.joined.remove(&id)
    }

    /// More lines wait than there is room for.
    pub(in crate::engine) fn crowded(&self) -> bool {
        self.lines.len() > WAITING
    }

    /// The next line that has waited long enough; and the failures that found theirs at the last moment.
    pub(in crate::engine) fn due(&mut self, now: Nanos) -> (Vec<AttemptId>, Option<Waiting>) {
        let mut found = Vec::new();
        while let Some(number) = self.waiting.front().copied() {
            let crowded = self.crowded();
            if let Some(waiting) = self.lines.get(&number) {
                if waiting.due > now && !crowded {
                    break;
                }
                if timeout(waiting.kind) {
                    let key = waiting.key.clone();
                    found.extend(self.settle_at(&key, if crowded { Nanos::MAX } else { now }, true));
                }
            }
            self.waiting.pop_front();
            let Some(mut waiting) = self.remove(number) else { continue };
            if waiting.due > now {
                waiting.early = true;
                self.lost.note(waiting.line.at, now);
            }
            // Which attempt it is about is not known, and that attempt is told of without it.
            if waiting.line.upstream.is_none() && seen_by_kernel(waiting.kind) {
                continue;
            }
            return (found, Some(waiting));
        }
        (found, None)
    }

    /// The one attempt that looked healthy and that such a line must be about.
    pub(in crate::engine) fn healthy(&mut self, waiting: &Waiting) -> Option<Box<Attempt>> {
        let key = self.key(&waiting.line);
        let found = self.healthy.take(&key, waiting.kind, &waiting.line);
        if found.is_none() && self.healthy.forgot(&key, &waiting.line) {
            self.lost.note(waiting.line.at, waiting.line.at);
        }
        found
    }

    /// What this worker last had to say about a name server, at that time.
    pub(in crate::engine) fn complaint(&self, line: &LogLine) -> Option<&LogLine> {
        self.complaints.before(line)
    }

    /// The upstream of a line.
    pub(in crate::engine) fn upstream(&self, line: &LogLine) -> Option<Upstream> {
        let known = errorlog::unix_paths(line).find(|path| self.paths.contains(*path));
        known.map(|path| Upstream::Unix(path.to_owned())).or_else(|| errorlog::upstream_address(line))
    }

    /// Forgets what is too old, once a second.
    pub(in crate::engine) fn expire(&mut self, now: Nanos) {
        if now < self.cleaned.saturating_add(SECOND) {
            return;
        }
        self.cleaned = now;
        self.open.retain(|_, open| {
            while open.pop_front_if(|open| open.at.saturating_add(AFTER) < now).is_some() {}
            !open.is_empty()
        });
        self.healthy.expire(now);
        self.forgotten.retain(|_, at| at.saturating_add(2 * AFTER) >= now);
        while let Some((_, pid)) = self.exited.pop_front_if(|(at, _)| at.saturating_add(AFTER) < now) {
            self.followed.remove(&pid);
        }
    }

    fn key(&self, line: &LogLine) -> Key {
        (line.worker.unwrap_or_default(), self.upstream(line))
    }

    fn remember(&mut self, upstream: Option<&Upstream>) {
        if let Some(Upstream::Unix(path)) = upstream
            && self.paths.len() < KEYS
            && !self.paths.contains(path)
        {
            self.paths.insert(path.clone());
        }
    }

    pub(in crate::engine) fn join(&mut self, key: &Key, id: AttemptId, line: LogLine) {
        let keys: Vec<Key> = match key {
            (worker, None) => self.open.keys().filter(|(of, _)| of == worker).cloned().collect(),
            key => vec![key.clone()],
        };
        for key in keys {
            let Some(open) = self.open.get_mut(&key) else { continue };
            if let Some(index) = open.iter().position(|open| open.id == id) {
                open.remove(index);
            }
        }
        self.joined.insert(id, line);
    }

    pub(in crate::engine) fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.lines.remove(&number)?;
        if let Some(numbers) = self.by_key.get_mut(&waiting.key) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_key.remove(&waiting.key);
            }
        }
        Some(waiting)
    }
}
