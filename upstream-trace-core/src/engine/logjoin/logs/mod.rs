//! Which line of error.log belongs to which failure.
//!
//! A worker writes the line just before it closes the socket, and deals with one failure after the other: among those
//! that a line fits (same worker, same upstream, same kind of end) it belongs to the one that ended first and has none.

mod waiting;

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::bounded::Bounded;
use crate::engine::logjoin::align::BEFORE;
use crate::engine::logjoin::healthy::Healthy;
use crate::engine::logjoin::matching::{earliest, timeout};
use crate::engine::logjoin::open::{Open, OpenFailures};
use crate::engine::logjoin::signature::{FailureSignature, without_attempt};
use crate::engine::stores::overflow::Overflow;
use crate::engine::stores::resolver_errors::ResolverErrors;
use crate::errorlog::{self, Kind, Meaning};
use crate::event::{
    Attempt, AttemptId, LogFollowed, LogLine, MS, Nanos, Process, ProcessChange, SECOND, Upstream, Weigh,
};
use crate::verdict::LogLines;

/// How long a failure is held for its line, if the log of its worker is read and none waits there that may be its own.
pub(in crate::engine) const LINE_COMES: Nanos = SECOND;
/// A line that comes later than this after a failure is not its own.
pub(in crate::engine) const AFTER: Nanos = 2 * SECOND;
/// How long a timeout waits for the ends of other attempts of the same moment, so that the right one is taken.
const SETTLES: Nanos = 50 * MS;
/// How long a line waits for the end of its attempt before it is a failure of its own.
pub(in crate::engine) const ALONE: Nanos = 300 * MS;
/// A worker that leaves lines out says so again for each burst, not when it stops: nothing follows for so long from a
/// line that is missing.
const LIMITED: Nanos = 5 * SECOND;
/// Pairs of worker and upstream, workers, paths of sockets.
pub(in crate::engine) const MAX_KEYS: usize = 4_096;

/// What lines and failures have in common: worker and upstream.
pub(in crate::engine) type JoinKey = (u32, Option<Upstream>);

/// A line that has no failure.
#[derive(Debug)]
pub(in crate::engine) struct Waiting {
    pub(in crate::engine) line: Box<LogLine>,
    pub(in crate::engine) kind: Kind,
    pub(in crate::engine) settles: Nanos,
    due: Nanos,
    /// It made room for others before its time: its failure may still come.
    pub(in crate::engine) early: bool,
    pub(in crate::engine) key: JoinKey,
}

/// What was read.
#[derive(Debug)]
pub(in crate::engine) struct Logs {
    followed: Bounded<u32, bool>,
    /// What was said last of any worker: of one that has just begun it is not known yet.
    follows: bool,
    /// Workers that ended a short while ago, in order of time; as many as there are in `followed`.
    exited: VecDeque<(Nanos, u32)>,
    pub(in crate::engine) open: OpenFailures,
    healthy: Healthy,
    /// Lines by number, in the order in which they came, and so of `due`.
    waiting: VecDeque<u64>,
    pub(in crate::engine) lines: HashMap<u64, Waiting>,
    /// Bytes of `lines`.
    bytes: usize,
    /// Lines by what they have in common with a failure: in order of time, by number.
    pub(in crate::engine) by_key: HashMap<JoinKey, BTreeSet<(Nanos, u64)>>,
    /// Timeouts by number, in order of `settles`.
    pub(in crate::engine) settling: VecDeque<u64>,
    /// Where a failure came that may be a timeout.
    pub(in crate::engine) unsettled: BTreeSet<JoinKey>,
    joined: HashMap<AttemptId, LogLine>,
    /// Paths of unix sockets that attempts went to, for lines that name them.
    paths: Bounded<String, ()>,
    resolver_errors: ResolverErrors,
    /// Upstreams that lines have named.
    named: Bounded<Upstream, ()>,
    /// When a worker last said that it leaves lines out: freenginx does above a rate.
    limited: Bounded<u32, Nanos>,
    /// When a worker last complained about what it had asked for itself, and whom.
    own: Bounded<(u32, Upstream), Nanos>,
    next: u64,
    cleaned: Nanos,
    /// When the latest failure ended that made room, or found none, while its line may still come; by worker.
    forgotten: Bounded<u32, Nanos>,
    /// Lines, and failures that wait for theirs, that made room for others.
    pub(in crate::engine) lost: Overflow,
    /// Workers of which it is not known whether their lines are read.
    pub(in crate::engine) workers_lost: Overflow,
    pub(in crate::engine) counts: LogLines,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            followed: Bounded::new(MAX_KEYS),
            follows: false,
            exited: VecDeque::new(),
            open: OpenFailures::default(),
            healthy: Healthy::default(),
            waiting: VecDeque::new(),
            lines: HashMap::new(),
            bytes: 0,
            by_key: HashMap::new(),
            settling: VecDeque::new(),
            unsettled: BTreeSet::new(),
            joined: HashMap::new(),
            paths: Bounded::new(MAX_KEYS),
            resolver_errors: ResolverErrors::default(),
            named: Bounded::new(MAX_KEYS),
            limited: Bounded::new(MAX_KEYS),
            own: Bounded::new(MAX_KEYS),
            next: 0,
            cleaned: 0,
            forgotten: Bounded::new(MAX_KEYS),
            lost: Overflow::default(),
            workers_lost: Overflow::default(),
            counts: LogLines::default(),
        }
    }
}

impl Logs {
    pub(in crate::engine) fn follow(&mut self, followed: &LogFollowed) {
        let LogFollowed { at, worker, followed, .. } = *followed;
        self.follows = followed;
        self.workers_lost.note_evicted(self.followed.insert(worker, followed, at), Nanos::MAX, at);
        self.exited.retain(|(_, pid)| *pid != worker);
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
            self.resolver_errors.forget(process.pid);
        }
    }

    /// For each failure of this worker a line is to be expected.
    pub(in crate::engine) fn followed(&self, worker: u32) -> bool {
        self.followed.get(&worker).copied().unwrap_or(self.follows)
    }

    /// The same of a failure at that time: the worker did not leave lines out then.
    pub(in crate::engine) fn tells(&self, worker: u32, at: Nanos) -> bool {
        let limited = self.limited.get(&worker).is_some_and(|said| said.abs_diff(at) < LIMITED);
        self.followed(worker) && !limited
    }

    /// It is known that no lines of this worker are read.
    pub(in crate::engine) fn unread(&self, worker: u32) -> bool {
        self.followed.get(&worker).is_some_and(|followed| !*followed)
    }

    /// A line was read; the failure that it belongs to, if that is clear at once.
    pub(in crate::engine) fn read(&mut self, line: LogLine, now: Nanos) -> Option<AttemptId> {
        let kind = match errorlog::meaning(&line) {
            Some(Meaning::Failed(kind)) => kind,
            Some(Meaning::PassedOver(_)) => {
                self.counts.passed_over += 1;
                if let Some((worker, peer)) = line.worker.zip(errorlog::own_target(&line)) {
                    self.own.insert((worker, Upstream::Tcp(peer)), line.at, line.at);
                }
                return None;
            }
            None => {
                if let Some(worker) = line.worker.filter(|_| errorlog::is_limiting(&line)) {
                    self.limited.insert(worker, line.at, line.at);
                }
                self.resolver_errors.read(line);
                return None;
            }
        };
        self.counts.seen += 1;
        let key = self.key(&line);
        if let Some(upstream) = &key.1 {
            self.named.insert(upstream.clone(), (), line.at);
        }
        let waits = without_attempt(kind) || (timeout(kind) && key.1.is_some());
        if !waits && let Some(id) = self.best(&key, &line, kind) {
            self.join(&key, id, line);
            return Some(id);
        }
        self.next += 1;
        let number = self.next;
        let now = line.at.max(now);
        let (settles, due) = (now.saturating_add(SETTLES), now.saturating_add(ALONE));
        self.waiting.push_back(number);
        if !without_attempt(kind) {
            self.by_key.entry(key.clone()).or_default().insert((line.at, number));
        }
        if timeout(kind) {
            self.settling.push_back(number);
        }
        self.bytes += line.weigh();
        let waiting = Waiting { line: Box::new(line), kind, settles, due, early: false, key };
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
        signature: FailureSignature,
    ) {
        self.remember(upstream, at);
        let key = (worker, upstream.cloned());
        let number = self.best_line(&key, at, signature, |_| true).or_else(|| {
            // Of a path that was not known before, a line may tell only now.
            let upstream = upstream?;
            self.best_line(&(worker, None), at, signature, |line| errorlog::fits(line, upstream))
        });
        if let Some(found) = number.and_then(|number| self.remove(number)) {
            self.joined.insert(id, *found.line);
            return;
        }
        if signature.silent() {
            self.unsettled.insert(key.clone());
        }
        if let Some(oldest) = self.open.push(key, Open { id, at, signature }) {
            self.forget(worker, oldest);
        }
    }

    /// A failure that ended then is not known any more when its line comes.
    fn forget(&mut self, worker: u32, at: Nanos) {
        self.lost.note(at, at);
        let latest = self.forgotten.get(&worker).copied().unwrap_or(0).max(at);
        self.forgotten.insert(worker, latest, latest);
    }

    /// The failure that a line is about may be one that was reported, or will be, without it.
    pub(in crate::engine) fn reported_without(&self, waiting: &Waiting) -> bool {
        let forgotten = self.forgotten.get(&waiting.key.0);
        waiting.early || forgotten.is_some_and(|at| *at >= earliest(&waiting.line))
    }

    /// An attempt that ended well, as far as was seen.
    pub(in crate::engine) fn ended_well(&mut self, attempt: Box<Attempt>) {
        self.remember(attempt.upstream.as_ref(), attempt.seen);
        // Where nobody watched, such a line is all that tells: it may be read late on a busy host.
        let until = attempt.seen.saturating_add(if attempt.by_socket { LINE_COMES } else { ALONE });
        self.healthy.keep(attempt, until);
    }

    /// An attempt that is taken for one whose client left, since no line came.
    pub(in crate::engine) fn left(&mut self, attempt: Box<Attempt>) {
        self.open.remove(&(attempt.worker, attempt.upstream.clone()), attempt.id);
        let until = attempt.seen.saturating_add(AFTER);
        self.healthy.keep(attempt, until);
    }

    /// nginx said that such a connection was its own business, and no upstream's.
    pub(in crate::engine) fn was_own(&self, attempt: &Attempt) -> bool {
        let Some(upstream) = &attempt.upstream else { return false };
        let said = self.own.get(&(attempt.worker, upstream.clone()));
        said.is_some_and(|at| at.abs_diff(attempt.seen) <= AFTER)
    }

    /// A failure has its line, or none is to be expected.
    pub(in crate::engine) fn ready(&self, id: AttemptId, worker: u32) -> bool {
        self.joined.contains_key(&id) || !self.followed(worker)
    }

    /// By when a timeout that was read, and that may be about this failure, is joined to one.
    pub(in crate::engine) fn settles_by(
        &self,
        attempt: &Attempt,
        signature: FailureSignature,
    ) -> Option<Nanos> {
        let key = (attempt.worker, attempt.upstream.clone());
        let from = attempt.seen.saturating_sub(BEFORE);
        let numbers = self.by_key.get(&key)?.range((from, 0)..);
        numbers
            .filter_map(|(_, number)| self.lines.get(number))
            .take_while(|waiting| earliest(&waiting.line) <= attempt.seen)
            .find(|waiting| timeout(waiting.kind) && signature.fits(waiting.kind, &waiting.line).is_some())
            .map(|waiting| waiting.due)
    }

    /// The line of a failure that is let go.
    pub(in crate::engine) fn take(&mut self, id: AttemptId) -> Option<LogLine> {
        self.joined.remove(&id)
    }

    /// What this worker last had to say about a name server, at that time.
    pub(in crate::engine) fn resolver_error(&self, line: &LogLine) -> Option<&LogLine> {
        self.resolver_errors.before(line)
    }

    /// The upstream of a line.
    pub(in crate::engine) fn upstream(&self, line: &LogLine) -> Option<Upstream> {
        let known = errorlog::unix_paths(line).find(|path| self.paths.contains_key(*path));
        known.map(|path| Upstream::Unix(path.to_owned())).or_else(|| errorlog::upstream_address(line))
    }

    /// Forgets what is too old, once a second.
    pub(in crate::engine) fn expire(&mut self, now: Nanos) {
        if now < self.cleaned.saturating_add(SECOND) {
            return;
        }
        self.cleaned = now;
        let (by_key, lines) = (&self.by_key, &self.lines);
        let waits = |key: &JoinKey| {
            let (_, number) = by_key.get(key)?.first()?;
            lines.get(number).map(|waiting| earliest(&waiting.line))
        };
        self.open.expire(now.saturating_sub(AFTER), waits);
        self.healthy.expire(now);
        self.forgotten.expire(now.saturating_sub(2 * AFTER));
        while let Some((_, pid)) = self.exited.pop_front_if(|(at, _)| at.saturating_add(AFTER) < now) {
            self.followed.remove(&pid);
        }
    }

    fn key(&self, line: &LogLine) -> JoinKey {
        (line.worker.unwrap_or_default(), self.upstream(line))
    }

    fn remember(&mut self, upstream: Option<&Upstream>, at: Nanos) {
        if let Some(Upstream::Unix(path)) = upstream
            && !self.paths.contains_key(path)
        {
            self.paths.insert(path.clone(), (), at);
        }
    }

    pub(in crate::engine) fn join(&mut self, key: &JoinKey, id: AttemptId, line: LogLine) {
        self.open.remove(key, id);
        self.joined.insert(id, line);
    }
}
