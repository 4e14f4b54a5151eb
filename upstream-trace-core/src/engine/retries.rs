//! Which attempt retries which, and which of them came to a good end.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::event::AttemptId;

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
            if let Some(retry) = self.next.remove(&failed) {
                self.previous.remove(&retry);
            }
        }
    }

    /// The retry was answered: the attempts that this makes good, first to last.
    pub(super) fn answered(&mut self, failed: AttemptId, retry: AttemptId) -> Vec<AttemptId> {
        self.link(failed, retry);
        let mut chain = self.before(failed);
        chain.push(failed);
        self.answered.extend(&chain);
        chain
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
        let mut chain = Vec::new();
        let mut at = id;
        while let Some(previous) = self.previous.get(&at).filter(|_| chain.len() < LONGEST) {
            chain.push(*previous);
            at = *previous;
        }
        chain.reverse();
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_makes_the_whole_chain_good() {
        let mut retries = Retries::default();
        retries.link(1, 2);
        assert_eq!(retries.answered(2, 3), [1, 2]);
        assert!(retries.recovered(1) && retries.recovered(2) && !retries.recovered(3));
    }

    #[test]
    fn links_are_bounded() {
        let mut retries = Retries::default();
        for id in 0..2 * KEPT as u64 {
            retries.link(2 * id, 2 * id + 1);
        }
        assert!(retries.next.len() <= KEPT && retries.previous.len() <= KEPT);
    }
}
