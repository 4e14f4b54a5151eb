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

use std::collections::{HashSet, VecDeque};

use crate::bounded::Bounded;
use crate::event::{
    AttemptId, Config, Event, Hook, Host, LossPlace, MS, Nanos, Process, ProcessChange, SECOND, Upstream,
};
use crate::verdict::{LogLines, Note, Output, Summary};

use judge::ejected::Ejected;
use judge::notes::Notes;
use judge::tally::Tally;
use logjoin::logs::Logs;
use losses::Losses;
use stores::closers::Closers;
use stores::configs::Configs;
use stores::dns_lookups::DnsLookups;
use stores::fact_cache::FactCache;
use stores::origins::Origins;
use stores::overflow::Overflow;
use stores::packets::Packets;
use stores::queue::Queue;
use stores::retries::Retries;
use stores::troubles::Troubles;
use stores::upstreams::Upstreams;
use stores::workloads::Workloads;

pub use percentiles::{percentiles, to_powers_of_two};

/// How long a failed attempt is held to see whether nginx goes on to another.
const RETRY_STARTS: Nanos = 20 * MS;
/// How long a retried attempt is held to see whether the retry is answered.
const RETRY_ANSWERS: Nanos = SECOND;
/// How long an attempt in trouble waits for events of the same moment.
const TROUBLE_SETTLES: Nanos = 2 * MS;
/// Failures remembered after they were reported, for a retry that is answered late.
const MAX_REPORTED: usize = 65_536;
/// For so long: of a retry that takes longer the summary counts no recovery.
const REPORTED_FOR: Nanos = 600 * SECOND;

/// Turns events into verdicts.
#[derive(Debug, Default)]
pub struct Engine {
    hooks: Vec<Hook>,
    slow: Option<Nanos>,
    sampled: bool,
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
    /// Of those, the ones that had been reported as pending.
    warned: HashSet<AttemptId>,
    /// Failures that were reported, and whether they recovered.
    reported: Reported,
    /// Attempts that were judged before all about them had come.
    early: Overflow,
    retries: Retries,
    packets: Packets,
    origins: Origins,
    closers: Closers,
    facts: FactCache,
    dns_lookups: DnsLookups,
    upstreams: Upstreams,
    losses: Losses,
    notes: Notes,
    logs: Logs,
    ejected: Ejected,
    configs: Configs,
    lines_reported: u64,
    tally: Tally,
}

/// Failures that were reported, and whether they recovered.
#[derive(Debug)]
struct Reported(Bounded<AttemptId, bool>);

impl Default for Reported {
    fn default() -> Self {
        Self(Bounded::new(MAX_REPORTED))
    }
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Processes one event and returns what it leads to.
    ///
    /// Whatever waits for something to come is decided at ticks alone. The events of one turn come from several places,
    /// and one of them may carry a later time than others that are still to come: a tick says that nothing older is.
    pub fn on(&mut self, event: Event) -> Vec<Output> {
        let at = event.at();
        self.first.get_or_insert(at);
        self.latest = self.latest.max(at);
        if self.now == 0 {
            self.unwatched = self.latest;
        }
        let mut out = Vec::new();
        if is_of_a_log(&event) {
            return out;
        }
        match event {
            Event::Host(host) => self.on_host(host),
            Event::Process(process) => self.on_process(&process, &mut out),
            Event::Trouble(attempt) => self.on_trouble(attempt, &mut out),
            Event::End(attempt) => self.on_end(attempt, &mut out),
            Event::ConnectError(error) => self.on_connect_error(error, &mut out),
            Event::Drop(packet) => self.packets.dropped(packet),
            Event::ResetSent(reset) => {
                self.upstreams.reset_sent(&reset);
                self.packets.reset_sent(reset);
            }
            Event::Rules(rules) => self.packets.ruled(&rules),
            Event::OriginExit(exit) => self.origins.exited(exit),
            Event::OriginClosed(closed) => self.closers.closed(closed),
            Event::RetryStarted { failed, retry, upstream, .. } => {
                self.retries.link(failed, retry, at);
                self.retries.went(retry, upstream.as_ref());
            }
            Event::RetryAnswered { failed, retry, upstream, .. } => {
                self.retries.link(failed, retry, at);
                self.retries.went(retry, upstream.as_ref());
                self.on_answer(failed, retry, at, &mut out);
            }
            Event::Answered { at, attempt } => self.on_answered(attempt, at, &mut out),
            Event::ClientGone { at, attempt } => self.on_client_gone(attempt, at, &mut out),
            Event::Enrichment(found) => self.facts.keep(found),
            Event::Upstream(sample) => self.upstreams.sample(sample),
            Event::Lost(lost) => {
                self.losses.add(&lost);
                out.push(Output::Lost(lost));
            }
            Event::Config(config) => self.on_config(config, &mut out),
            Event::Log(line) => self.on_line(line, &mut out),
            Event::Lookup(lookup) => self.on_lookup(lookup, &mut out),
            Event::LogFollowed(followed) => self.logs.follow(&followed),
            Event::RunsIn(runs) => self.workloads.keep(&runs),
            Event::Tick { at } => self.on_tick(at, &mut out),
        }
        out
    }

    fn on_tick(&mut self, at: Nanos, out: &mut Vec<Output>) {
        self.now = self.now.max(at);
        // Before anything that may rest on it is judged.
        self.gather();
        self.settle(self.now, out);
        self.report_lines(self.now, out);
        self.report_lookups(self.now, out);
        self.release(self.now, out);
        self.packets.expire(self.now);
        self.logs.expire(self.now);
        let long_ago = self.now.saturating_sub(REPORTED_FOR);
        self.reported.0.expire(long_ago);
        self.retries.expire(long_ago);
        self.gather();
        out.extend(self.losses.due(self.now).into_iter().map(Output::Lost));
    }

    /// Takes what the stores had no room for.
    fn gather(&mut self) {
        let stores: [(LossPlace, &mut Overflow); 12] = [
            (LossPlace::FailuresHeld, &mut self.early),
            (LossPlace::Pending, &mut self.troubles.lost),
            (LossPlace::Retries, &mut self.retries.lost),
            (LossPlace::Packets, &mut self.packets.lost),
            (LossPlace::Rules, &mut self.packets.rules_lost),
            (LossPlace::Facts, &mut self.facts.lost),
            (LossPlace::OriginExits, &mut self.origins.lost),
            (LossPlace::OriginExits, &mut self.closers.lost),
            (LossPlace::NameLookups, &mut self.dns_lookups.lost),
            (LossPlace::LogLines, &mut self.logs.lost),
            (LossPlace::Workers, &mut self.logs.workers_lost),
            (LossPlace::Workers, &mut self.configs.lost),
        ];
        for (place, overflow) in stores {
            self.losses.overflowed(place, overflow);
        }
    }

    /// Judges everything that is still held: the run is over.
    pub fn finish(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        self.gather();
        self.settle(Nanos::MAX, &mut out);
        self.settle_last_lines();
        while let Some(id) = self.held.oldest() {
            self.let_go(id, &mut out);
        }
        self.report_lines(Nanos::MAX, &mut out);
        self.report_lookups(Nanos::MAX, &mut out);
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
            sampled: self.sampled,
        };
        self.configs.name(&mut summary);
        summary
    }

    /// Lines of error.log so far.
    #[must_use]
    pub fn log_lines(&self) -> LogLines {
        self.logs.counts
    }

    /// Says so if what was read may not be what nginx runs with.
    fn on_config(&mut self, config: Box<Config>, out: &mut Vec<Output>) {
        if config.edited {
            let text = format!(
                "{} was changed after nginx's workers began, and they keep what it said then: names of upstreams come \
                 from the file as it is now, and timeouts are not named.",
                config.file
            );
            out.push(Output::Note(Note { at: config.at, text }));
        }
        if let Some(unread) = &config.unread {
            let text = format!("Not all of nginx's configuration could be read ({unread}).");
            out.push(Output::Note(Note { at: config.at, text }));
        }
        self.configs.read(config);
    }

    fn on_host(&mut self, host: Host) {
        self.slow = Some(host.slow);
        self.sampled = !matches!(host.depth.as_str(), "" | "deep");
        if self.begun == 0 {
            self.begun = host.at;
        }
        self.hooks = host.hooks;
    }

    fn on_process(&mut self, process: &Process, out: &mut Vec<Output>) {
        out.extend(self.notes.on(process).map(Output::Note));
        self.logs.process(process);
        self.configs.process(process);
        match process.change {
            ProcessChange::WorkerStarted => self.workloads.forget(process.pid),
            ProcessChange::WorkerExited { .. } => {
                self.dns_lookups.forget(process.pid);
                self.workloads.end(process.pid, process.at);
            }
            ProcessChange::MasterExited => self.workloads.end(process.pid, process.at),
            ProcessChange::WorkerDraining | ProcessChange::MasterStarted { .. } => {}
        }
    }
}

/// What nginx writes to its own log is no request, though it goes to a unix socket.
fn is_of_a_log(event: &Event) -> bool {
    let upstream = match event {
        Event::Trouble(attempt) | Event::End(attempt) => attempt.upstream.as_ref(),
        Event::Upstream(sample) => sample.upstream.as_ref(),
        _ => None,
    };
    upstream.is_some_and(Upstream::is_journal)
}

#[cfg(test)]
mod tests;
