//! How often something happened of late, as a line of small bars.

use upstream_trace_core::event::{Nanos, SECOND};

/// Bars of a history.
pub(super) const BARS: usize = 60;
const SHAPES: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Counts by time: of the last minute, or of a whole recording.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// Time of the first bar, and of each bar.
    start: Nanos,
    width: Nanos,
    counts: Vec<u32>,
    /// All of it is kept, in wider bars if it must be.
    whole: bool,
}

impl History {
    pub(super) fn new(at: Nanos, whole: bool) -> Self {
        Self { start: at - at % SECOND, width: SECOND, counts: Vec::new(), whole }
    }

    /// It happened at this time.
    pub(super) fn add(&mut self, at: Nanos) {
        let Some(index) = self.reach(at) else { return };
        self.counts[index] = self.counts[index].saturating_add(1);
    }

    /// Makes room for this time; its bar, unless that is over.
    pub(super) fn reach(&mut self, at: Nanos) -> Option<usize> {
        let since = at.checked_sub(self.start)?;
        let mut index = usize::try_from(since / self.width).unwrap_or(usize::MAX);
        if index >= BARS && self.whole {
            while index >= BARS && self.width <= Nanos::MAX / 2 {
                self.counts = self.counts.chunks(2).map(|pair| pair.iter().sum()).collect();
                self.width *= 2;
                index /= 2;
            }
        } else if index >= BARS {
            let over = index - BARS + 1;
            self.counts.drain(..over.min(self.counts.len()));
            self.start = self.start.saturating_add((over as Nanos).saturating_mul(self.width));
            index = BARS - 1;
        }
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        Some(index)
    }

    /// Nothing happened in all of it.
    pub(super) fn is_flat(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// How often a second, over the last ten seconds, or over all of a recording.
    pub(super) fn rate(&self) -> f64 {
        let bars = if self.whole { self.counts.len() } else { 10 };
        let recent = &self.counts[self.counts.len().saturating_sub(bars)..];
        let seconds = recent.len().max(1) as f64 * (self.width / SECOND) as f64;
        recent.iter().map(|count| f64::from(*count)).sum::<f64>() / seconds
    }

    /// So many bars: the last ones, or all of a whole recording, several in one if there is no room for each.
    pub(super) fn line(&self, columns: usize) -> String {
        let columns = columns.max(1);
        let together = if self.whole { self.counts.len().div_ceil(columns).max(1) } else { 1 };
        let sums: Vec<u64> =
            self.counts.chunks(together).map(|counts| counts.iter().copied().map(u64::from).sum()).collect();
        let shown = &sums[sums.len().saturating_sub(columns)..];
        let most = shown.iter().copied().max().unwrap_or(0).max(1);
        let bar =
            |count: &u64| SHAPES[usize::try_from((count * 8).div_ceil(most)).map_or(8, |bar| bar.min(8))];
        let bars: String = shown.iter().map(bar).collect();
        format!("{bars:>columns$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_moves_on() {
        let mut history = History::new(100 * SECOND, false);
        for second in [100, 100, 101, 159] {
            history.add(second * SECOND);
        }
        assert_eq!(history.line(60).trim_start().chars().next(), Some('█'));
        history.add(161 * SECOND);
        assert_eq!(history.counts.iter().sum::<u32>(), 2);
        assert!((history.rate() - 0.2).abs() < 1e-9);
        history.reach(300 * SECOND);
        assert!(history.is_flat());
        history.add(90 * SECOND);
        assert!(history.is_flat(), "that is over");
    }

    #[test]
    fn a_recording_keeps_all_in_wider_bars() {
        let mut history = History::new(0, true);
        for second in 0..1_000 {
            history.add(second * SECOND);
        }
        assert_eq!((history.counts.iter().sum::<u32>(), history.width), (1_000, 32 * SECOND));
        assert!(history.counts.len() <= BARS);
    }
}
