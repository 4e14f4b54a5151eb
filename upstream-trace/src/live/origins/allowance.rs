//! How many ends of origins are looked at: each takes a look at every process that still serves, and at its own control
//! group, on the event loop. An origin that forks and fails in a loop must not stop that.

use upstream_trace_core::event::{Nanos, SECOND};

/// Steps at once: a server with hundreds of processes that all crash.
const MOST: i64 = 16_384;
/// Steps that come back in a second.
const PER_SECOND: u64 = 512;
/// Steps for an end, beside those for each process that still serves.
const EACH: i64 = 4;
/// Processes that still serve which are looked at in one step.
const PER_STEP: usize = 16;

/// Steps that are left.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Below 0 after an end that took more than there were.
    left: i64,
    filled: Nanos,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: MOST, filled: 0 }
    }
}

impl Allowance {
    /// Whether another end may be looked at.
    pub(super) fn allows(&mut self, now: Nanos) -> bool {
        let news = now.saturating_sub(self.filled).saturating_mul(PER_SECOND) / SECOND;
        if news > 0 {
            self.filled = now;
            self.left = self.left.saturating_add_unsigned(news).min(MOST);
        }
        self.left > 0
    }

    /// One was looked at, while so many still served.
    pub(super) fn take(&mut self, serving: usize) {
        let steps = i64::try_from(serving / PER_STEP).unwrap_or(MOST).saturating_add(EACH);
        self.left = self.left.saturating_sub(steps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many ends in a second are looked at, for so many seconds.
    fn looked_at(allowance: &mut Allowance, per_second: u64, seconds: u64, serving: usize) -> u64 {
        let mut count = 0;
        for end in 0..per_second * seconds {
            if allowance.allows(SECOND * 1_000 + end * SECOND / per_second) {
                allowance.take(serving);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn all_of_a_server_that_crashes_are_looked_at() {
        let mut allowance = Allowance::default();
        for left in (0..500).rev() {
            assert!(allowance.allows(SECOND), "{left} still serve");
            allowance.take(left);
        }
    }

    #[test]
    fn a_loop_of_forks_takes_little_whoever_else_serves() {
        for (serving, most) in [(1, 15_000), (4_000, 240)] {
            let count = looked_at(&mut Allowance::default(), 10_000, 80, serving);
            assert!((10..=most).contains(&count), "{count} with {serving}");
        }
    }

    #[test]
    fn what_was_taken_comes_back() {
        let mut allowance = Allowance::default();
        allowance.take(16 * usize::try_from(MOST).unwrap());
        assert!(!allowance.allows(0) && !allowance.allows(1) && allowance.allows(SECOND));
    }
}
