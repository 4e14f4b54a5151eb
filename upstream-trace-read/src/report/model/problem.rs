//! Failures of one cause at one upstream, and which of them to fix first.

use std::collections::{BTreeMap, HashMap};

use upstream_trace_core::cause;
use upstream_trace_core::verdict::{Confidence, Verdict};

use super::Micros;
use super::budget::Budget;

/// Pairs of cause and upstream that are told apart; beyond that, by cause alone.
const KEPT: usize = 4_096;

/// Failures of one cause at one upstream.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Id of the cause.
    pub cause: &'static str,
    /// Name of its reason.
    pub category: Option<&'static str>,
    /// The upstream's name.
    pub upstream: String,
    /// Failed attempts.
    pub count: u64,
    /// Of these, retried with success.
    pub recovered: u64,
    /// Attempts that were in trouble for this cause and not over at the end.
    pub pending: u64,
    /// First failure; of pending ones, their begin.
    pub first: Micros,
    /// Last failure, or the end if some are pending.
    pub last: Micros,
    /// Of the surest of them.
    pub confidence: Confidence,
    /// How many by host.
    pub hosts: BTreeMap<String, u64>,
    /// How many by the status that nginx answers.
    pub statuses: BTreeMap<u16, u64>,
    /// One of them: the surest, among these the first.
    pub example: Box<Verdict>,
}

impl Problem {
    fn new(verdict: &Verdict, upstream: String, budget: &mut Budget) -> Self {
        Self {
            cause: verdict.cause,
            category: verdict.category,
            upstream,
            count: 0,
            recovered: 0,
            pending: 0,
            first: Micros::MAX,
            last: Micros::MIN,
            confidence: verdict.confidence,
            hosts: BTreeMap::new(),
            statuses: BTreeMap::new(),
            example: budget.fit(verdict),
        }
    }

    /// Another example stands for it.
    fn show(&mut self, verdict: &Verdict, budget: &mut Budget) {
        budget.give_back(&self.example);
        self.confidence = verdict.confidence;
        self.example = budget.fit(verdict);
    }

    fn meet(&mut self, host: &str, (first, last): (Micros, Micros)) {
        self.first = self.first.min(first);
        self.last = self.last.max(last);
        match self.hosts.get_mut(host) {
            Some(count) => *count += 1,
            None => drop(self.hosts.insert(host.to_owned(), 1)),
        }
    }

    /// Failures that a client saw, and attempts that may become one.
    #[must_use]
    pub fn felt(&self) -> u64 {
        self.count.saturating_sub(self.recovered) + self.pending
    }

    /// It follows from the others.
    #[must_use]
    pub fn follows(&self) -> bool {
        cause::find(self.cause).is_some_and(|cause| cause.consequence) && !self.example.because.is_empty()
    }
}

/// All of them, while they are counted.
#[derive(Debug, Default)]
pub struct Problems {
    places: HashMap<(&'static str, String), usize>,
    all: Vec<Problem>,
    budget: Budget,
}

impl Problems {
    fn place(&mut self, verdict: &Verdict, upstream: &str) -> usize {
        let mut key = (verdict.cause, upstream.to_owned());
        if self.all.len() >= KEPT && !self.places.contains_key(&key) {
            super::collect::OTHERS.clone_into(&mut key.1);
        }
        *self.places.entry(key).or_insert_with_key(|(_, upstream)| {
            self.all.push(Problem::new(verdict, upstream.clone(), &mut self.budget));
            self.all.len() - 1
        })
    }

    /// Counts a failure.
    pub fn failed(&mut self, host: &str, upstream: &str, verdict: &Verdict, at: Micros) {
        let place = self.place(verdict, upstream);
        let problem = &mut self.all[place];
        // How it ended says more than how it looked before.
        if problem.count == 0 || verdict.confidence > problem.confidence {
            problem.show(verdict, &mut self.budget);
        }
        problem.meet(host, (at, at));
        problem.count += 1;
        problem.recovered += u64::from(verdict.recovered);
        if let Some(status) = verdict.status {
            *problem.statuses.entry(status).or_default() += 1;
        }
    }

    /// Takes note of an attempt in trouble; the number of its problem.
    pub fn troubled(&mut self, upstream: &str, verdict: &Verdict) -> usize {
        self.place(verdict, upstream)
    }

    /// Counts an attempt that is still in trouble at the end.
    pub fn pending(&mut self, host: &str, place: usize, since: Micros, end: Micros) {
        if let Some(problem) = self.all.get_mut(place) {
            problem.meet(host, (since, end));
            problem.pending += 1;
        }
    }

    /// The ones that came to something; first those that most clients felt, and consequences last.
    #[must_use]
    pub fn ranked(self) -> Vec<Problem> {
        let mut all: Vec<_> =
            self.all.into_iter().filter(|problem| problem.count + problem.pending > 0).collect();
        all.sort_by(|a, b| {
            (a.follows().cmp(&b.follows()))
                .then_with(|| (b.felt(), b.count).cmp(&(a.felt(), a.count)))
                .then_with(|| (a.first, a.cause, &a.upstream).cmp(&(b.first, b.cause, &b.upstream)))
        });
        all
    }
}
