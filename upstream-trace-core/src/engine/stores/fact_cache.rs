//! What was looked up about upstreams, latest first.

use crate::bounded::Bounded;
use crate::engine::stores::overflow::Overflow;
use crate::event::{Attempt, Enrichment, Fact, Nanos, SECOND, Upstream, weigh_rare};

/// Upstreams kept; the one looked up longest ago makes room.
const MAX_UPSTREAMS: usize = 1_024;
/// Bytes of all facts.
const MAX_BYTES: usize = 8 << 20;
/// A fact older than this says nothing about an attempt.
const FRESH: Nanos = 5 * SECOND;
/// The look-up follows the sign of trouble, so it may be a little later.
const AFTER: Nanos = SECOND;

/// The cache.
#[derive(Debug)]
pub(in crate::engine) struct FactCache {
    latest: Bounded<(u32, Upstream), Enrichment>,
    /// Those, latest first, that saw a queue overflow: one that is empty later proves nothing.
    full: Bounded<(u32, Upstream), Enrichment>,
    /// Those, latest first, that saw connections wait to be accepted: a process that is stopped may go on in the moment in
    /// which nginx gives up.
    waiting: Bounded<(u32, Upstream), Enrichment>,
    /// Facts that made room while they were fresh.
    pub(in crate::engine) lost: Overflow,
}

impl Default for FactCache {
    fn default() -> Self {
        let bounded = || Bounded::with_max_bytes(MAX_UPSTREAMS, MAX_BYTES, weigh_rare);
        Self { latest: bounded(), full: bounded(), waiting: bounded(), lost: Overflow::default() }
    }
}

impl FactCache {
    pub(in crate::engine) fn keep(&mut self, found: Enrichment) {
        let (key, at) = ((found.netns, found.upstream.clone()), found.at);
        if found.facts.iter().any(|fact| matches!(fact, Fact::Listener(listener) if listener.overflows())) {
            self.lost.note_evicted(self.full.insert(key.clone(), found.clone(), at), FRESH, at);
        }
        let waits = |fact: &Fact| matches!(fact, Fact::Listener(listener) if listener.unaccepted.is_some());
        if found.facts.iter().any(waits) {
            self.lost.note_evicted(self.waiting.insert(key.clone(), found.clone(), at), FRESH, at);
        }
        self.lost.note_evicted(self.latest.insert(key, found, at), FRESH, at);
    }

    pub(in crate::engine) fn of(&self, attempt: &Attempt) -> Option<&Enrichment> {
        let key = (attempt.netns, attempt.upstream.clone()?);
        let found = self.latest.get(&key)?;
        (found.at + FRESH >= attempt.seen && found.at <= attempt.seen + AFTER).then_some(found)
    }

    /// What was found when the queue of its listener was last seen to overflow, if that was while the attempt ran.
    pub(in crate::engine) fn full(&self, attempt: &Attempt) -> Option<&Enrichment> {
        Self::while_it_ran(&self.full, attempt)
    }

    /// The same, of when connections to it were last seen to wait.
    pub(in crate::engine) fn waiting(&self, attempt: &Attempt) -> Option<&Enrichment> {
        Self::while_it_ran(&self.waiting, attempt)
    }

    fn while_it_ran<'a>(
        kept: &'a Bounded<(u32, Upstream), Enrichment>,
        attempt: &Attempt,
    ) -> Option<&'a Enrichment> {
        let found = kept.get(&(attempt.netns, attempt.upstream.clone()?))?;
        (found.at >= attempt.begun && found.at <= attempt.seen + AFTER).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Listener;
    use crate::testkit::{BEGUN, enrichment, unanswered_syn};

    #[test]
    fn a_queue_that_was_full_while_the_attempt_ran_is_remembered() {
        let mut facts = FactCache::default();
        let listener = |queue| vec![Fact::Listener(Listener { queue, limit: 5, ..Listener::default() })];
        facts.keep(Enrichment { at: BEGUN + SECOND, ..enrichment(listener(6)) });
        facts.keep(Enrichment { at: BEGUN + 2 * SECOND, ..enrichment(listener(0)) });
        let mut attempt = unanswered_syn();
        attempt.seen = BEGUN + 2 * SECOND;
        assert_eq!(facts.of(&attempt).map(|found| found.at), Some(BEGUN + 2 * SECOND));
        assert_eq!(facts.full(&attempt).map(|found| found.at), Some(BEGUN + SECOND));
        attempt.begun = BEGUN + SECOND + 1;
        assert!(facts.full(&attempt).is_none(), "that was before");
    }

    #[test]
    fn only_fresh_facts_of_the_same_namespace_count() {
        let mut facts = FactCache::default();
        facts.keep(enrichment(Vec::new()));
        let mut attempt = unanswered_syn();
        assert!(facts.of(&attempt).is_some());
        attempt.seen = BEGUN + FRESH + 1;
        assert!(facts.of(&attempt).is_none());
        (attempt.seen, attempt.netns) = (BEGUN, 8);
        assert!(facts.of(&attempt).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut facts = FactCache::default();
        for netns in 0..2_000 {
            facts.keep(Enrichment { netns, at: u64::from(netns), ..enrichment(Vec::new()) });
        }
        assert_eq!(facts.latest.len(), MAX_UPSTREAMS);
        assert_eq!(facts.lost.take().map(|(count, ..)| count), Some(2_000 - MAX_UPSTREAMS as u64));
        facts.keep(Enrichment { netns: 9_999, at: 60 * SECOND, ..enrichment(Vec::new()) });
        assert!(facts.lost.take().is_none(), "what is not fresh is of no use");
        assert!(facts.latest.iter().all(|((netns, _), _)| *netns >= 2_000 - MAX_UPSTREAMS as u32));
    }
}
