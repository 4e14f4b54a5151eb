//! Counts of failures by cause, upstream and nginx.

use std::collections::HashMap;

use crate::event::{Nanos, Upstream, Workload};
use crate::verdict::{CauseCount, Verdict};

/// Rows that are counted apart; beyond that, by cause alone.
const MAX_COUNTS: usize = 4_096;

/// The counts.
#[derive(Debug, Default)]
pub(in crate::engine) struct Tally {
    counts: HashMap<(&'static str, Option<Upstream>, Option<Workload>), CauseCount>,
    /// Attempts judged failed.
    pub(in crate::engine) failures: u64,
    /// Of these, retried with success.
    pub(in crate::engine) recovered: u64,
}

impl Tally {
    pub(in crate::engine) fn add(&mut self, verdict: &Verdict) {
        self.failures += 1;
        self.recovered += u64::from(verdict.recovered);
        let mut key = (verdict.cause, verdict.upstream.clone(), verdict.details.workload.clone());
        if self.counts.len() >= MAX_COUNTS && !self.counts.contains_key(&key) {
            (key.1, key.2) = (None, None);
        }
        let (upstream, workload) = (key.1.clone(), key.2.clone());
        let count = self.counts.entry(key).or_insert_with(|| CauseCount {
            cause: verdict.cause,
            reason: verdict.reason,
            upstream,
            group: None,
            workload,
            count: 0,
            first: Nanos::MAX,
            last: 0,
        });
        count.count += 1;
        count.first = count.first.min(verdict.at);
        count.last = count.last.max(verdict.at);
    }

    /// Most frequent first.
    pub(in crate::engine) fn by_cause(&self) -> Vec<CauseCount> {
        let mut all: Vec<_> = self.counts.values().cloned().collect();
        all.sort_by(|a, b| {
            let name = |count: &CauseCount| count.workload.as_ref().map(ToString::to_string);
            let same = || (a.cause, &a.upstream, name(a)).cmp(&(b.cause, &b.upstream, name(b)));
            b.count.cmp(&a.count).then_with(same)
        });
        all
    }
}
