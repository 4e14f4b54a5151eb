//! Which attempt retries which, what became of each, and which of them came to a good end.

use std::collections::{HashMap, HashSet};

use crate::bounded::Bounded;
use crate::engine::stores::overflow::Overflow;
use crate::event::{AttemptId, Nanos, SECOND, Upstream};
use crate::verdict::{Tries, Try, TryEnd};

/// Links kept; the oldest make room.
const MAX_LINKS: usize = 65_536;
/// A retry that began longer ago is not answered any more, or nothing was heard of it.
const RUNS: Nanos = 60 * SECOND;
/// Longest chain that is followed; nginx tries each peer once, and pooled connections on top.
const MAX_CHAIN: usize = 64;

/// The links.
#[derive(Debug)]
pub(in crate::engine) struct Retries {
    /// The retry of each failed attempt.
    next: Bounded<AttemptId, AttemptId>,
    previous: HashMap<AttemptId, AttemptId>,
    answered: HashSet<AttemptId>,
    /// What is known of attempts that have a link.
    known: HashMap<AttemptId, Try>,
    /// Links that made room before it was known what became of the retry.
    pub(in crate::engine) lost: Overflow,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            next: Bounded::new(MAX_LINKS),
            previous: HashMap::new(),
            answered: HashSet::new(),
            known: HashMap::new(),
            lost: Overflow::default(),
        }
    }
}

impl Retries {
    pub(in crate::engine) fn link(&mut self, failed: AttemptId, retry: AttemptId, at: Nanos) {
        if failed == retry {
            return;
        }
        if let Some(known) = self.next.get_mut(&failed) {
            *known = retry;
            return;
        }
        self.previous.insert(retry, failed);
        for evicted in self.next.insert(failed, retry, at) {
            self.forget_link(evicted.key, evicted.value, evicted.at, at);
        }
    }

    /// Forgets the links from before this time.
    pub(in crate::engine) fn expire(&mut self, before: Nanos) {
        while let Some(old) = self.next.pop_before(before) {
            self.forget_link(old.key, old.value, old.at, before.saturating_add(RUNS));
        }
    }

    fn forget_link(&mut self, failed: AttemptId, retry: AttemptId, since: Nanos, at: Nanos) {
        self.note_undecided(failed, Some(retry), since, at);
        self.answered.remove(&failed);
        self.known.remove(&failed);
        self.previous.remove(&retry);
        if !self.next.contains_key(&retry) {
            self.known.remove(&retry);
        }
    }

    /// The retry was answered: the attempts that this makes good, first to last.
    pub(in crate::engine) fn answered(
        &mut self,
        failed: AttemptId,
        retry: AttemptId,
        at: Nanos,
    ) -> Vec<AttemptId> {
        self.link(failed, retry, at);
        self.known(retry).end = TryEnd::Answered;
        let mut chain = self.before(failed);
        chain.push(failed);
        self.answered.extend(&chain);
        chain
    }

    /// What was reported about an attempt makes room: whether it recovered may not be seen any more.
    pub(in crate::engine) fn forget(&mut self, id: AttemptId, since: Nanos, at: Nanos) {
        self.note_undecided(id, self.next.get(&id).copied(), since, at);
    }

    fn note_undecided(&mut self, id: AttemptId, retry: Option<AttemptId>, since: Nanos, at: Nanos) {
        let Some(retry) = retry else { return };
        let last = self.after(retry).last().copied().unwrap_or(retry);
        let open = self.known.get(&last).is_none_or(|last| last.end == TryEnd::Unknown);
        if open && !self.recovered(id) && since.saturating_add(RUNS) >= at {
            self.lost.note(since, at);
        }
    }

    /// Where the attempt went, if it has a link.
    pub(in crate::engine) fn went(&mut self, id: AttemptId, upstream: Option<&Upstream>) {
        if upstream.is_some() && self.linked(id) {
            self.known(id).upstream = upstream.cloned();
        }
    }

    /// Why it failed, if it has a link.
    pub(in crate::engine) fn failed(
        &mut self,
        id: AttemptId,
        upstream: Option<&Upstream>,
        cause: &'static str,
    ) {
        self.went(id, upstream);
        if self.linked(id) {
            self.known(id).end = TryEnd::Failed(cause);
        }
    }

    /// A later attempt of its chain was answered.
    pub(in crate::engine) fn recovered(&self, id: AttemptId) -> bool {
        self.answered.contains(&id)
    }

    /// nginx went on to another attempt.
    pub(in crate::engine) fn retried(&self, id: AttemptId) -> bool {
        self.next.contains_key(&id)
    }

    /// The attempts that led to this one, first to last.
    pub(in crate::engine) fn before(&self, id: AttemptId) -> Vec<AttemptId> {
        let mut chain = along(id, |id| self.previous.get(&id));
        chain.reverse();
        chain
    }

    /// The whole chain of an attempt; `None` if it is the only one.
    pub(in crate::engine) fn chain(&self, id: AttemptId) -> Option<Tries> {
        let before = self.before(id);
        let this = before.len();
        let all = before.into_iter().chain([id]).chain(self.after(id));
        let chain: Vec<_> =
            all.map(|id| self.known.get(&id).cloned().unwrap_or_else(|| nothing_known(id))).collect();
        (chain.len() > 1).then_some(Tries { chain, this })
    }

    fn after(&self, id: AttemptId) -> Vec<AttemptId> {
        along(id, |id| self.next.get(&id))
    }

    fn linked(&self, id: AttemptId) -> bool {
        self.next.contains_key(&id) || self.previous.contains_key(&id)
    }

    fn known(&mut self, id: AttemptId) -> &mut Try {
        self.known.entry(id).or_insert_with(|| nothing_known(id))
    }
}

fn along<'a>(id: AttemptId, link: impl Fn(AttemptId) -> Option<&'a AttemptId>) -> Vec<AttemptId> {
    let mut chain = Vec::new();
    let mut at = id;
    while let Some(other) = link(at).filter(|_| chain.len() < MAX_CHAIN) {
        chain.push(*other);
        at = *other;
    }
    chain
}

fn nothing_known(attempt: AttemptId) -> Try {
    Try { attempt, upstream: None, end: TryEnd::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{BEGUN, id, remote};

    #[test]
    fn an_answer_makes_the_whole_chain_good() {
        let mut retries = Retries::default();
        retries.link(id(1), id(2), BEGUN);
        assert_eq!(retries.answered(id(2), id(3), BEGUN), [id(1), id(2)]);
        assert!(retries.recovered(id(1)) && retries.recovered(id(2)) && !retries.recovered(id(3)));
    }

    #[test]
    fn a_chain_tells_what_became_of_each() {
        let mut retries = Retries::default();
        let upstream = Upstream::Tcp(remote());
        retries.failed(id(9), Some(&upstream), "port-refused");
        assert!(retries.chain(id(9)).is_none() && retries.known.is_empty(), "the only attempt");
        retries.link(id(1), id(2), BEGUN);
        retries.failed(id(1), Some(&upstream), "port-refused");
        retries.answered(id(2), id(3), BEGUN);
        retries.went(id(3), Some(&upstream));
        let tries = retries.chain(id(2)).expect("a chain");
        assert_eq!((tries.this, tries.chain.len()), (1, 3));
        assert_eq!(tries.chain[0].end, TryEnd::Failed("port-refused"));
        assert_eq!((tries.chain[1].end, &tries.chain[1].upstream), (TryEnd::Unknown, &None));
        assert_eq!((tries.chain[2].end, &tries.chain[2].upstream), (TryEnd::Answered, &Some(upstream)));
    }

    #[test]
    fn links_are_bounded() {
        let mut retries = Retries::default();
        for n in 0..2 * MAX_LINKS as u64 {
            retries.link(id(2 * n), id(2 * n + 1), BEGUN);
            retries.failed(id(2 * n), None, "port-refused");
            retries.failed(id(2 * n + 1), None, "port-refused");
        }
        assert!(retries.next.len() <= MAX_LINKS && retries.previous.len() <= MAX_LINKS);
        assert!(retries.known.len() <= 2 * MAX_LINKS);
    }

    #[test]
    fn a_retry_that_is_forgotten_before_it_was_decided_is_lost() {
        let mut retries = Retries::default();
        for n in 0..MAX_LINKS as u64 {
            retries.link(id(2 * n), id(2 * n + 1), BEGUN + n);
        }
        retries.failed(id(3), None, "port-refused");
        let mut more = |from: u64, at| {
            for n in from..from + 3 {
                retries.link(id(2 * n), id(2 * n + 1), at);
            }
            retries.lost.take().map(|(count, ..)| count)
        };
        assert_eq!(more(MAX_LINKS as u64, BEGUN + SECOND), Some(2), "of three one had failed");
        assert_eq!(more(MAX_LINKS as u64 + 3, BEGUN + 2 * RUNS), None, "long ago");
    }

    #[test]
    fn nothing_is_left_of_old_links() {
        let mut retries = Retries::default();
        retries.failed(id(1), None, "port-refused");
        retries.link(id(1), id(2), BEGUN);
        retries.answered(id(2), id(3), BEGUN);
        retries.link(id(4), id(5), BEGUN + SECOND);
        retries.expire(BEGUN + 1);
        assert_eq!(retries.next.len(), 1);
        assert!(retries.retried(id(4)) && !retries.retried(id(1)) && !retries.recovered(id(1)));
        retries.expire(BEGUN + SECOND + 1);
        assert!(retries.next.is_empty() && retries.previous.is_empty());
        assert!(retries.answered.is_empty() && retries.known.is_empty(), "{retries:?}");
        assert_eq!(retries.lost.take(), None);
    }

    #[test]
    fn a_circle_of_links_ends() {
        let mut retries = Retries::default();
        retries.link(id(1), id(2), BEGUN);
        retries.link(id(2), id(1), BEGUN);
        assert!(retries.chain(id(1)).is_some_and(|tries| tries.chain.len() <= 2 * MAX_CHAIN + 1));
    }
}
