//! Attempts in trouble that are not over.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::engine::stores::overflow::Overflow;
use crate::event::SECOND;
use crate::event::{Attempt, AttemptId, Nanos, Upstream};
use crate::verdict::Confidence;

/// Attempts in trouble that are remembered; the oldest make room.
const KEPT: usize = 8_192;
/// An answer to one of them may have come since: only the last minute counts.
const WINDOW: Nanos = 60 * SECOND;
/// More than this many others need not be counted.
const MANY: usize = 100;

/// An attempt in trouble.
#[derive(Debug)]
pub(in crate::engine) struct Trouble {
    pub(in crate::engine) attempt: Box<Attempt>,
    /// The verdict that was told last.
    pub(in crate::engine) said: Option<(&'static str, Confidence)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(in crate::engine) struct Troubles {
    by_id: HashMap<AttemptId, Trouble>,
    /// Oldest first; ids of those that ended stay until they come up.
    in_order: VecDeque<AttemptId>,
    /// Those that are connected and wait for an answer, by upstream and time.
    waiting: HashMap<Upstream, BTreeSet<(Nanos, AttemptId)>>,
    /// Those that made room: they are told of again, or their end is not.
    pub(in crate::engine) lost: Overflow,
}

impl Troubles {
    /// Keeps the latest view of an attempt; whether it is new.
    pub(in crate::engine) fn keep(&mut self, attempt: &Attempt) -> bool {
        let earlier = self.remove(attempt.id);
        if let Some(upstream) = attempt.upstream.as_ref().filter(|_| waits(attempt)) {
            self.waiting.entry(upstream.clone()).or_default().insert((attempt.seen, attempt.id));
        }
        let new = earlier.is_none();
        let said = earlier.and_then(|trouble| trouble.said);
        self.by_id.insert(attempt.id, Trouble { attempt: Box::new(attempt.clone()), said });
        if new {
            self.in_order.push_back(attempt.id);
        }
        while self.by_id.len() > KEPT || self.in_order.len() > 8 * KEPT {
            let Some(oldest) = self.in_order.pop_front() else { break };
            if let Some(forgotten) = self.remove(oldest) {
                self.lost.note(forgotten.attempt.seen, attempt.seen);
            }
        }
        new
    }

    pub(in crate::engine) fn remove(&mut self, id: AttemptId) -> Option<Trouble> {
        let trouble = self.by_id.remove(&id)?;
        if let Some(upstream) = trouble.attempt.upstream.as_ref().filter(|_| waits(&trouble.attempt))
            && let Some(waiting) = self.waiting.get_mut(upstream)
        {
            waiting.remove(&(trouble.attempt.seen, id));
            if waiting.is_empty() {
                self.waiting.remove(upstream);
            }
        }
        Some(trouble)
    }

    pub(in crate::engine) fn get(&self, id: AttemptId) -> Option<&Trouble> {
        self.by_id.get(&id)
    }

    /// Notes what is told about an attempt; `false` if that was told before.
    pub(in crate::engine) fn say(
        &mut self,
        id: AttemptId,
        cause: &'static str,
        confidence: Confidence,
    ) -> bool {
        let now = Some((cause, confidence));
        self.by_id.get_mut(&id).is_some_and(|trouble| std::mem::replace(&mut trouble.said, now) != now)
    }

    /// Others at the same upstream that are connected and wait for an answer.
    pub(in crate::engine) fn others_waiting(&self, attempt: &Attempt) -> u32 {
        self.others(attempt).count() as u32
    }

    /// Those of them that were connected after this one.
    pub(in crate::engine) fn later_waiting(&self, attempt: &Attempt) -> u32 {
        let later = |other: &&Trouble| other.attempt.established > attempt.established;
        self.others(attempt).filter_map(|id| self.by_id.get(&id)).filter(later).count() as u32
    }

    fn others(&self, attempt: &Attempt) -> impl Iterator<Item = AttemptId> {
        let waiting = attempt.upstream.as_ref().and_then(|upstream| self.waiting.get(upstream));
        let from = (attempt.seen.saturating_sub(WINDOW), 0);
        let lately = waiting.into_iter().flat_map(move |waiting| waiting.range(from..));
        lately.map(|(_, id)| *id).filter(|id| *id != attempt.id).take(MANY)
    }
}

fn waits(attempt: &Attempt) -> bool {
    attempt.established.is_some() && attempt.outstanding && attempt.bytes_received == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{BEGUN, unanswered_request, unanswered_syn};

    #[test]
    fn others_that_wait_are_counted_without_oneself() {
        let mut troubles = Troubles::default();
        for id in 1..=3 {
            assert!(troubles.keep(&Attempt { id, ..unanswered_request() }));
        }
        assert!(!troubles.keep(&Attempt { id: 3, ..unanswered_request() }));
        assert_eq!(troubles.others_waiting(&Attempt { id: 3, ..unanswered_request() }), 2);
        assert_eq!(troubles.others_waiting(&Attempt { id: 9, ..unanswered_syn() }), 3);
        let first = Attempt { id: 9, established: Some(BEGUN), ..unanswered_request() };
        assert_eq!((troubles.later_waiting(&first), troubles.later_waiting(&unanswered_request())), (3, 0));
        troubles.remove(1);
        troubles.keep(&Attempt { id: 2, answer: Some(1), outstanding: false, ..unanswered_request() });
        assert_eq!(troubles.others_waiting(&Attempt { id: 9, ..unanswered_syn() }), 1);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut troubles = Troubles::default();
        for id in 0..2 * KEPT as u64 {
            troubles.keep(&Attempt { id, ..unanswered_request() });
        }
        assert_eq!(troubles.by_id.len(), KEPT);
        assert_eq!(troubles.lost.take().map(|(count, ..)| count), Some(KEPT as u64));
        assert_eq!(troubles.waiting.values().map(BTreeSet::len).sum::<usize>(), KEPT);
    }
}
