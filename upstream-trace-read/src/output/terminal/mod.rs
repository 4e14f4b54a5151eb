//! Output for people: blocks on stdout, status on stderr.

mod dedup;

use std::collections::HashMap;
use std::io::Write;

use upstream_trace_core::event::{AttemptId, Host, Lost, Nanos, Workload};
use upstream_trace_core::verdict::{Note, Output, Resolved, Summary, Verdict};

use super::block::{Kind, upstream};
use super::clock::Clock;
use super::layout::{DIM, GREEN, TextLayout};
use super::number;
use super::pipe::Pipe;
use super::rate_limiter::{RateLimiter, Suppressed};
use super::{Extra, Sink, SinkState, escape, host_label};
use dedup::{DedupKey, DedupKind, Judged, how};

/// Of the storms that have something to say at one time, so many get a line; the others share one.
const LINES: usize = 6;
/// Pending attempts that are remembered, so that their end is told in short.
const REMEMBERED: usize = 65_536;

/// How a [`Terminal`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns.
    pub width: usize,
    /// Colours on stdout.
    pub colour: bool,
    /// Colours on stderr.
    pub status_colour: bool,
    /// With the costs of each hook in the summary.
    pub verbose: bool,
}

/// Writes for people.
#[derive(Debug)]
pub struct Terminal<W, E> {
    results: Pipe<W>,
    status: Pipe<E>,
    page: TextLayout,
    status_page: TextLayout,
    verbose: bool,
    /// Says first of which host it is.
    several: bool,
    /// File of the recording, if there is one.
    file: String,
    /// What was printed last ended with an empty line.
    apart: bool,
    clock: Clock,
    now: Nanos,
    storms: RateLimiter<DedupKey>,
    losses: RateLimiter<String>,
    pending: HashMap<AttemptId, ReportedPending>,
}

/// A pending attempt that was reported.
#[derive(Debug)]
struct ReportedPending {
    judged: Judged,
    workload: Option<Workload>,
    alternatives: Vec<&'static str>,
    /// When, and up to which evidence, if in full.
    full: Option<(Nanos, f64)>,
}

impl<W: Write, E: Write> Terminal<W, E> {
    /// Results go to the first writer, status and warnings to the second.
    pub fn new(results: W, status: E, look: Look) -> Self {
        Self {
            results: Pipe::new(results),
            status: Pipe::new(status),
            page: TextLayout { width: look.width, colour: look.colour },
            status_page: TextLayout { width: look.width, colour: look.status_colour },
            verbose: look.verbose,
            several: false,
            file: String::new(),
            apart: true,
            clock: Clock::default(),
            now: 0,
            storms: RateLimiter::default(),
            losses: RateLimiter::default(),
            pending: HashMap::new(),
        }
    }

    /// Says first of which host it is, if there are several recordings.
    #[must_use]
    pub fn several(mut self, several: bool) -> Self {
        self.several = several;
        self
    }

    /// Prints lines, or a block that is set apart from them by an empty line.
    fn print(&mut self, text: &str, block: bool) {
        if text.is_empty() {
            return;
        }
        let gap = if block && !self.apart { "\n" } else { "" };
        self.apart = text.ends_with("\n\n");
        let text = &format!("{gap}{text}");
        if let Some(error) = self.results.write(text) {
            self.status.write(&error);
        }
    }

    fn pending(&mut self, verdict: &Verdict) {
        let judged = Judged::of(verdict);
        if self.pending.get(&verdict.attempt).is_some_and(|told| told.same(verdict)) {
            return;
        }
        let workload = verdict.details.workload.clone();
        let what = DedupKind::Pending(judged);
        let same = DedupKey { what, upstream: verdict.upstream.clone(), workload: workload.clone() };
        let first = self.storms.first(same, verdict.at, 1, 0);
        if first {
            self.print(&self.page.block(self.clock, verdict, Kind::Pending), true);
        }
        if self.pending.len() < REMEMBERED || self.pending.contains_key(&verdict.attempt) {
            let full = first.then(|| (verdict.at, verdict.evidence.last().map_or(0.0, |e| e.at_ms)));
            self.pending.insert(
                verdict.attempt,
                ReportedPending { judged, workload, alternatives: verdict.alternatives.clone(), full },
            );
        }
    }

    fn failure(&mut self, verdict: &Verdict) {
        let told = self.pending.remove(&verdict.attempt).filter(|told| told.same(verdict));
        let what = DedupKind::Failure(Judged::of(verdict));
        let workload = verdict.details.workload.clone();
        let same = DedupKey { what, upstream: verdict.upstream.clone(), workload };
        if !self.storms.first(same, verdict.at, 1, u64::from(verdict.recovered)) {
            return;
        }
        let said = told.and_then(|told| told.full).map(|(at, after_ms)| (self.clock.time(at), after_ms));
        let kind = match &said {
            Some((said, after_ms)) => Kind::Confirmed { said, after_ms: *after_ms },
            None => Kind::Failure,
        };
        self.print(&self.page.block(self.clock, verdict, kind), true);
    }

    fn resolved(&mut self, resolved: &Resolved) {
        let Some(told) = self.pending.remove(&resolved.attempt) else { return };
        let what = DedupKind::Resolved(resolved.how);
        let same = DedupKey { what, upstream: resolved.upstream.clone(), workload: told.workload.clone() };
        if self.storms.first(same, resolved.at, 1, 0) {
            let page = self.page;
            let time = self.clock.time(resolved.at);
            let mut text = String::new();
            let what = format!(
                "{}  {}  that was pending: {}",
                page.paint(GREEN, how(resolved.how)),
                upstream(resolved.upstream.as_ref()),
                told.judged.cause
            );
            page.wrap(&mut text, &format!("{}  ", page.paint(DIM, &time)), time.len() + 2, &what);
            self.print(&text, false);
        }
    }

    fn lost(&mut self, lost: &Lost) {
        if self.losses.first(lost.place.clone(), lost.at, lost.count, 0) {
            self.status.write(&self.status_page.lost(self.clock, lost));
        }
    }

    fn note(&mut self, note: &Note) {
        self.status.write(&self.status_page.note(&self.clock.time(note.at), &note.text));
    }

    fn say(&mut self, storms: &[Suppressed<DedupKey>], losses: Vec<Suppressed<String>>, now: Nanos) {
        let mut text = String::new();
        let (lines, others) =
            storms.split_at(storms.len().min(if storms.len() > LINES { LINES - 1 } else { LINES }));
        for storm in lines {
            self.page.wrap(&mut text, "", 2, &storm.line());
        }
        if !others.is_empty() {
            let count = number::count(others.iter().map(|storm| storm.count).sum());
            let span = number::duration(others.iter().map(|storm| storm.span).max().unwrap_or(0));
            let what = format!("… {count} more of {} other kinds in the last {span}", others.len());
            self.page.wrap(&mut text, "", 2, &what);
        }
        self.print(&text, false);
        for Suppressed { key: place, count, span, .. } in losses {
            let lost = Lost { at: now, count, place, since: now.saturating_sub(span), upstream: None };
            self.status.write(&self.status_page.lost(self.clock, &lost));
        }
    }
}

impl<W: Write, E: Write> Sink for Terminal<W, E> {
    fn begin_recording(&mut self, file: &str) {
        file.clone_into(&mut self.file);
        (self.apart, self.now) = (true, 0);
        (self.storms, self.losses) = (RateLimiter::default(), RateLimiter::default());
        self.pending.clear();
    }

    fn start(&mut self, host: &Host) {
        self.clock = Clock::new(host);
        self.status.write(&self.status_page.watching(host));
        if self.several {
            let (label, since) = (host_label(host, &self.file), self.clock.iso(host.at));
            let heading = self.page.heading(&label, &escape(&self.file), &since);
            self.print(&heading, true);
        }
    }

    fn clock(&mut self, host: &Host) {
        self.clock = Clock::new(host);
    }

    fn output(&mut self, output: &Output) {
        match output {
            Output::Pending(verdict) => self.pending(verdict),
            Output::Failure(verdict) => self.failure(verdict),
            Output::Resolved(resolved) => self.resolved(resolved),
            Output::Lost(lost) => self.lost(lost),
            Output::Note(note) => self.note(note),
        }
    }

    fn tick(&mut self, now: Nanos) {
        self.now = now;
        let (storms, losses) = (self.storms.due(now), self.losses.due(now));
        self.say(&storms, losses, now);
    }

    fn summary(&mut self, summary: &Summary, extra: &Extra) {
        // The summary counts failures, not what is still pending.
        let mut rest = self.storms.rest(self.now);
        rest.retain(|storm| matches!(storm.key.what, DedupKind::Pending(_)));
        self.say(&rest, Vec::new(), self.now);
        let text = self.page.summary(self.clock, summary, extra, self.verbose);
        self.print(&text, true);
    }

    fn state(&self) -> SinkState {
        self.results.state()
    }
}

impl ReportedPending {
    fn same(&self, verdict: &Verdict) -> bool {
        self.judged == Judged::of(verdict) && self.alternatives == verdict.alternatives
    }
}

#[cfg(test)]
mod tests;
