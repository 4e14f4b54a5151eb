//! What was looked up about upstreams, latest first.

use crate::bounded::Bounded;
use crate::engine::stores::overflow::Overflow;
use crate::event::{Attempt, Enrichment, Nanos, SECOND, Upstream, weigh_rare};

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
    /// Facts that made room while they were fresh.
    pub(in crate::engine) lost: Overflow,
}

impl Default for FactCache {
    fn default() -> Self {
        let latest = Bounded::with_max_bytes(MAX_UPSTREAMS, MAX_BYTES, weigh_rare);
        Self { latest, lost: Overflow::default() }
    }
}

impl FactCache {
    pub(in crate::engine) fn keep(&mut self, found: Enrichment) {
        let (key, at) = ((found.netns, found.upstream.clone()), found.at);
        self.lost.note_evicted(self.latest.insert(key, found, at), FRESH, at);
    }

    pub(in crate::engine) fn of(&self, attempt: &Attempt) -> Option<&Enrichment> {
        let key = (attempt.netns, attempt.upstream.clone()?);
        let found = self.latest.get(&key)?;
        (found.at + FRESH >= attempt.seen && found.at <= attempt.seen + AFTER).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{BEGUN, enrichment, unanswered_syn};

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
