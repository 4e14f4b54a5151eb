//! When events were lost: verdicts that rest on that time are not proven.

use std::collections::VecDeque;

use crate::event::{Attempt, Lost, Nanos};

/// Stretches of time kept; beyond that the oldest two become one.
const KEPT: usize = 256;

/// The stretches.
#[derive(Debug, Default)]
pub(super) struct Losses {
    stretches: VecDeque<(Nanos, Nanos)>,
    /// Events lost in all.
    pub(super) count: u64,
}

impl Losses {
    pub(super) fn add(&mut self, lost: &Lost) {
        self.count = self.count.saturating_add(lost.count);
        if lost.count == 0 {
            return;
        }
        self.stretches.push_back((lost.since.min(lost.at), lost.at));
        if self.stretches.len() > KEPT
            && let (Some(first), Some(second)) = (self.stretches.pop_front(), self.stretches.front_mut())
        {
            second.0 = second.0.min(first.0);
        }
    }

    /// Events were lost while this attempt ran.
    pub(super) fn touch(&self, attempt: &Attempt) -> bool {
        self.stretches.iter().any(|(from, to)| *from <= attempt.seen && *to >= attempt.since())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::SECOND;
    use crate::testkit::{BEGUN, unanswered_syn};

    fn lost(since: Nanos, at: Nanos) -> Lost {
        Lost { at, count: 1, place: "events".to_owned(), since }
    }

    #[test]
    fn only_a_loss_during_the_attempt_touches_it() {
        let mut losses = Losses::default();
        losses.add(&lost(BEGUN - 2 * SECOND, BEGUN - SECOND));
        losses.add(&lost(BEGUN + 5 * SECOND, BEGUN + 6 * SECOND));
        assert!(!losses.touch(&unanswered_syn()));
        losses.add(&lost(BEGUN - SECOND, BEGUN + SECOND));
        assert!(losses.touch(&unanswered_syn()));
    }

    #[test]
    fn a_number_beyond_all_bounds_stays_one() {
        let mut losses = Losses::default();
        losses.add(&lost(BEGUN, BEGUN));
        losses.add(&Lost { count: u64::MAX, ..lost(BEGUN, BEGUN) });
        assert_eq!(losses.count, u64::MAX);
    }

    #[test]
    fn old_stretches_are_merged_and_never_forgotten() {
        let mut losses = Losses::default();
        losses.add(&lost(BEGUN, BEGUN));
        for second in 100..1_000 {
            losses.add(&lost(BEGUN + second * SECOND, BEGUN + second * SECOND));
        }
        assert_eq!((losses.stretches.len(), losses.count), (KEPT, 901));
        assert!(losses.touch(&unanswered_syn()));
    }
}
