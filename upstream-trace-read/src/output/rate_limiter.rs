//! Folds a storm of the same thing into a full report of the first one and a count of the rest.
//!
//! Pure: time comes with the calls.

use std::collections::HashMap;
use std::hash::Hash;

use upstream_trace_core::event::Nanos;

/// Storms that are told apart; beyond that, every member is reported.
const STORMS: usize = 4_096;

const SECOND: Nanos = 1_000_000_000;
/// Counts of one storm come at least this far apart; the distance doubles with each, so that the first report is
/// not scrolled away.
const FIRST_WAIT: Nanos = SECOND;
const LAST_WAIT: Nanos = 8 * SECOND;
/// A storm is over when nothing of its kind came for so long. The next one is reported in full again.
const QUIET: Nanos = 10 * SECOND;
/// Storms are looked through at most this often, however many events there are.
const SCAN: Nanos = SECOND / 10;

/// Which storms there are, by what their members have in common.
#[derive(Debug)]
pub struct RateLimiter<K> {
    storms: HashMap<K, Burst>,
    begun: u64,
    scanned: Nanos,
}

/// Members of a storm that were counted instead of reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppressed<K> {
    /// What they have in common.
    pub key: K,
    /// How many.
    pub count: u64,
    /// How many of them nginx recovered from.
    pub recovered: u64,
    /// Within how long, up to now.
    pub span: Nanos,
}

#[derive(Debug)]
struct Burst {
    number: u64,
    last: Nanos,
    said: Nanos,
    wait: Nanos,
    count: u64,
    recovered: u64,
}

impl<K> Default for RateLimiter<K> {
    fn default() -> Self {
        Self { storms: HashMap::new(), begun: 0, scanned: 0 }
    }
}

impl<K: Clone + Eq + Hash> RateLimiter<K> {
    /// Whether this one is to be reported in full. If not, it is counted as so many, of which so many recovered.
    pub fn first(&mut self, key: K, at: Nanos, count: u64, recovered: u64) -> bool {
        if let Some(storm) = self.storms.get_mut(&key) {
            let over = storm.count == 0 && at.saturating_sub(storm.last) >= QUIET;
            if !over {
                storm.last = storm.last.max(at);
                storm.count += count;
                storm.recovered += recovered;
                return false;
            }
        }
        if self.storms.len() >= STORMS && !self.storms.contains_key(&key) {
            return true;
        }
        self.begun += 1;
        let storm =
            Burst { number: self.begun, last: at, said: at, wait: FIRST_WAIT, count: 0, recovered: 0 };
        self.storms.insert(key, storm);
        true
    }

    /// What is to be said by now, oldest storm first.
    pub fn due(&mut self, now: Nanos) -> Vec<Suppressed<K>> {
        if now < self.scanned.saturating_add(SCAN) {
            return Vec::new();
        }
        self.scanned = now;
        let due = self.take(now, |storm| now.saturating_sub(storm.said) >= storm.wait);
        self.storms.retain(|_, storm| storm.count > 0 || now.saturating_sub(storm.last) < QUIET);
        due
    }

    /// Everything that was counted and not yet said.
    pub fn rest(&mut self, now: Nanos) -> Vec<Suppressed<K>> {
        self.take(now, |_| true)
    }

    fn take(&mut self, now: Nanos, due: impl Fn(&Burst) -> bool) -> Vec<Suppressed<K>> {
        let mut folded = Vec::new();
        for (key, storm) in &mut self.storms {
            if storm.count > 0 && due(storm) {
                folded.push((storm.number, storm.say(key, now)));
            }
        }
        folded.sort_by_key(|(number, _)| *number);
        folded.into_iter().map(|(_, folded)| folded).collect()
    }
}

impl Burst {
    fn say<K: Clone>(&mut self, key: &K, now: Nanos) -> Suppressed<K> {
        let span = now.saturating_sub(self.said);
        let folded = Suppressed { key: key.clone(), count: self.count, recovered: self.recovered, span };
        (self.count, self.recovered) = (0, 0);
        self.said = now;
        self.wait = (self.wait * 2).min(LAST_WAIT);
        folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storms_are_bounded() {
        let mut limiter = RateLimiter::default();
        for key in 0..2 * STORMS {
            assert!(limiter.first(key, 0, 1, 0));
        }
        assert!(limiter.storms.len() == STORMS && !limiter.first(0, 0, 1, 0));
    }

    const MS: Nanos = 1_000_000;

    fn folded(key: &'static str, count: u64, recovered: u64, span: Nanos) -> Suppressed<&'static str> {
        Suppressed { key, count, recovered, span }
    }

    #[test]
    fn the_first_in_full_then_a_count_a_second_later() {
        let mut fold = RateLimiter::default();
        assert!(fold.first("a", 0, 1, 0));
        for i in 1..=37 {
            assert!(!fold.first("a", i * 20 * MS, 1, (i + 1) % 2));
        }
        assert_eq!(fold.due(999 * MS), []);
        assert_eq!(fold.due(1100 * MS), [folded("a", 37, 18, 1100 * MS)]);
        assert_eq!(fold.due(2500 * MS), [], "nothing new, nothing said");
    }

    #[test]
    fn counts_come_further_and_further_apart() {
        let mut fold = RateLimiter::default();
        let mut said = Vec::new();
        for tick in 0..400 {
            let now = tick * 100 * MS;
            fold.first("a", now, 1, 0);
            said.extend(fold.due(now).iter().map(|_| now / SECOND));
        }
        assert_eq!(said, [1, 3, 7, 15, 23, 31, 39]);
    }

    #[test]
    fn different_things_do_not_mix_and_keep_their_order() {
        let mut fold = RateLimiter::default();
        for at in [0, MS, 2 * MS] {
            for key in ["b", "a", "c"] {
                assert_eq!(fold.first(key, at, 1, 0), at == 0);
            }
        }
        let due = fold.due(SECOND + 2 * MS);
        assert_eq!(due.iter().map(|f| (f.key, f.count)).collect::<Vec<_>>(), [("b", 2), ("a", 2), ("c", 2)]);
    }

    #[test]
    fn after_a_quiet_time_the_next_is_reported_in_full() {
        let mut fold = RateLimiter::default();
        assert!(fold.first("a", 0, 1, 0));
        assert!(!fold.first("a", 9 * SECOND, 1, 0));
        assert_eq!(fold.due(10 * SECOND).len(), 1);
        assert_eq!(fold.due(20 * SECOND), []);
        assert!(fold.storms.is_empty(), "an old storm takes no memory");
        assert!(fold.first("a", 21 * SECOND, 1, 0));
        assert!(fold.first("a", 40 * SECOND, 1, 0), "also if nobody asked in between");
    }

    #[test]
    fn nothing_is_lost_at_the_end() {
        let mut fold = RateLimiter::default();
        fold.first("a", 0, 1, 0);
        fold.first("a", 10 * MS, 1, 1);
        assert_eq!(fold.rest(20 * MS), [folded("a", 1, 1, 20 * MS)]);
        assert_eq!(fold.rest(20 * MS), []);
    }

    #[test]
    fn time_that_goes_back_is_harmless() {
        let mut fold = RateLimiter::default();
        assert!(fold.first("a", 5 * SECOND, 1, 0));
        assert!(!fold.first("a", 4 * SECOND, 1, 0));
        assert_eq!(fold.due(3 * SECOND), []);
        assert_eq!(fold.due(6 * SECOND).len(), 1);
    }
}
