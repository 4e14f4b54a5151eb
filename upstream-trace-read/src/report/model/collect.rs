//! Listens to replays and keeps what makes the story.

use std::collections::HashMap;
use std::mem::take;

use anyhow::Result;
use upstream_trace_core::event::{AttemptId, Event, Host, Upstream};
use upstream_trace_core::json::Clock;
use upstream_trace_core::verdict::{Output, Summary, Verdict};

use super::budget::{Budget, cut};
use super::sampler::Sampler;
use super::{Micros, Problems, RecordingSummary, ReportModel, Timeline, Traffic};
use crate::output::{Extra, Sink, escape, host_label};
use crate::report::Exporter;

/// How all upstreams beyond what is kept are called.
pub(super) const OTHERS: &str = "(all others)";

/// Attempts in trouble that are followed.
const FOLLOWED: usize = 65_536;
/// Of these, remembered in full.
const IN_FULL: usize = 1_024;

/// An attempt in trouble.
#[derive(Debug)]
struct Troubled {
    problem: usize,
    since: Micros,
    at: Micros,
    verdict: Option<Box<Verdict>>,
}

/// Makes a [`ReportModel`] of all that is replayed to it, and has it exported.
#[derive(Default)]
pub struct Collector {
    /// There are several recordings: names that mean something else on each host are told apart.
    several: bool,
    exporters: Vec<Box<dyn Exporter>>,
    clock: Clock,
    part: RecordingSummary,
    parts: Vec<RecordingSummary>,
    problems: Problems,
    timeline: Timeline,
    traffic: Traffic,
    kept: Sampler,
    troubled: HashMap<AttemptId, Troubled>,
    in_full: usize,
    budget: Budget,
}

impl Collector {
    /// For one recording, or for several; these write the reports in the end.
    #[must_use]
    pub fn new(several: bool, exporters: Vec<Box<dyn Exporter>>) -> Self {
        Self { several, exporters, ..Self::default() }
    }

    /// All that was heard; it is forgotten.
    pub(super) fn model(&mut self) -> ReportModel {
        ReportModel {
            parts: take(&mut self.parts),
            problems: take(&mut self.problems).ranked(),
            timeline: take(&mut self.timeline),
            traffic: take(&mut self.traffic),
            shown: take(&mut self.kept).in_order(),
        }
    }

    /// The upstream's name. What only its own host reaches is another one on each.
    fn name(&self, upstream: Option<&Upstream>) -> String {
        let Some(upstream) = upstream else { return OTHERS.to_owned() };
        let name = escape(&upstream.to_string()).into_owned();
        let own = upstream.ip().is_none_or(|ip| ip.is_loopback());
        if self.several && own { format!("{name} on {}", self.part.label) } else { name }
    }

    fn upstream(&self, verdict: &Verdict) -> String {
        match (&verdict.upstream, &verdict.name) {
            (None, Some(name)) => escape(name).into_owned(),
            (None, None) => "(unknown)".to_owned(),
            (upstream, _) => self.name(upstream.as_ref()),
        }
    }

    fn pending(&mut self, verdict: &Verdict) {
        let upstream = self.upstream(verdict);
        let known = self.troubled.get(&verdict.attempt);
        if known.is_none() && self.troubled.len() >= FOLLOWED {
            return;
        }
        if let Some(before) = known.and_then(|known| known.verdict.as_deref()) {
            self.budget.give_back(before);
            self.in_full -= 1;
        }
        let in_full = self.in_full < IN_FULL && self.budget.take(verdict);
        self.in_full += usize::from(in_full);
        let troubled = Troubled {
            problem: self.problems.troubled(&upstream, verdict),
            since: self.clock.unix_us(verdict.since),
            at: self.clock.unix_us(verdict.at),
            verdict: in_full.then(|| Box::new(verdict.clone())),
        };
        self.troubled.insert(verdict.attempt, troubled);
    }

    fn settled(&mut self, attempt: AttemptId) {
        if let Some(verdict) = self.troubled.remove(&attempt).and_then(|troubled| troubled.verdict) {
            self.budget.give_back(&verdict);
            self.in_full -= 1;
        }
    }

    fn failed(&mut self, verdict: &Verdict) {
        self.settled(verdict.attempt);
        let (at, upstream) = (self.clock.unix_us(verdict.at), self.upstream(verdict));
        self.problems.failed(&self.part.label, &upstream, verdict, at);
        self.timeline.add(at, verdict.cause);
        if verdict.upstream.is_some() {
            self.traffic.failed(&upstream, at);
        }
        self.kept.keep(&self.part.label, &upstream, verdict, at, false);
    }
}

impl Sink for Collector {
    fn begin_recording(&mut self, file: &str) {
        self.part =
            RecordingSummary { file: file.to_owned(), label: file.to_owned(), ..RecordingSummary::default() };
        self.traffic.begin();
    }

    fn start(&mut self, host: &Host) {
        self.clock = Clock::new(host);
        self.part.label = host_label(host, &self.part.file);
        self.part.begin = self.clock.unix_us(host.at);
        self.part.end = self.part.begin;
        self.part.host = host.clone();
    }

    fn event(&mut self, event: &Event) {
        if let Event::Upstream(sample) = event {
            let name = self.name(sample.upstream.as_ref());
            self.traffic.sample(&name, sample, self.clock.unix_us(sample.at));
        }
    }

    fn output(&mut self, output: &Output) {
        match output {
            Output::Pending(verdict) => self.pending(verdict),
            Output::Failure(verdict) => self.failed(verdict),
            Output::Resolved(resolved) => self.settled(resolved.attempt),
            Output::Lost(_) => {}
            Output::Note(note) => {
                self.part.note(self.clock.unix_us(note.at), cut(&escape(&note.text)));
            }
        }
    }

    fn summary(&mut self, summary: &Summary, _extra: &Extra) {
        let duration = Micros::try_from(summary.duration / 1_000).unwrap_or(Micros::MAX);
        self.part.end = self.part.begin.saturating_add(duration);
        self.part.attempts = summary.attempts;
        self.part.failures = summary.failures;
        self.part.recovered = summary.recovered;
        self.part.lost = summary.lost;
        self.part.log_lines = summary.log_lines;
    }

    fn end_recording(&mut self, warnings: &[String]) {
        self.part.warnings = warnings.to_vec();
        let host = self.part.label.clone();
        let mut troubled: Vec<_> = self.troubled.drain().collect();
        troubled.sort_unstable_by_key(|(attempt, troubled)| (troubled.since, *attempt));
        for (_, troubled) in troubled {
            self.problems.pending(&host, troubled.problem, troubled.since, self.part.end);
            if let Some(verdict) = troubled.verdict {
                let upstream = self.upstream(&verdict);
                self.kept.keep(&host, &upstream, &verdict, troubled.at, true);
            }
        }
        (self.in_full, self.budget) = (0, Budget::default());
        self.parts.push(take(&mut self.part));
    }

    fn finish(&mut self) -> Result<()> {
        let model = self.model();
        self.exporters.iter().try_for_each(|exporter| exporter.export(&model))
    }
}
