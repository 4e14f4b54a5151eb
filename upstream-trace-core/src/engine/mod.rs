//! From events to verdicts.
//!
//! The engine holds a failed attempt until it is known whether nginx retried it, and an attempt in trouble until events
//! of the same moment have come in; it judges when it lets go. All time comes from events. Whatever it remembers is
//! bounded; the bound stands beside each store.

mod lookups;
mod losses;
mod notes;
mod packets;
mod percentiles;
mod queue;
mod retries;
mod tally;
mod troubles;
mod upstreams;

use std::collections::{HashMap, VecDeque};

use crate::case::{Calm, Case, MS, SECOND};
use crate::cause;
use crate::event::{Attempt, AttemptId, ConnectError, Event, Hook, Host, Nanos};
use crate::evidence;
use crate::verdict::{LogLines, Output, Resolved, Summary, Verdict};

use lookups::Lookups;
use losses::Losses;
use notes::Notes;
use packets::Packets;
use queue::{Failed, Queue};
use retries::Retries;
use tally::Tally;
use troubles::Troubles;
use upstreams::{Outcome, Upstreams};

/// How long a failed attempt is held to see whether nginx goes on to another.
const RETRY_STARTS: Nanos = 20 * MS;
/// How long a retried attempt is held to see whether the retry is answered.
const RETRY_ANSWERS: Nanos = SECOND;
/// How long an attempt in trouble waits for events of the same moment.
const TROUBLE_SETTLES: Nanos = 2 * MS;
/// Failures held at a time; beyond that the oldest is let go at once.
const HELD: usize = 16_384;
/// Failures remembered after they were told, for a retry that is answered late.
const TOLD: usize = 65_536;

/// Turns events into verdicts.
#[derive(Debug, Default)]
pub struct Engine {
    hooks: Vec<Hook>,
    slow: Option<Nanos>,
    first: Option<Nanos>,
    now: Nanos,
    troubles: Troubles,
    settling: VecDeque<(Nanos, AttemptId)>,
    held: Queue,
    told: HashMap<AttemptId, bool>,
    told_order: VecDeque<AttemptId>,
    retries: Retries,
    packets: Packets,
    lookups: Lookups,
    upstreams: Upstreams,
    losses: Losses,
    notes: Notes,
    tally: Tally,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in an event; what there is to say after it.
    pub fn on(&mut self, event: &Event) -> Vec<Output> {
        let at = event.at();
        self.first.get_or_insert(at);
        self.now = self.now.max(at);
        let mut out = Vec::new();
        match event {
            Event::Host(host) => self.on_host(host),
            Event::Process(process) => out.extend(self.notes.on(process).map(Output::Note)),
            Event::Trouble(attempt) => self.on_trouble(attempt),
            Event::End(attempt) => self.on_end(attempt, &mut out),
            Event::ConnectError(error) => self.on_connect_error(error, &mut out),
            Event::Drop(packet) => self.packets.dropped(packet),
            Event::ResetSent(reset) => self.packets.reset_sent(reset),
            Event::RetryStarted { failed, retry, .. } => self.retries.link(*failed, *retry),
            Event::RetryAnswered { failed, retry, .. } => self.on_answer(*failed, *retry, &mut out),
            Event::Answered { at, attempt } => self.on_answered(*attempt, *at, &mut out),
            Event::Enrichment(found) => self.lookups.keep(found),
            Event::Upstream(sample) => self.upstreams.sample(sample),
            Event::Lost(lost) => {
                self.losses.add(lost);
                out.push(Output::Lost(lost.clone()));
            }
            Event::Log(_) | Event::LogFollowed(_) | Event::Tick { .. } => {}
        }
        self.settle(self.now, &mut out);
        self.release(self.now, &mut out);
        self.packets.expire(self.now);
        out
    }

    /// Lets go of everything that is still held: the run is over.
    pub fn finish(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        self.settle(Nanos::MAX, &mut out);
        while let Some(id) = self.held.oldest() {
            self.let_go(id, &mut out);
        }
        out
    }

    /// The numbers up to a time; the time of the last event if that is later.
    #[must_use]
    pub fn summary(&self, at: Nanos) -> Summary {
        let end = at.max(self.now);
        Summary {
            duration: end.saturating_sub(self.first.unwrap_or(end)),
            attempts: self.upstreams.attempts(),
            failures: self.tally.failures,
            recovered: self.tally.recovered,
            lost: self.losses.count,
            by_cause: self.tally.by_cause(),
            upstreams: self.upstreams.summaries(),
            log_lines: LogLines::default(),
        }
    }

    fn on_host(&mut self, host: &Host) {
        self.hooks.clone_from(&host.hooks);
        self.slow = Some(host.slow);
    }

    fn on_trouble(&mut self, attempt: &Attempt) {
        let id = attempt.id;
        if self.known_as_ended(id) {
            return;
        }
        if let Some(failed) = attempt.retry_of {
            self.retries.link(failed, id);
        }
        if self.troubles.keep(attempt) {
            self.upstreams.seen(attempt.upstream.as_ref());
        }
        self.settling.push_back((attempt.seen.max(self.now) + TROUBLE_SETTLES, id));
    }

    fn on_end(&mut self, attempt: &Attempt, out: &mut Vec<Output>) {
        if self.known_as_ended(attempt.id) {
            return;
        }
        let earlier = self.troubles.remove(attempt.id);
        if earlier.is_none() {
            self.upstreams.seen(attempt.upstream.as_ref());
        }
        if let Some(failed) = attempt.retry_of {
            self.retries.link(failed, attempt.id);
        }
        let mut case = Case::of_attempt(attempt);
        case.slow = self.slow.unwrap_or(case.slow);
        if let Some(calm) = case.calm() {
            if earlier.is_some_and(|trouble| trouble.said.is_some()) {
                out.push(Output::Resolved(resolved(attempt, calm)));
            }
            return;
        }
        self.hold(Failed::Ended(Box::new(attempt.clone())), out);
    }

    fn on_connect_error(&mut self, error: &ConnectError, out: &mut Vec<Output>) {
        if self.known_as_ended(error.id) {
            return;
        }
        self.troubles.remove(error.id);
        self.upstreams.seen(Some(&error.upstream));
        if let Some(failed) = error.retry_of {
            self.retries.link(failed, error.id);
        }
        self.hold(Failed::AtOnce(Box::new(error.clone())), out);
    }

    fn on_answer(&mut self, failed: AttemptId, retry: AttemptId, out: &mut Vec<Output>) {
        for id in self.retries.answered(failed, retry) {
            if let Some(recovered) = self.told.get_mut(&id).filter(|recovered| !**recovered) {
                *recovered = true;
                self.tally.recovered += 1;
            }
            // Not before its own events had time to arrive.
            if self.held.ended(id).is_some_and(|ended| ended + RETRY_STARTS <= self.now) {
                self.let_go(id, out);
            }
        }
    }

    /// An attempt in trouble got its answer; its connection may go on to other requests.
    fn on_answered(&mut self, attempt: AttemptId, at: Nanos, out: &mut Vec<Output>) {
        let Some(trouble) = self.troubles.remove(attempt) else { return };
        if trouble.said.is_some() {
            let upstream = trouble.attempt.upstream;
            out.push(Output::Resolved(Resolved { attempt, at, upstream, how: Calm::Answered.name() }));
        }
    }

    fn known_as_ended(&self, id: AttemptId) -> bool {
        self.held.contains(id) || self.told.contains_key(&id)
    }

    fn hold(&mut self, failed: Failed, out: &mut Vec<Output>) {
        let due = failed.at().max(self.now) + RETRY_STARTS;
        self.held.insert(failed, due);
        while self.held.len() > HELD {
            let Some(id) = self.held.oldest() else { break };
            self.let_go(id, out);
        }
    }

    /// Judges attempts in trouble whose moment has passed.
    fn settle(&mut self, until: Nanos, out: &mut Vec<Output>) {
        while let Some((_, id)) = self.settling.pop_front_if(|(due, _)| *due <= until) {
            let Some(trouble) = self.troubles.get(id) else { continue };
            let mut case = Case::of_attempt(&trouble.attempt);
            self.fill(&mut case);
            let verdict = verdict(&case, false);
            // That nothing is known is worth a word only once it lasts.
            let worth = verdict.reason.is_some() || case.overdue();
            if worth && self.troubles.say(id, verdict.cause, verdict.confidence) {
                out.push(Output::Pending(verdict));
            }
        }
    }

    /// Lets go of failures whose fate is known, or whose time is up.
    fn release(&mut self, until: Nanos, out: &mut Vec<Output>) {
        while let Some(id) = self.held.due(until) {
            let ended = self.held.ended(id).unwrap_or(until);
            let waits =
                self.retries.retried(id) && !self.retries.recovered(id) && until < ended + RETRY_ANSWERS;
            if waits {
                self.held.postpone(id, ended + RETRY_ANSWERS);
                continue;
            }
            // The chain ends here, well or not: what led to it has no more to wait for.
            if !self.retries.retried(id) {
                for earlier in self.retries.before(id) {
                    self.let_go(earlier, out);
                }
            }
            self.let_go(id, out);
        }
    }

    fn let_go(&mut self, id: AttemptId, out: &mut Vec<Output>) {
        let Some(failed) = self.held.remove(id) else { return };
        let recovered = self.retries.recovered(id);
        let mut case = match &failed {
            Failed::Ended(attempt) => Case::of_attempt(attempt),
            Failed::AtOnce(error) => Case::of_connect_error(error),
        };
        self.fill(&mut case);
        let verdict = verdict(&case, recovered);
        let outcome = Outcome::of(&case);
        self.upstreams.failed(verdict.upstream.as_ref(), id, verdict.at, outcome);
        self.tally.add(&verdict);
        self.told.insert(id, recovered);
        self.told_order.push_back(id);
        while self.told_order.len() > TOLD {
            self.told_order.pop_front().and_then(|oldest| self.told.remove(&oldest));
        }
        out.push(Output::Failure(verdict));
    }

    /// Everything that belongs to a case.
    fn fill<'a>(&'a self, case: &mut Case<'a>) {
        let (id, seen) = (case.attempt.id, case.attempt.seen);
        self.packets.fill(case);
        case.enrichment = self.lookups.of(&case.attempt);
        case.siblings = self.upstreams.siblings(case.attempt.upstream.as_ref(), id, seen);
        case.siblings.waiting = self.troubles.others_waiting(&case.attempt);
        case.hooks = &self.hooks;
        case.lossy = self.losses.touch(&case.attempt);
        case.slow = self.slow.unwrap_or(case.slow);
    }
}

fn resolved(attempt: &Attempt, calm: Calm) -> Resolved {
    Resolved { attempt: attempt.id, at: attempt.seen, upstream: attempt.upstream.clone(), how: calm.name() }
}

fn verdict(case: &Case<'_>, recovered: bool) -> Verdict {
    let (found, finding) = cause::judge(case);
    let attempt = &case.attempt;
    // What is recorded then is about the request before.
    let dead = case.dead_in_pool();
    Verdict {
        attempt: attempt.id,
        at: attempt.seen,
        since: case.since(),
        worker: attempt.worker,
        upstream: attempt.upstream.clone(),
        transport: case.transport(),
        local: attempt.local.map(|local| local.to_string()),
        phase: case.phase(),
        cause: found.id,
        reason: found.reason,
        category: found.reason.and_then(cause::category),
        confidence: finding.confidence,
        alternatives: finding.alternatives,
        errno: case.errno(),
        status: case.status(),
        recovered,
        reused: attempt.reused || dead,
        bytes_sent: if dead { 0 } else { attempt.bytes_sent },
        bytes_received: if dead { 0 } else { attempt.bytes_received },
        evidence: evidence::of(case),
        summary: finding.summary,
        fix: finding.fix.unwrap_or_else(|| found.fix.to_owned()),
        log: case.log.cloned(),
        name: case.unresolved().map(str::to_owned),
        because: case.because.clone(),
    }
}

#[cfg(test)]
mod tests;
