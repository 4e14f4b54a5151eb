//! What is counted. Each store is bounded; what goes beyond its bound is counted together as `other`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use upstream_trace_core::case::only_group;
use upstream_trace_core::event::{AttemptId, Config, Host, Upstream, UpstreamSample};
use upstream_trace_core::verdict::{Confidence, Output, Verdict};
use upstream_trace_read::output::Vitals;

use super::samples::Samples;

/// Series of failures: label sets with numbers of their own.
const MAX_FAILURES: usize = 1_000;
/// Series of pending attempts, likewise.
const MAX_PENDING: usize = 200;
/// Attempts that are remembered as pending; the engine remembers fewer.
const MAX_ATTEMPTS: usize = 65_536;
/// Places where events are lost: there are two dozen of them.
const MAX_PLACES: usize = 64;

/// In place of what has no series of its own.
pub(super) const OTHER: &str = "other";

/// Where an attempt went: the labels `upstream` and `server`, as the exporters of nginx have them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Where {
    /// Group in nginx's configuration; empty if it is in none, or in several.
    pub(super) upstream: String,
    /// Address and port, or path; empty if it is not known.
    pub(super) server: String,
}

impl Where {
    pub(super) fn other() -> Self {
        Self { upstream: OTHER.to_owned(), server: OTHER.to_owned() }
    }
}

/// A series of failures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FailureSeries {
    pub(super) place: Where,
    pub(super) cause: &'static str,
    pub(super) confidence: Confidence,
    pub(super) recovered: bool,
}

/// A series of pending attempts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PendingSeries {
    pub(super) place: Where,
    pub(super) cause: &'static str,
}

/// What a scrape shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    pub(super) version: String,
    pub(super) failures: BTreeMap<FailureSeries, u64>,
    pub(super) pending: BTreeMap<PendingSeries, u64>,
    pub(super) lost: BTreeMap<String, u64>,
    pub(super) samples: Samples,
    pub(super) vitals: Vitals,
    /// Failures and pending attempts that were counted as `other`.
    pub(super) folded: u64,
}

/// The numbers, and what is needed to count on.
#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) numbers: Numbers,
    attempts: HashMap<AttemptId, PendingSeries>,
    config: Option<Arc<Config>>,
}

impl Counter {
    pub(super) fn start(&mut self, host: &Host) {
        self.numbers.version.clone_from(&host.version);
    }

    pub(super) fn config(&mut self, config: &Config) {
        let config = Arc::new(config.clone());
        self.numbers.samples.rename(|upstream| place(Some(&config), Some(upstream)));
        self.config = Some(config);
    }

    pub(super) fn sample(&mut self, sample: &UpstreamSample) {
        let config = self.config.as_deref();
        self.numbers.samples.take(sample, |upstream| place(config, Some(upstream)));
    }

    pub(super) fn output(&mut self, output: &Output) {
        match output {
            Output::Failure(verdict) => {
                self.over(verdict.attempt);
                self.failure(verdict);
            }
            Output::Pending(verdict) => self.pending(verdict),
            Output::Resolved(resolved) => self.over(resolved.attempt),
            Output::Lost(lost) => self.lost(&lost.place, lost.count),
            Output::Note(_) => {}
        }
    }

    /// Events that a sink, or the kernel side, had no room for.
    fn lost(&mut self, place: &str, count: u64) {
        let lost = &mut self.numbers.lost;
        let known = lost.contains_key(place) || lost.len() < MAX_PLACES;
        *lost.entry(if known { place } else { OTHER }.to_owned()).or_default() += count;
    }

    fn failure(&mut self, verdict: &Verdict) {
        let Verdict { cause, confidence, recovered, .. } = *verdict;
        let mut series = FailureSeries { place: self.place(verdict), cause, confidence, recovered };
        let failures = &mut self.numbers.failures;
        if failures.len() >= MAX_FAILURES && !failures.contains_key(&series) {
            // Causes, confidences and outcomes are few: those stay told apart.
            series.place = Where::other();
            self.numbers.folded += 1;
        }
        *failures.entry(series).or_default() += 1;
    }

    fn pending(&mut self, verdict: &Verdict) {
        self.over(verdict.attempt);
        if self.attempts.len() >= MAX_ATTEMPTS {
            self.numbers.folded += 1;
            return;
        }
        let mut series = PendingSeries { place: self.place(verdict), cause: verdict.cause };
        let pending = &mut self.numbers.pending;
        if pending.len() >= MAX_PENDING && !pending.contains_key(&series) {
            series.place = Where::other();
            self.numbers.folded += 1;
        }
        *pending.entry(series.clone()).or_default() += 1;
        self.attempts.insert(verdict.attempt, series);
    }

    /// It is pending no more.
    fn over(&mut self, attempt: AttemptId) {
        let Some(series) = self.attempts.remove(&attempt) else { return };
        if let Some(count) = self.numbers.pending.get_mut(&series) {
            *count = count.saturating_sub(1);
        }
        // A series that is 0 makes room once the others need it.
        if self.numbers.pending.len() >= MAX_PENDING {
            self.numbers.pending.retain(|_, count| *count > 0);
        }
    }

    /// The group as the verdict has it, by the configuration of its worker; else as the latest one has it.
    fn place(&self, verdict: &Verdict) -> Where {
        let mut found = place(self.config.as_deref(), verdict.upstream.as_ref());
        if let [only] = verdict.details.names.as_slice() {
            found.upstream.clone_from(&only.group);
        }
        found
    }
}

fn place(config: Option<&Config>, upstream: Option<&Upstream>) -> Where {
    let group = config.zip(upstream).and_then(|(config, upstream)| only_group(config, upstream));
    Where {
        upstream: group.unwrap_or_default().to_owned(),
        server: upstream.map(Upstream::to_string).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testkit::{failure, server};
    use upstream_trace_core::verdict::Resolved;

    #[test]
    fn series_are_bounded_and_the_rest_is_told_together() {
        let mut counter = Counter::default();
        for port in 0..3_000 {
            counter.output(&Output::Failure(failure(u64::from(port), &server(port))));
        }
        let numbers = &counter.numbers;
        assert_eq!(numbers.failures.len(), MAX_FAILURES + 1);
        assert_eq!(numbers.failures.values().sum::<u64>(), 3_000);
        let other = numbers.failures.iter().find(|(series, _)| series.place == Where::other());
        assert_eq!((other.map(|(_, count)| *count), numbers.folded), (Some(2_000), 2_000));
    }

    #[test]
    fn pending_attempts_go_down_again() {
        let mut counter = Counter::default();
        let count = |counter: &Counter| counter.numbers.pending.values().sum::<u64>();
        for attempt in [1, 2, 2, 3] {
            counter.output(&Output::Pending(failure(attempt, &server(1))));
        }
        assert_eq!(count(&counter), 3);
        counter.output(&Output::Failure(failure(1, &server(1))));
        let attempt = AttemptId::from_kernel(2);
        counter.output(&Output::Resolved(Resolved { attempt, at: 1, upstream: None, how: "answered" }));
        assert_eq!((count(&counter), counter.numbers.failures.len()), (1, 1));
        for attempt in 10..1_000 {
            counter.output(&Output::Pending(failure(attempt, &server(u16::try_from(attempt).unwrap()))));
        }
        assert_eq!(count(&counter), 991);
        assert!(counter.numbers.pending.len() <= MAX_PENDING + 1);
    }
}
