//! Attempts in trouble that are not over.

use std::collections::{BTreeSet, HashMap};

use crate::bounded::Bounded;
use crate::engine::stores::overflow::Overflow;
use crate::event::{Attempt, AttemptId, Nanos, SECOND, Upstream, Weigh};
use crate::verdict::Confidence;

/// Attempts in trouble that are remembered; those that were not looked at for longest make room.
const MAX_TROUBLES: usize = 8_192;
/// Bytes of all of them.
const MAX_BYTES: usize = 32 << 20;
/// An answer to one of them may have come since: only the last minute counts.
const WINDOW: Nanos = 60 * SECOND;
/// More than this many others need not be counted.
const MANY: usize = 100;

/// An attempt in trouble.
#[derive(Debug)]
pub(in crate::engine) struct Trouble {
    pub(in crate::engine) attempt: Box<Attempt>,
    /// The verdict that was reported last.
    pub(in crate::engine) reported: Option<(&'static str, Confidence)>,
}

/// All of them.
#[derive(Debug)]
pub(in crate::engine) struct Troubles {
    by_id: Bounded<AttemptId, Trouble>,
    /// Those that are connected and wait for an answer, by upstream and time.
    waiting: HashMap<Upstream, BTreeSet<(Nanos, AttemptId)>>,
    /// Those that made room: they are reported again, or their end is not.
    pub(in crate::engine) lost: Overflow,
}

impl Default for Troubles {
    fn default() -> Self {
        let weigh = |trouble: &Trouble| trouble.attempt.weigh();
        let by_id = Bounded::with_max_bytes(MAX_TROUBLES, MAX_BYTES, weigh);
        Self { by_id, waiting: HashMap::new(), lost: Overflow::default() }
    }
}

impl Troubles {
    /// Keeps the latest view of an attempt; whether it is new.
    pub(in crate::engine) fn keep(&mut self, mut attempt: Box<Attempt>) -> bool {
        let earlier = self.remove(attempt.id);
        if let Some(trouble) = &earlier {
            attempt.learn_unread(&trouble.attempt);
        }
        if let Some(upstream) = attempt.upstream.as_ref().filter(|_| waits(&attempt)) {
            self.waiting.entry(upstream.clone()).or_default().insert((attempt.seen, attempt.id));
        }
        let new = earlier.is_none();
        let reported = earlier.and_then(|trouble| trouble.reported);
        let (id, at) = (attempt.id, attempt.seen);
        for evicted in self.by_id.insert(id, Trouble { attempt, reported }, at) {
            self.forget_waiting(&evicted.value.attempt);
            self.lost.note(evicted.at, at);
        }
        new
    }

    pub(in crate::engine) fn remove(&mut self, id: AttemptId) -> Option<Trouble> {
        let trouble = self.by_id.remove(&id)?;
        self.forget_waiting(&trouble.attempt);
        Some(trouble)
    }

    fn forget_waiting(&mut self, attempt: &Attempt) {
        if let Some(upstream) = attempt.upstream.as_ref().filter(|_| waits(attempt))
            && let Some(waiting) = self.waiting.get_mut(upstream)
        {
            waiting.remove(&(attempt.seen, attempt.id));
            if waiting.is_empty() {
                self.waiting.remove(upstream);
            }
        }
    }

    pub(in crate::engine) fn get(&self, id: AttemptId) -> Option<&Trouble> {
        self.by_id.get(&id)
    }

    /// Notes the verdict that is reported about an attempt; `false` if that was reported before.
    pub(in crate::engine) fn report(
        &mut self,
        id: AttemptId,
        cause: &'static str,
        confidence: Confidence,
    ) -> bool {
        let now = Some((cause, confidence));
        self.by_id.get_mut(&id).is_some_and(|trouble| std::mem::replace(&mut trouble.reported, now) != now)
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
        let from = (attempt.seen.saturating_sub(WINDOW), AttemptId::NONE);
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
    use crate::testkit::{BEGUN, id, unanswered_request, unanswered_syn};

    #[test]
    fn others_that_wait_are_counted_without_oneself() {
        let mut troubles = Troubles::default();
        for id in (1..=3).map(id) {
            assert!(troubles.keep(Box::new(Attempt { id, ..unanswered_request() })));
        }
        assert!(!troubles.keep(Box::new(Attempt { id: id(3), ..unanswered_request() })));
        assert_eq!(troubles.others_waiting(&Attempt { id: id(3), ..unanswered_request() }), 2);
        assert_eq!(troubles.others_waiting(&Attempt { id: id(9), ..unanswered_syn() }), 3);
        let first = Attempt { id: id(9), established: Some(BEGUN), ..unanswered_request() };
        assert_eq!((troubles.later_waiting(&first), troubles.later_waiting(&unanswered_request())), (3, 0));
        troubles.remove(id(1));
        troubles.keep(Box::new(Attempt {
            id: id(2),
            answer: Some(1),
            outstanding: false,
            ..unanswered_request()
        }));
        assert_eq!(troubles.others_waiting(&Attempt { id: id(9), ..unanswered_syn() }), 1);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut troubles = Troubles::default();
        for id in (0..2 * MAX_TROUBLES as u64).map(id) {
            troubles.keep(Box::new(Attempt { id, ..unanswered_request() }));
        }
        assert_eq!(troubles.by_id.len(), MAX_TROUBLES);
        assert_eq!(troubles.lost.take().map(|(count, ..)| count), Some(MAX_TROUBLES as u64));
        assert_eq!(troubles.waiting.values().map(BTreeSet::len).sum::<usize>(), MAX_TROUBLES);
    }
}
