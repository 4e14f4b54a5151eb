//! Which of several timeouts belongs to which of several lines, where some have none: to the kernel side nginx's timer
//! and a client that left can look alike.

use crate::case::MS;
use crate::event::Nanos;

/// The line is written before the socket is closed.
const SLACK: Nanos = 5 * MS;
/// A failure this long before all lines has none, if there are others.
const STALE: Nanos = 150 * MS;
/// So near it counts although it does not look like a timer.
const NEAR: Nanos = 50 * MS;
/// A line may be read before the end of its attempt is seen.
pub(super) const BEFORE: Nanos = 100 * MS;

/// A failure that may have been a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) at: Nanos,
    /// It looks like a timer.
    pub(super) timer: bool,
}

/// Pairs of line and failure, by their places; both come in order of time. Of the lines the first few are to be paired,
/// the others only have their share. Failures that look like timers come first, and among those the fresh ones. `late`
/// lines wait no longer for a better one.
pub(super) fn align(lines: &[Nanos], paired: usize, failures: &[Silence], late: bool) -> Vec<(usize, usize)> {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Vec::new() };
    let mut places: Vec<_> = (0..failures.len()).collect();
    let timely = |at: &usize| failures[*at].at <= last.saturating_add(SLACK);
    let mut chosen: Vec<_> = places.iter().copied().filter(timely).filter(|at| failures[*at].timer).collect();
    if chosen.len() < paired {
        let near =
            |at: &usize| failures[*at].timer || late || failures[*at].at.saturating_add(NEAR) >= *first;
        chosen = places.iter().copied().filter(timely).filter(near).collect();
    }
    if chosen.len() < paired {
        places.retain(|at| !timely(at) && failures[*at].at <= last.saturating_add(BEFORE));
        chosen.extend(places.into_iter().take(paired - chosen.len()));
    }
    let stale = chosen.iter().take_while(|at| failures[**at].at.saturating_add(STALE) < *first).count();
    let extra = chosen.len().saturating_sub(lines.len()).min(stale);
    chosen.into_iter().skip(extra).take(paired).enumerate().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(lines: &[u64], failures: &[(u64, bool)], late: bool) -> Vec<(usize, usize)> {
        let lines: Vec<_> = lines.iter().map(|ms| ms * MS).collect();
        let failures: Vec<_> =
            failures.iter().map(|(ms, timer)| Silence { at: ms * MS, timer: *timer }).collect();
        align(&lines, lines.len(), &failures, late)
    }

    #[test]
    fn in_order_without_those_that_left() {
        assert_eq!(pairs(&[1_000, 1_000], &[(990, true), (995, true)], false), [(0, 0), (1, 1)]);
        assert_eq!(pairs(&[1_000], &[(500, false), (999, true), (1_050, true)], false), [(0, 1)]);
        assert_eq!(pairs(&[1_000], &[(500, true), (999, true)], false), [(0, 1)]);
        assert_eq!(pairs(&[1_000], &[(500, true), (999, false)], false), [(0, 0)]);
        assert_eq!(pairs(&[1_000], &[(990, false)], false), [(0, 0)]);
        assert_eq!(pairs(&[1_000], &[(500, false)], false), []);
        assert_eq!(pairs(&[1_000], &[(500, false)], true), [(0, 0)]);
        assert_eq!(pairs(&[1_000], &[(1_090, true)], false), [(0, 0)]);
        assert_eq!(pairs(&[1_000, 1_001], &[(999, true)], false), [(0, 0)]);
        assert_eq!(pairs(&[], &[(999, true)], false), []);
    }
}
