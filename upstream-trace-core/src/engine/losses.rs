//! What was lost: before it came here, or because a store of the engine had no room for it. Verdicts that rest on a time
//! in which evidence was lost are not proven.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::engine::stores::overflow::Overflow;
use crate::event::{Attempt, LogLine, LossPlace, Lost, Nanos, SECOND, Takes, Upstream};

/// Stretches of time kept; beyond that the oldest two become one.
const MAX_STRETCHES: usize = 256;
/// Upstreams of which it is known apart what was lost; what is lost of others counts for all.
const MAX_UPSTREAMS: usize = 256;
/// Places counted apart; a recording may name as many as it likes.
const MAX_PLACES: usize = 64;
/// The others.
const ELSEWHERE: &str = "elsewhere";
/// Between two reports about the same store: in a storm it overflows all the time.
const REPORT_INTERVAL: Nanos = SECOND;
/// A line is read so long after it was written, on a busy host, and the record of its attempt later.
const AROUND: Nanos = 2 * SECOND;

/// Stretches of time, oldest first.
#[derive(Debug, Default)]
struct Stretches(VecDeque<(Nanos, Nanos)>);

impl Stretches {
    fn add(&mut self, from: Nanos, to: Nanos) {
        self.0.push_back((from.min(to), to));
        if self.0.len() > MAX_STRETCHES
            && let (Some(first), Some(second)) = (self.0.pop_front(), self.0.front_mut())
        {
            *second = (second.0.min(first.0), second.1.max(first.1));
        }
    }

    fn touch(&self, from: Nanos, to: Nanos) -> bool {
        self.0.iter().any(|(begin, end)| *begin <= to && *end >= from)
    }
}

/// All that was lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// When evidence was lost.
    evidence: Stretches,
    /// When evidence about one upstream was.
    of_upstream: HashMap<Upstream, Stretches>,
    /// When whole attempts were.
    attempts: Stretches,
    /// When lines of error.log may have been.
    lines: Stretches,
    /// Lost attempts that no line has reported.
    unreported: u64,
    /// Counters of upstreams are not complete.
    pub(super) counters: bool,
    /// Events lost in all.
    pub(super) count: u64,
    by_place: BTreeMap<String, u64>,
    /// What the engine itself lost and has not reported.
    owed: BTreeMap<LossPlace, Lost>,
    reported: Nanos,
}

impl Losses {
    /// Something was lost.
    pub(super) fn add(&mut self, lost: &Lost) {
        if lost.count == 0 {
            return;
        }
        self.count = self.count.saturating_add(lost.count);
        let known = self.by_place.contains_key(&lost.place) || self.by_place.len() < MAX_PLACES;
        let place = if known { lost.place.as_str() } else { ELSEWHERE };
        let sum = self.by_place.entry(place.to_owned()).or_default();
        *sum = sum.saturating_add(lost.count);
        if lost.known_place().is_none_or(LossPlace::may_hold_lines) {
            self.lines.add(lost.since, lost.at);
        }
        match lost.takes() {
            Takes::Nothing => {}
            // Its attempts are seen as all others are; see `Siblings::uncounted`.
            Takes::Counters => self.counters = true,
            Takes::Proof => self.evidence_of(lost).add(lost.since, lost.at),
            Takes::Attempts => {
                self.evidence.add(lost.since, lost.at);
                self.attempts.add(lost.since, lost.at);
                self.unreported = self.unreported.saturating_add(lost.count);
            }
        }
    }

    fn evidence_of(&mut self, lost: &Lost) -> &mut Stretches {
        let room = self.of_upstream.len() < MAX_UPSTREAMS;
        match &lost.upstream {
            Some(upstream) if room || self.of_upstream.contains_key(upstream) => {
                self.of_upstream.entry(upstream.clone()).or_default()
            }
            _ => &mut self.evidence,
        }
    }

    /// A store of the engine had no room: whatever rests on that counts from now on; `due` reports it.
    pub(super) fn overflowed(&mut self, place: LossPlace, overflow: &mut Overflow) {
        let Some((count, since, at)) = overflow.take() else { return };
        if place.takes_proof() {
            self.evidence.add(since, at);
        }
        if place.may_hold_lines() {
            self.lines.add(since, at);
        }
        let owed = self.owed.entry(place).or_insert_with(|| Lost::new(place, 0, since, at));
        (owed.count, owed.at) = (owed.count.saturating_add(count), owed.at.max(at));
        owed.since = owed.since.min(since);
    }

    /// What the engine lost and has not reported; at most once a second.
    pub(super) fn due(&mut self, now: Nanos) -> Vec<Lost> {
        if self.owed.is_empty() || now < self.reported.saturating_add(REPORT_INTERVAL) {
            return Vec::new();
        }
        self.reported = now;
        let owed: Vec<Lost> = std::mem::take(&mut self.owed).into_values().collect();
        for lost in &owed {
            self.count = self.count.saturating_add(lost.count);
            let sum = self.by_place.entry(lost.place.clone()).or_default();
            *sum = sum.saturating_add(lost.count);
        }
        owed
    }

    /// Evidence was lost while this attempt ran.
    pub(super) fn touch(&self, attempt: &Attempt) -> bool {
        let touched = |stretches: &Stretches| stretches.touch(attempt.since(), attempt.seen);
        let of_upstream = attempt.upstream.as_ref().and_then(|upstream| self.of_upstream.get(upstream));
        touched(&self.evidence) || of_upstream.is_some_and(touched)
    }

    /// A line about this attempt may have been lost.
    pub(super) fn touch_lines_of(&self, attempt: &Attempt) -> bool {
        self.lines.touch(attempt.since(), attempt.seen.saturating_add(AROUND))
    }

    /// A line may be about an attempt that was lost.
    pub(super) fn around(&self, line: &LogLine) -> bool {
        let from = if line.after > 0 { line.after } else { line.at };
        self.attempts.touch(from.saturating_sub(AROUND), line.at.saturating_add(AROUND))
    }

    /// A line reports a lost attempt; false if lines have reported as many as were lost.
    pub(super) fn reported_by_line(&mut self) -> bool {
        let room = self.unreported > 0;
        self.unreported = self.unreported.saturating_sub(1);
        room
    }

    /// Where how much was lost.
    pub(super) fn by_place(&self) -> BTreeMap<String, u64> {
        self.by_place.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{BEGUN, line, unanswered_syn};

    fn lost(since: Nanos, at: Nanos) -> Lost {
        Lost { at, count: 1, place: "events".to_owned(), since, upstream: None }
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
    fn not_every_loss_can_hold_a_line() {
        let attempt = unanswered_syn();
        for (place, may) in
            [("packet-reports", false), ("error-log", true), ("events", true), ("the-future", true)]
        {
            let mut losses = Losses::default();
            losses.add(&Lost { place: place.to_owned(), ..lost(BEGUN, BEGUN + SECOND) });
            assert_eq!((losses.touch(&attempt), losses.touch_lines_of(&attempt)), (true, may), "{place}");
        }
    }

    #[test]
    fn what_was_lost_of_one_upstream_says_nothing_of_another() {
        let (mut losses, attempt) = (Losses::default(), unanswered_syn());
        let of = |path: String| Lost { upstream: Some(Upstream::Unix(path)), ..lost(BEGUN, BEGUN + SECOND) };
        for other in 0..MAX_UPSTREAMS - 1 {
            losses.add(&of(other.to_string()));
        }
        assert!(!losses.touch(&attempt));
        losses.add(&Lost { upstream: attempt.upstream.clone(), ..lost(BEGUN, BEGUN + SECOND) });
        assert!(losses.touch(&attempt));
        // With more upstreams than are known apart it counts for all.
        losses.of_upstream.remove(attempt.upstream.as_ref().unwrap());
        losses.add(&of("one more".to_owned()));
        assert!(!losses.touch(&attempt));
        losses.add(&of("too many".to_owned()));
        assert!(losses.touch(&attempt));
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
        assert_eq!((losses.evidence.0.len(), losses.count), (MAX_STRETCHES, 901));
        assert!(losses.touch(&unanswered_syn()));
    }

    #[test]
    fn counters_alone_take_no_evidence_away() {
        let mut losses = Losses::default();
        losses.add(&Lost { place: "upstream-table".to_owned(), ..lost(BEGUN - SECOND, BEGUN + SECOND) });
        assert!(losses.counters && !losses.touch(&unanswered_syn()));
        assert_eq!((losses.count, losses.by_place()["upstream-table"]), (1, 1));
    }

    #[test]
    fn lines_report_as_many_attempts_as_were_lost() {
        let mut losses = Losses::default();
        losses.add(&lost(BEGUN, BEGUN + SECOND));
        let at = |at| LogLine { at, ..line("connect() failed") };
        assert!(!losses.around(&at(BEGUN)), "no attempts were among them");
        losses.add(&Lost { count: 2, place: "ring-buffer".to_owned(), ..lost(BEGUN, BEGUN + SECOND) });
        assert!(losses.around(&at(BEGUN)) && !losses.around(&at(BEGUN + 9 * SECOND)));
        assert_eq!([(); 3].map(|()| losses.reported_by_line()), [true, true, false]);
    }

    #[test]
    fn places_are_bounded() {
        let mut losses = Losses::default();
        for place in 0..2 * MAX_PLACES {
            losses.add(&Lost { place: place.to_string(), ..lost(BEGUN, BEGUN) });
        }
        let by_place = losses.by_place();
        assert_eq!((by_place.len(), by_place[ELSEWHERE]), (MAX_PLACES + 1, MAX_PLACES as u64));
    }

    #[test]
    fn a_full_store_is_reported_once_a_second_and_counts_at_once() {
        let mut losses = Losses::default();
        let overflow = |losses: &mut Losses, at| {
            let mut overflow = Overflow::default();
            overflow.note(at, at + SECOND);
            overflow.note(at, at + SECOND);
            losses.overflowed(LossPlace::Packets, &mut overflow);
        };
        overflow(&mut losses, BEGUN);
        assert!(losses.touch(&unanswered_syn()));
        assert_eq!(losses.due(BEGUN).iter().map(|lost| lost.count).collect::<Vec<_>>(), [2]);
        overflow(&mut losses, BEGUN + SECOND / 2);
        assert!(losses.due(BEGUN + SECOND / 2).is_empty());
        overflow(&mut losses, BEGUN + SECOND);
        let said = losses.due(BEGUN + SECOND);
        assert_eq!((said.len(), said[0].count, said[0].since), (1, 4, BEGUN + SECOND / 2));
        assert_eq!((losses.count, losses.by_place()["packets"]), (6, 6));
    }
}
