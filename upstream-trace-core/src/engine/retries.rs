//! Which attempt retries which, what became of each, and which of them came to a good end.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::event::{AttemptId, Upstream};
use crate::verdict::{Tries, Try, TryEnd};

/// Links kept; the oldest make room.
const KEPT: usize = 65_536;
/// Longest chain that is followed; nginx tries each peer once, and pooled connections on top.
const LONGEST: usize = 64;

/// The links.
#[derive(Debug, Default)]
pub(super) struct Retries {
    next: HashMap<AttemptId, AttemptId>,
    previous: HashMap<AttemptId, AttemptId>,
    answered: HashSet<AttemptId>,
    /// What is known of attempts that have a link.
    known: HashMap<AttemptId, Try>,
    in_order: VecDeque<AttemptId>,
}

impl Retries {
    pub(super) fn link(&mut self, failed: AttemptId, retry: AttemptId) {
        if failed == retry || self.next.insert(failed, retry).is_some() {
            return;
        }
        self.previous.insert(retry, failed);
        self.in_order.push_back(failed);
        while self.in_order.len() > KEPT {
            let Some(failed) = self.in_order.pop_front() else { break };
            self.answered.remove(&failed);
            self.known.remove(&failed);
            if let Some(retry) = self.next.remove(&failed) {
                self.previous.remove(&retry);
                if !self.next.contains_key(&retry) {
                    self.known.remove(&retry);
                }
            }
        }
    }

    /// The retry was answered: the attempts that this makes good, first to last.
    pub(super) fn answered(&mut self, failed: AttemptId, retry: AttemptId) -> Vec<AttemptId> {
        self.link(failed, retry);
        self.known(retry).end = TryEnd::Answered;
        let mut chain = self.before(failed);
        chain.push(failed);
        self.answered.extend(&chain);
        chain
    }

    /// Where the attempt went, if it has a link.
    pub(super) fn went(&mut self, id: AttemptId, upstream: Option<&Upstream>) {
        if upstream.is_some() && self.linked(id) {
            self.known(id).upstream = upstream.cloned();
        }
    }

    /// Why it failed, if it has a link.
    pub(super) fn failed(&mut self, id: AttemptId, upstream: Option<&Upstream>, cause: &'static str) {
        self.went(id, upstream);
        if self.linked(id) {
            self.known(id).end = TryEnd::Failed(cause);
        }
    }

    /// A later attempt of its chain was answered.
    pub(super) fn recovered(&self, id: AttemptId) -> bool {
        self.answered.contains(&id)
    }

    /// nginx went on to another attempt.
    pub(super) fn retried(&self, id: AttemptId) -> bool {
        self.next.contains_key(&id)
    }

    /// The attempts that led to this one, first to last.
    pub(super) fn before(&self, id: AttemptId) -> Vec<AttemptId> {
        let mut chain = along(id, &self.previous);
        chain.reverse();
        chain
    }

    /// The whole chain of an attempt; `None` if it is the only one.
    pub(super) fn chain(&self, id: AttemptId) -> Option<Tries> {
        let before = self.before(id);
        let this = before.len();
        let all = before.into_iter().chain([id]).chain(along(id, &self.next));
        let chain: Vec<_> =
            all.map(|id| self.known.get(&id).cloned().unwrap_or_else(|| nothing_known(id))).collect();
        (chain.len() > 1).then_some(Tries { chain, this })
    }

    fn linked(&self, id: AttemptId) -> bool {
        self.next.contains_key(&id) || self.previous.contains_key(&id)
    }

    fn known(&mut self, id: AttemptId) -> &mut Try {
        self.known.entry(id).or_insert_with(|| nothing_known(id))
    }
}

fn along(id: AttemptId, links: &HashMap<AttemptId, AttemptId>) -> Vec<AttemptId> {
    let mut chain = Vec::new();
    let mut at = id;
    while let Some(other) = links.get(&at).filter(|_| chain.len() < LONGEST) {
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
    use crate::testkit::remote;

    #[test]
    fn an_answer_makes_the_whole_chain_good() {
        let mut retries = Retries::default();
        retries.link(1, 2);
        assert_eq!(retries.answered(2, 3), [1, 2]);
        assert!(retries.recovered(1) && retries.recovered(2) && !retries.recovered(3));
    }

    #[test]
    fn a_chain_tells_what_became_of_each() {
        let mut retries = Retries::default();
        let upstream = Upstream::Tcp(remote());
        retries.failed(9, Some(&upstream), "port-refused");
        assert!(retries.chain(9).is_none() && retries.known.is_empty(), "the only attempt");
        retries.link(1, 2);
        retries.failed(1, Some(&upstream), "port-refused");
        retries.answered(2, 3);
        retries.went(3, Some(&upstream));
        let tries = retries.chain(2).expect("a chain");
        assert_eq!((tries.this, tries.chain.len()), (1, 3));
        assert_eq!(tries.chain[0].end, TryEnd::Failed("port-refused"));
        assert_eq!((tries.chain[1].end, &tries.chain[1].upstream), (TryEnd::Unknown, &None));
        assert_eq!((tries.chain[2].end, &tries.chain[2].upstream), (TryEnd::Answered, &Some(upstream)));
    }

    #[test]
    fn links_are_bounded() {
        let mut retries = Retries::default();
        for id in 0..2 * KEPT as u64 {
            retries.link(2 * id, 2 * id + 1);
            retries.failed(2 * id, None, "port-refused");
            retries.failed(2 * id + 1, None, "port-refused");
        }
        assert!(retries.next.len() <= KEPT && retries.previous.len() <= KEPT);
        assert!(retries.known.len() <= 2 * KEPT);
    }

    #[test]
    fn a_circle_of_links_ends() {
        let mut retries = Retries::default();
        retries.link(1, 2);
        retries.link(2, 1);
        assert!(retries.chain(1).is_some_and(|tries| tries.chain.len() <= 2 * LONGEST + 1));
    }
}
