//! What the screen shows, and how it is chosen.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use upstream_trace_core::event::{AttemptId, Event, Host, Nanos, Upstream};
use upstream_trace_core::verdict::{Output, Summary, Verdict};

use super::history::History;
use crate::output::clock::Clock;
use crate::output::{Extra, Sink, SinkState};

/// Rows that are kept; what comes beyond them is counted.
const MAX_ROWS: usize = 1_000;
/// Pending attempts that are kept, likewise.
const MAX_PENDING: usize = 1_000;
/// Attempts of a row whose evidence is kept.
const MAX_VERDICTS: usize = 8;
/// Lines about nginx itself and about losses.
const MAX_NOTES: usize = 8;

/// What failures of a row have in common.
pub(super) type Key = (&'static str, Option<Upstream>);

/// A cause at an upstream.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) total: u64,
    pub(super) recovered: u64,
    pub(super) last: Nanos,
    pub(super) history: History,
    /// The latest ones, oldest first.
    pub(super) verdicts: VecDeque<Verdict>,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Rate,
    Total,
    Last,
    Name,
}

impl Order {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Rate => Self::Total,
            Self::Total => Self::Last,
            Self::Last => Self::Name,
            Self::Name => Self::Rate,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Total => "total",
            Self::Last => "last",
            Self::Name => "name",
        }
    }
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub(super) host: Host,
    pub(super) clock: Clock,
    pub(super) rows: HashMap<Key, Row>,
    pub(super) pending: HashMap<AttemptId, Verdict>,
    pub(super) notes: VecDeque<(Nanos, String)>,
    pub(super) failures: u64,
    pub(super) lost: u64,
    /// Failures and pending attempts for which there was no room.
    pub(super) unshown: u64,
    pub(super) now: Nanos,
    pub(super) whole: bool,
    /// Grows with each change: what is on the screen is out of date.
    pub(super) changes: u64,
    /// The trace is over, or the screen is closed.
    pub(super) over: bool,
}

impl Model {
    /// One that keeps the history of a whole recording.
    #[must_use]
    pub fn of_recording() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// Says what is wrong with a recording.
    pub fn warn(&mut self, text: &str) {
        self.note(self.now, text.to_owned());
    }

    fn note(&mut self, at: Nanos, text: String) {
        if self.notes.len() >= MAX_NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back((at, text));
    }

    fn failure(&mut self, verdict: &Verdict) {
        self.failures += 1;
        self.pending.remove(&verdict.attempt);
        let key = (verdict.cause, verdict.upstream.clone());
        if self.rows.len() >= MAX_ROWS && !self.rows.contains_key(&key) {
            self.unshown += 1;
            return;
        }
        let whole = self.whole;
        let row = self.rows.entry(key).or_insert_with(|| Row {
            total: 0,
            recovered: 0,
            last: verdict.at,
            history: History::new(verdict.at, whole),
            verdicts: VecDeque::new(),
        });
        row.total += 1;
        row.recovered += u64::from(verdict.recovered);
        row.last = row.last.max(verdict.at);
        row.history.add(verdict.at);
        if row.verdicts.len() >= MAX_VERDICTS {
            row.verdicts.pop_front();
        }
        row.verdicts.push_back(verdict.clone());
    }

    /// Rows that a filter lets through, in an order.
    pub(super) fn sorted(&self, filter: &str, order: Order) -> Vec<(&Key, &Row)> {
        let filter = filter.to_lowercase();
        let named = self.rows.iter().map(|(key, row)| (name(key), key, row));
        let mut rows: Vec<_> = named.filter(|(name, ..)| name.contains(&filter)).collect();
        rows.sort_by(|(name, _, row), (other, _, than)| {
            let by_total = than.total.cmp(&row.total);
            let first = match order {
                Order::Rate => than.history.rate().total_cmp(&row.history.rate()).then(by_total),
                Order::Total => by_total,
                Order::Last => than.last.cmp(&row.last),
                Order::Name => Ordering::Equal,
            };
            first.then_with(|| name.cmp(other))
        });
        rows.into_iter().map(|(_, key, row)| (key, row)).collect()
    }

    /// Pending attempts that a filter lets through, the oldest first.
    pub(super) fn waiting(&self, filter: &str) -> Vec<&Verdict> {
        let filter = filter.to_lowercase();
        let matches = |verdict: &&Verdict| name(&(verdict.cause, verdict.upstream.clone())).contains(&filter);
        let mut all: Vec<_> = self.pending.values().filter(matches).collect();
        all.sort_by_key(|verdict| (verdict.since, verdict.attempt));
        all
    }
}

/// What a filter looks in.
pub(super) fn name((cause, upstream): &Key) -> String {
    let place = upstream.as_ref().map(Upstream::to_string).unwrap_or_default();
    format!("{cause} {place}").to_lowercase()
}

impl Sink for Model {
    fn start(&mut self, host: &Host) {
        self.clock = Clock::new(host);
        self.host = host.clone();
        self.now = host.at;
        self.changes += 1;
    }

    fn event(&mut self, event: &Event) {
        if let Event::Host(host) = event {
            self.host = host.clone();
        }
    }

    fn output(&mut self, output: &Output) {
        self.changes += 1;
        match output {
            Output::Failure(verdict) => self.failure(verdict),
            Output::Pending(verdict) => {
                if self.pending.len() < MAX_PENDING || self.pending.contains_key(&verdict.attempt) {
                    self.pending.insert(verdict.attempt, verdict.clone());
                } else {
                    self.unshown += 1;
                }
            }
            Output::Resolved(resolved) => drop(self.pending.remove(&resolved.attempt)),
            Output::Lost(lost) => {
                self.lost += lost.count;
                self.note(lost.at, format!("{} events lost: {}", lost.count, lost.place));
            }
            Output::Note(note) => self.note(note.at, note.text.clone()),
        }
    }

    fn tick(&mut self, now: Nanos) {
        const SECOND: Nanos = upstream_trace_core::event::SECOND;
        let second = now / SECOND != self.now / SECOND;
        self.now = now;
        if !second {
            return;
        }
        // While nothing happened of late, and nothing waits, nothing on the screen moves.
        let mut moves = !self.pending.is_empty();
        for row in self.rows.values_mut().filter(|_| !self.whole) {
            moves |= !row.history.is_flat();
            row.history.reach(now);
        }
        self.changes += u64::from(moves);
    }

    fn summary(&mut self, _summary: &Summary, _extra: &Extra) {}

    fn state(&self) -> SinkState {
        if self.over { SinkState::Closed } else { SinkState::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::verdict;

    #[test]
    fn nothing_changes_while_nothing_happens() {
        const SECOND: Nanos = upstream_trace_core::event::SECOND;
        let mut model = Model::default();
        let mut failed = verdict();
        failed.at = 10 * SECOND;
        model.output(&Output::Failure(failed));
        model.tick(11 * SECOND);
        let moving = model.changes;
        model.tick(12 * SECOND);
        assert!(model.changes > moving, "the bars move");
        model.tick(100 * SECOND);
        let quiet = model.changes;
        for second in 101..200 {
            model.tick(second * SECOND);
        }
        assert_eq!(model.changes, quiet);
    }
}
