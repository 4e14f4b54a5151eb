//! Which of several timeouts belongs to which of several lines, where some have none: to the kernel side nginx's timer
//! and a client that left can look alike.

use crate::event::{LogLine, Nanos};
use crate::event::{MS, SECOND};

/// The line is written before the socket is closed, and mostly read after that.
const SLACK: Nanos = 5 * MS;
/// Where it is not known since when a line may stand there: a failure this long before all lines has none, if there are
/// others ...
const STALE: Nanos = 150 * MS;
/// ... and one this long before has none anyway.
const LONG_AGO: Nanos = 2 * SECOND;
/// So near it counts although it does not look like a timer.
const NEAR: Nanos = 50 * MS;
/// A line may be read before the end of its attempt is seen.
pub(in crate::engine) const BEFORE: Nanos = 100 * MS;
/// Lines that are looked at together; more at one upstream within a moment are joined in later turns.
const MAX_LINES: usize = 512;
/// The same, of failures.
const MAX_FAILURES: usize = 1_024;

/// How unlikely it is, by nature the logarithm of a chance: that a line has no failure among those seen ...
const NO_FAILURE: u32 = 30;
/// ... that what looks like a timer was a client that left just then ...
const LEFT_AT_TIMER: u32 = 8;
/// ... that what does not look like a timer was a client that left ...
const LEFT: u32 = 1;
/// ... that a timer went off late, on a busy host ...
const LATE_TIMER: u32 = 3;
/// ... and that nginx took its time between the line and the close.
const LATE_CLOSE: u32 = 2;

/// A failure that may have been a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Silence {
    pub(in crate::engine) at: Nanos,
    /// It looks like a timer.
    pub(in crate::engine) timer: bool,
}

/// When a line was written: after the one time, if that is known, and before the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Written {
    after: Nanos,
    at: Nanos,
}

impl Written {
    pub(in crate::engine) fn of(line: &LogLine) -> Self {
        Self { after: line.after, at: line.at }
    }

    /// It may be about a failure of this time. nginx closes the socket after it has written the line.
    fn may_mean(&self, end: Nanos) -> bool {
        let from = if self.after > 0 { self.after } else { self.at.saturating_sub(LONG_AGO) };
        (from..=self.at.saturating_add(BEFORE)).contains(&end)
    }
}

/// Pairs of line and failure, by their places; both come in order of time, and so do the pairs: of all ways to leave out
/// a line here and a failure there, the likeliest. Of the lines the first few are to be paired, the others only have
/// their share. `late` lines wait no longer for a better one.
pub(in crate::engine) fn align(
    lines: &[Written],
    paired: usize,
    failures: &[Silence],
    late: bool,
) -> Vec<(usize, usize)> {
    let (Some(first), lines) = (lines.first(), &lines[..lines.len().min(MAX_LINES)]) else {
        return Vec::new();
    };
    let possible = |at: &usize| lines.iter().any(|line| pair(line, &failures[*at], late).is_some());
    let chosen: Vec<usize> = (0..failures.len()).filter(possible).take(MAX_FAILURES).collect();
    // All that nginx wrote until then has been read; a later failure may have a line that has not.
    let read = lines.iter().map(|line| line.at).max().unwrap_or_default();
    let skip = |at: usize| {
        let Silence { at, timer } = failures[at];
        let stale = first.after == 0 && at.saturating_add(STALE) < first.at;
        if at > read || stale { 0 } else { [LEFT, LEFT_AT_TIMER][usize::from(timer)] }
    };
    let width = chosen.len() + 1;
    let mut cost = vec![0; (lines.len() + 1) * width];
    for (column, at) in chosen.iter().enumerate() {
        cost[column + 1] = cost[column] + skip(*at);
    }
    for (row, line) in lines.iter().enumerate() {
        let (above, here) = (row * width, (row + 1) * width);
        cost[here] = cost[above] + NO_FAILURE;
        for (column, at) in chosen.iter().enumerate() {
            let joined =
                pair(line, &failures[*at], late).map_or(u32::MAX, |pair| cost[above + column] + pair);
            let apart = (cost[here + column] + skip(*at)).min(cost[above + column + 1] + NO_FAILURE);
            cost[here + column + 1] = joined.min(apart);
        }
    }
    let (mut row, mut column, mut pairs) = (lines.len(), chosen.len(), Vec::new());
    while row > 0 && column > 0 {
        let (line, at) = (&lines[row - 1], chosen[column - 1]);
        let now = cost[row * width + column];
        if cost[(row - 1) * width + column] + NO_FAILURE == now {
            row -= 1;
        } else if cost[row * width + column - 1] + skip(at) == now {
            column -= 1;
        } else {
            debug_assert!(pair(line, &failures[at], late).is_some());
            pairs.push((row - 1, at));
            (row, column) = (row - 1, column - 1);
        }
    }
    pairs.reverse();
    pairs.retain(|(line, _)| *line < paired);
    pairs
}

/// How unlikely it is that this line is about this failure; `None` if it cannot be.
fn pair(line: &Written, failure: &Silence, late: bool) -> Option<u32> {
    // Long before the line only a timer is worth waiting for.
    let near = line.after > 0 || failure.at.saturating_add(NEAR) >= line.at;
    if !line.may_mean(failure.at) || !(failure.timer || near || late) {
        return None;
    }
    let close = if failure.at > line.at.saturating_add(SLACK) { LATE_CLOSE } else { 0 };
    Some(close + if failure.timer { 0 } else { LATE_TIMER })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(lines: &[u64], failures: &[(u64, bool)], late: bool) -> Vec<(usize, usize)> {
        let lines: Vec<_> = lines.iter().map(|ms| Written { after: 0, at: ms * MS }).collect();
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
    /// Lines that came in two turns of reading, on a host so busy that there is long between them.
    #[test]
    fn nothing_from_before_the_last_turn() {
        let line = |after: u64, at: u64| Written { after: after * MS, at: at * MS };
        let ends =
            |all: &[u64]| -> Vec<_> { all.iter().map(|ms| Silence { at: ms * MS, timer: true }).collect() };
        let two = [line(1_000, 1_400), line(1_400, 1_800)];
        assert_eq!(align(&two, 2, &ends(&[990, 1_010, 1_390, 1_410]), false), [(0, 1), (1, 3)]);
        assert_eq!(align(&two, 2, &ends(&[1_410]), false), [(1, 0)]);
        assert_eq!(align(&two, 2, &ends(&[1_510]), false), [(1, 0)]);
        assert_eq!(align(&two, 1, &ends(&[1_010, 1_410]), false), [(0, 0)]);
        assert_eq!(align(&two, 2, &ends(&[999]), true), []);
    }
}
