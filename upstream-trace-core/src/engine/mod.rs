//! From events to verdicts.
//!
//! The engine holds a failed attempt until it is known whether nginx retried it, and an attempt in trouble until events
//! of the same moment have come in; it judges when it lets go. All time comes from events. Whatever it remembers is
//! bounded; the bound stands beside each store.

mod judge;
mod logjoin;
mod losses;
mod percentiles;
mod stores;

use std::collections::{HashMap, HashSet, VecDeque};

use crate::case::{BenignEnd, Case};
use crate::event::{Attempt, AttemptId, Config, ConnectError, Event, Hook, Host, Nanos, ProcessChange};
use crate::event::{MS, SECOND};
use crate::verdict::{Note, Output, Resolved, Summary};

use judge::ejected::Ejected;
use judge::notes::Notes;
use judge::tally::Tally;
use judge::verdicts::resolved;
use logjoin::logs::Logs;
use losses::Losses;
use stores::configs::Configs;
use stores::dns_lookups::DnsLookups;
use stores::fact_cache::FactCache;
use stores::origins::Origins;
use stores::overflow::Overflow;
use stores::packets::Packets;
use stores::queue::{Failed, Queue};
use stores::retries::Retries;
use stores::troubles::Troubles;
use stores::upstreams::Upstreams;
use stores::workloads::Workloads;

pub use percentiles::percentiles;

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
    /// Since when attempts are seen; 0 if that is not known.
    begun: Nanos,
    first: Option<Nanos>,
    /// Up to here everything is known that happened: the last tick.
    now: Nanos,
    /// The latest time of any event.
    latest: Nanos,
    /// The latest of those before the first tick: lines among them may be older than the hooks.
    unwatched: Nanos,
    workloads: Workloads,
    troubles: Troubles,
    settling: VecDeque<(Nanos, AttemptId)>,
    held: Queue,
    /// Of those, the ones that had been told of as pending.
    warned: HashSet<AttemptId>,
    told: HashMap<AttemptId, bool>,
    told_order: VecDeque<(Nanos, AttemptId)>,
    /// Attempts that were judged before all about them had come.
    early: Overflow,
    retries: Retries,
    packets: Packets,
    origins: Origins,
    facts: FactCache,
    dns_lookups: DnsLookups,
    upstreams: Upstreams,
    losses: Losses,
    notes: Notes,
    logs: Logs,
    ejected: Ejected,
    configs: Configs,
    lines_told: u64,
    tally: Tally,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in an event; what there is to say after it.
    ///
    /// Whatever waits for something to come is decided at ticks alone. The events of one turn come from several places,
    /// and one of them may carry a later time than others that are still to come: a tick says that nothing older is.
    pub fn on(&mut self, event: &Event) -> Vec<Output> {
        let at = event.at();
        self.first.get_or_insert(at);
        self.latest = self.latest.max(at);
        if self.now == 0 {
            self.unwatched = self.latest;
        }
        let mut out = Vec::new();
        match event {
            Event::Host(host) => self.on_host(host),
            Event::Process(process) => {
                out.extend(self.notes.on(process).map(Output::Note));
                self.logs.process(process);
                self.configs.process(process);
                if matches!(process.change, ProcessChange::WorkerStarted) {
                    self.workloads.forget(process.pid);
                }
                if matches!(process.change, ProcessChange::WorkerExited { .. }) {
                    self.dns_lookups.forget(process.pid);
                }
            }
            Event::Trouble(attempt) => self.on_trouble(attempt, &mut out),
            Event::End(attempt) => self.on_end(attempt, &mut out),
            Event::ConnectError(error) => self.on_connect_error(error, &mut out),
            Event::Drop(packet) => self.packets.dropped(packet),
            Event::ResetSent(reset) => {
                self.upstreams.reset_sent(reset);
                self.packets.reset_sent(reset);
            }
            Event::Rules(rules) => self.packets.ruled(rules),
            Event::OriginExit(exit) => self.origins.exited(exit),
            Event::RetryStarted { failed, retry, upstream, .. } => {
                self.retries.link(*failed, *retry, at);
                self.retries.went(*retry, upstream.as_ref());
            }
            Event::RetryAnswered { failed, retry, upstream, .. } => {
                self.retries.link(*failed, *retry, at);
                self.retries.went(*retry, upstream.as_ref());
                self.on_answer(*failed, *retry, at, &mut out);
            }
            Event::Answered { at, attempt } => self.on_answered(*attempt, *at, &mut out),
            Event::ClientGone { at, attempt } => self.on_client_gone(*attempt, *at, &mut out),
            Event::Enrichment(found) => self.facts.keep(found),
            Event::Upstream(sample) => self.upstreams.sample(sample),
            Event::Lost(lost) => {
                self.losses.add(lost);
                out.push(Output::Lost(lost.clone()));
            }
            Event::Config(config) => self.on_config(config, &mut out),
            Event::Log(line) => self.on_line(line, &mut out),
            Event::Lookup(lookup) => self.on_lookup(lookup, &mut out),
            Event::LogFollowed(followed) => self.logs.follow(followed),
            Event::RunsIn(runs) => self.workloads.keep(runs),
            Event::Tick { at } => self.on_tick(*at, &mut out),
        }
        out
    }

    fn on_tick(&mut self, at: Nanos, out: &mut Vec<Output>) {
        self.now = self.now.max(at);
        // Before anything that may rest on it is judged.
        self.gather();
        self.settle(self.now, out);
        self.tell_lines(self.now, out);
        self.tell_lookups(self.now, out);
        self.release(self.now, out);
        self.packets.expire(self.now);
        self.logs.expire(self.now);
        self.gather();
        out.extend(self.losses.due(self.now).into_iter().map(Output::Lost));
    }

    /// Takes what the stores had no room for.
    fn gather(&mut self) {
        let stores: [(&'static str, bool, &mut Overflow); 9] = [
            ("failures-held", true, &mut self.early),
            ("pending", false, &mut self.troubles.lost),
            ("retries", false, &mut self.retries.lost),
            ("packets", true, &mut self.packets.lost),
            ("rules", false, &mut self.packets.rules_lost),
            ("facts", false, &mut self.facts.lost),
            ("origin-exits", true, &mut self.origins.lost),
            ("name-lookups", false, &mut self.dns_lookups.lost),
            ("log-lines", false, &mut self.logs.lost),
        ];
        for (place, evidence, overflow) in stores {
            self.losses.overflowed(place, evidence, overflow);
        }
        for overflow in [&mut self.logs.workers_lost, &mut self.configs.lost] {
            self.losses.overflowed("workers", false, overflow);
        }
    }

    /// Lets go of everything that is still held: the run is over.
    pub fn finish(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        self.gather();
        self.settle(Nanos::MAX, &mut out);
        self.settle_lines(Nanos::MAX);
        while let Some(id) = self.held.oldest() {
            self.let_go(id, &mut out);
        }
        self.tell_lines(Nanos::MAX, &mut out);
        self.tell_lookups(Nanos::MAX, &mut out);
        self.gather();
        out.extend(self.losses.due(Nanos::MAX).into_iter().map(Output::Lost));
        out
    }

    /// The numbers up to a time; the time of the last event if that is later.
    #[must_use]
    pub fn summary(&self, at: Nanos) -> Summary {
        let end = at.max(self.latest);
        let mut summary = Summary {
            duration: end.saturating_sub(self.first.unwrap_or(end)),
            attempts: self.upstreams.attempts(),
            failures: self.tally.failures,
            recovered: self.tally.recovered,
            lost: self.losses.count,
            lost_by_place: self.losses.by_place(),
            by_cause: self.tally.by_cause(),
            upstreams: self.upstreams.summaries(),
            log_lines: self.logs.counts,
        };
        self.configs.name(&mut summary);
        summary
    }

    /// Says so if what was read may not be what nginx runs with.
    fn on_config(&mut self, config: &Config, out: &mut Vec<Output>) {
        self.configs.read(config);
        if config.edited {
            let text = format!(
                "{} was changed after nginx's workers began, and they keep what it said then: names of upstreams come \
                 from the file as it is now, and timeouts are not named.",
                config.file
            );
            out.push(Output::Note(Note { at: config.at, text }));
        }
    }

    fn on_host(&mut self, host: &Host) {
        self.hooks.clone_from(&host.hooks);
        self.slow = Some(host.slow);
        if self.begun == 0 {
            self.begun = host.at;
        }
    }

    fn on_trouble(&mut self, attempt: &Attempt, out: &mut Vec<Output>) {
        let id = attempt.id;
        if self.known_as_ended(id) {
            return;
        }
        if let Some(failed) = attempt.retry_of {
            self.retries.link(failed, id, attempt.seen);
        }
        self.retries.went(id, attempt.upstream.as_ref());
        if self.troubles.keep(attempt) {
            self.upstreams.seen(attempt.upstream.as_ref());
        }
        self.settling.push_back((attempt.seen.max(self.now) + TROUBLE_SETTLES, id));
        if self.settling.len() > HELD
            && let Some((due, _)) = self.settling.front().copied()
        {
            self.judged_early(attempt.seen);
            self.settle(due, out);
        }
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
            self.retries.link(failed, attempt.id, attempt.seen);
        }
        self.retries.went(attempt.id, attempt.upstream.as_ref());
        let mut case = Case::of_attempt(attempt);
        case.slow = self.slow.unwrap_or(case.slow);
        let warned = earlier.is_some_and(|trouble| trouble.said.is_some());
        if let Some(benign_end) = case.benign_end() {
            self.packets.done(attempt);
            self.logs.ended_well(attempt);
            if warned {
                out.push(Output::Resolved(resolved(attempt, benign_end)));
            }
            return;
        }
        if warned {
            self.warned.insert(attempt.id);
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
            self.retries.link(failed, error.id, error.at);
        }
        self.retries.went(error.id, Some(&error.upstream));
        self.hold(Failed::SyncConnectError(Box::new(error.clone())), out);
    }

    fn on_answer(&mut self, failed: AttemptId, retry: AttemptId, at: Nanos, out: &mut Vec<Output>) {
        for id in self.retries.answered(failed, retry, at) {
            if let Some(recovered) = self.told.get_mut(&id).filter(|recovered| !**recovered) {
                *recovered = true;
                self.tally.recovered += 1;
            }
            // Not before its own events, and its line, had time to arrive.
            let arrived = |ended| ended + RETRY_STARTS <= self.now && !self.awaits_line(id, ended, self.now);
            if self.held.ended(id).is_some_and(arrived) {
                self.let_go(id, out);
            }
        }
    }

    /// An attempt in trouble got its answer; its connection may go on to other requests.
    fn on_answered(&mut self, attempt: AttemptId, at: Nanos, out: &mut Vec<Output>) {
        let Some(trouble) = self.troubles.remove(attempt) else { return };
        if trouble.said.is_some() {
            let upstream = trouble.attempt.upstream;
            out.push(Output::Resolved(Resolved { attempt, at, upstream, how: BenignEnd::Answered.name() }));
        }
    }

    /// What looked as if nginx had lost patience was a client that left.
    fn on_client_gone(&mut self, attempt: AttemptId, at: Nanos, out: &mut Vec<Output>) {
        let Some(Failed::Ended(ended)) = self.held.remove(attempt) else { return };
        // What the upstream refused, or broke, was over before the client left.
        if !Case::of_attempt(&ended).gave_up() {
            let due = ended.seen.max(self.now) + RETRY_STARTS;
            self.held.insert(Failed::Ended(ended), due);
            return;
        }
        self.logs.left(&ended);
        self.packets.done(&ended);
        if self.warned.remove(&attempt) {
            let (upstream, how) = (ended.upstream, BenignEnd::ClientGone.name());
            out.push(Output::Resolved(Resolved { attempt, at, upstream, how }));
        }
    }

    fn known_as_ended(&self, id: AttemptId) -> bool {
        self.held.contains(id) || self.told.contains_key(&id)
    }

    fn hold(&mut self, failed: Failed, out: &mut Vec<Output>) {
        let due = failed.at().max(self.now) + RETRY_STARTS;
        self.expect_line(&failed);
        self.held.insert(failed, due);
        while self.held.len() > HELD {
            let Some(id) = self.held.oldest() else { break };
            self.judged_early(self.held.ended(id).unwrap_or(self.now));
            self.let_go(id, out);
        }
    }

    /// There is no room to wait for what may still come about this attempt.
    fn judged_early(&mut self, ended: Nanos) {
        self.early.note(ended, self.now);
        self.losses.overflowed("failures-held", true, &mut self.early);
    }
}

#[cfg(test)]
mod tests;
