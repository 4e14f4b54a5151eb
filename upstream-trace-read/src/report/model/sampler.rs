//! Which attempts are told in full. A storm of the same failure is told by its first and its last ones.

use std::collections::{HashMap, VecDeque};

use upstream_trace_core::verdict::Verdict;

use super::Micros;
use super::budget::Budget;

/// First ones of one cause at one upstream of one host.
const FIRST: usize = 6;
/// And last ones.
const LAST: usize = 4;
/// Of the attempts that were still in trouble at the end.
const PENDING: usize = 3;
/// All together.
const MOST: usize = 1_000;

/// An attempt that is told in full.
#[derive(Clone, Debug)]
pub struct SampledAttempt {
    /// Its host.
    pub host: String,
    /// The upstream's name.
    pub upstream: String,
    /// When it ended, or was last looked at.
    pub at: Micros,
    /// It was not over when the recording ended.
    pub pending: bool,
    /// What is known of it.
    pub verdict: Box<Verdict>,
}

type Key = (String, &'static str, String);

/// The attempts, while they are chosen.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    groups: HashMap<Key, (Vec<SampledAttempt>, VecDeque<SampledAttempt>)>,
    pending: HashMap<Key, Vec<SampledAttempt>>,
    count: usize,
    budget: Budget,
}

impl Sampler {
    /// Keeps an attempt, or lets an earlier one go for it.
    pub(super) fn keep(&mut self, host: &str, upstream: &str, verdict: &Verdict, at: Micros, pending: bool) {
        let key = (host.to_owned(), verdict.cause, upstream.to_owned());
        let full = self.count >= MOST;
        let known = if pending { self.pending.contains_key(&key) } else { self.groups.contains_key(&key) };
        if full && !known {
            return;
        }
        let shown = || SampledAttempt {
            host: host.to_owned(),
            upstream: upstream.to_owned(),
            at,
            pending,
            verdict: Box::new(verdict.clone()),
        };
        if pending {
            let kept = self.pending.entry(key).or_default();
            if kept.len() < PENDING && !full && self.budget.take(verdict) {
                kept.push(shown());
                self.count += 1;
            }
            return;
        }
        let (first, last) = self.groups.entry(key).or_default();
        if (first.len() >= FIRST && last.len() >= LAST) || full {
            let Some(oldest) = last.pop_front() else { return };
            self.budget.give_back(&oldest.verdict);
            self.count -= 1;
        }
        if !self.budget.take(verdict) {
            return;
        }
        if first.len() < FIRST && !full {
            first.push(shown());
        } else {
            last.push_back(shown());
        }
        self.count += 1;
    }

    /// All of them in order of time.
    pub(super) fn in_order(self) -> Vec<SampledAttempt> {
        let ended = self.groups.into_values().flat_map(|(first, last)| first.into_iter().chain(last));
        let mut all: Vec<_> = ended.chain(self.pending.into_values().flatten()).collect();
        all.sort_by(|a, b| (a.at, &a.host, a.verdict.attempt).cmp(&(b.at, &b.host, b.verdict.attempt)));
        all
    }
}
