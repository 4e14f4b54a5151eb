//! What was looked up about upstreams, latest first.

use std::collections::HashMap;

use crate::engine::stores::overflow::Overflow;
use crate::event::SECOND;
use crate::event::{Attempt, Enrichment, Nanos, Upstream};

/// Upstreams kept; the one looked up longest ago makes room.
const KEPT: usize = 1_024;
/// A fact older than this says nothing about an attempt.
const FRESH: Nanos = 5 * SECOND;
/// The look-up follows the sign of trouble, so it may be a little later.
const AFTER: Nanos = SECOND;

/// The cache.
#[derive(Debug, Default)]
pub(in crate::engine) struct FactCache {
    latest: HashMap<(u32, Upstream), Enrichment>,
    /// Facts that made room while they were fresh.
    pub(in crate::engine) lost: Overflow,
}

impl FactCache {
    pub(in crate::engine) fn keep(&mut self, found: &Enrichment) {
        let key = (found.netns, found.upstream.clone());
        if self.latest.len() >= KEPT && !self.latest.contains_key(&key) {
            let oldest = self.latest.iter().min_by_key(|(_, found)| found.at).map(|(key, _)| key.clone());
            let forgotten = oldest.and_then(|oldest| self.latest.remove(&oldest));
            if let Some(fresh) = forgotten.filter(|old| old.at.saturating_add(FRESH) >= found.at) {
                self.lost.note(fresh.at, found.at);
            }
        }
        self.latest.insert(key, found.clone());
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
        let mut lookups = FactCache::default();
        lookups.keep(&enrichment(Vec::new()));
        let mut attempt = unanswered_syn();
        assert!(lookups.of(&attempt).is_some());
        attempt.seen = BEGUN + FRESH + 1;
        assert!(lookups.of(&attempt).is_none());
        (attempt.seen, attempt.netns) = (BEGUN, 8);
        assert!(lookups.of(&attempt).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut lookups = FactCache::default();
        for netns in 0..2_000 {
            lookups.keep(&Enrichment { netns, at: u64::from(netns), ..enrichment(Vec::new()) });
        }
        assert_eq!(lookups.latest.len(), KEPT);
        assert_eq!(lookups.lost.take().map(|(count, ..)| count), Some(2_000 - KEPT as u64));
        lookups.keep(&Enrichment { netns: 9_999, at: 60 * SECOND, ..enrichment(Vec::new()) });
        assert!(lookups.lost.take().is_none(), "what is not fresh is of no use");
        assert!(lookups.latest.keys().all(|(netns, _)| *netns >= 2_000 - KEPT as u32));
    }
}
