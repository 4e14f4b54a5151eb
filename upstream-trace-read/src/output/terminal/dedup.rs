//! Which results are alike, so that a storm of them is counted instead of printed.

use upstream_trace_core::event::{Upstream, Workload};
use upstream_trace_core::verdict::{Confidence, Verdict};

use crate::output::about::place;
use crate::output::block::{confidence, upstream};
use crate::output::number;
use crate::output::rate_limiter::Suppressed;

/// What the members of a storm have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct DedupKey {
    pub(super) what: DedupKind,
    pub(super) upstream: Option<Upstream>,
    /// Where nginx runs: those of another nginx have a storm of their own.
    pub(super) workload: Option<Workload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum DedupKind {
    Pending(Judged),
    Failure(Judged),
    Resolved(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Judged {
    pub(super) cause: &'static str,
    pub(super) phase: u8,
    pub(super) confidence: &'static str,
}

impl Judged {
    pub(super) fn of(verdict: &Verdict) -> Self {
        let confidence = confidence(verdict.confidence);
        Self { cause: verdict.cause, phase: verdict.phase as u8, confidence }
    }
}

impl Suppressed<DedupKey> {
    /// `… 37 more port-refused at 10.0.0.2:80 from docker container web in the last 1.0 s`.
    pub(super) fn line(&self) -> String {
        let (before, judged) = match self.key.what {
            DedupKind::Pending(judged) => ("pending ", Some(judged)),
            DedupKind::Failure(judged) => ("", Some(judged)),
            DedupKind::Resolved(how_it_ended) => (how(how_it_ended), None),
        };
        let cause = judged.map_or("", |judged| judged.cause);
        let sure = match judged {
            Some(judged) if judged.confidence != confidence(Confidence::Proven) => {
                format!(" ({})", judged.confidence)
            }
            _ => String::new(),
        };
        let (count, span) = (number::count(self.count), number::duration(self.span));
        let at = upstream(self.key.upstream.as_ref());
        let recovered = match self.recovered {
            0 => String::new(),
            recovered => format!(", {} of them recovered", number::count(recovered)),
        };
        let from = self
            .key
            .workload
            .as_ref()
            .and_then(place)
            .map_or_else(String::new, |place| format!(" from {place}"));
        format!("… {count} more {before}{cause}{sure} at {at}{from} in the last {span}{recovered}")
    }
}

/// How an attempt ended that had been pending.
pub(super) fn how(how: &'static str) -> &'static str {
    match how {
        "client-gone" => "client gone",
        "worker-exit" => "worker gone",
        other => other,
    }
}
