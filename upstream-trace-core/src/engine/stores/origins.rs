//! Processes of origins on this host that ended, kept until the attempts that they had open are judged.

use crate::bounded::Bounded;
use crate::case::Case;
use crate::engine::stores::overflow::Overflow;
use crate::event::{Nanos, OriginExit, SECOND, weigh_rare};

/// Ends kept; the oldest make room.
const MAX_EXITS: usize = 1_024;
/// Bytes of all ends.
const MAX_BYTES: usize = 8 << 20;
/// Ends of one upstream that a case is given; in a crash loop further ones say nothing new.
const MAX_PER_CASE: usize = 8;
/// A process that ended longer ago had nothing to do with what happened then.
const BEFORE: Nanos = SECOND;
/// A process closes its connections before it ends, if it ends by itself.
const AFTER: Nanos = SECOND / 20;
/// By then the attempts that a process had open are judged.
const HELD: Nanos = 3 * SECOND;

/// The store.
#[derive(Debug)]
pub(in crate::engine) struct Origins {
    /// By number, in the order in which they came.
    exits: Bounded<u64, OriginExit>,
    count: u64,
    /// Ends that made room while attempts that they ended may still have been held.
    pub(in crate::engine) lost: Overflow,
}

impl Default for Origins {
    fn default() -> Self {
        let exits = Bounded::with_max_bytes(MAX_EXITS, MAX_BYTES, weigh_rare);
        Self { exits, count: 0, lost: Overflow::default() }
    }
}

impl Origins {
    pub(in crate::engine) fn exited(&mut self, exit: OriginExit) {
        self.count += 1;
        let at = exit.at;
        self.lost.note_evicted(self.exits.insert(self.count, exit, at), HELD, at);
    }

    /// Gives a case the processes of its upstream that ended about when the connection was ended; or, if there was none,
    /// the last one that could have answered.
    pub(in crate::engine) fn fill<'a>(&'a self, case: &mut Case<'a>) {
        let (netns, upstream, seen) = (case.attempt.netns, case.attempt.upstream.clone(), case.attempt.seen);
        let same = |exit: &&OriginExit| {
            let here = netns == 0 || exit.netns == 0 || exit.netns == netns;
            here && Some(&exit.upstream) == upstream.as_ref()
        };
        let mut latest = self.exits.values().rev().filter(same);
        if case.refused() {
            case.gone = latest.find(|exit| exit.at <= seen).filter(|exit| exit.alone);
        } else if let Some(ended) = case.ended_by_origin() {
            let then = |exit: &&OriginExit| {
                exit.at.saturating_sub(ended) <= AFTER && ended.saturating_sub(exit.at) <= BEFORE
            };
            // The last ones come nearest to the end of the connection.
            case.exits = latest.filter(then).take(MAX_PER_CASE).collect();
            case.exits.sort_by_key(|exit| exit.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MS;
    use crate::event::Upstream;
    use crate::testkit::{BEGUN, origin_killed, refused, unanswered_request, with_fin};

    #[test]
    fn only_ends_of_that_upstream_at_that_time_count() {
        let attempt = with_fin(unanswered_request(), 1_500);
        let fits = |exit: OriginExit| {
            let mut origins = Origins::default();
            origins.exited(exit);
            let mut case = Case::of_attempt(&attempt);
            origins.fill(&mut case);
            case.exits.len()
        };
        let killed = origin_killed(1_499);
        assert_eq!(fits(killed.clone()), 1);
        assert_eq!(fits(OriginExit { netns: 0, ..killed.clone() }), 1);
        assert_eq!(fits(OriginExit { netns: 8, ..killed.clone() }), 0);
        assert_eq!(fits(OriginExit { upstream: Upstream::Unix("/x".to_owned()), ..killed.clone() }), 0);
        assert_eq!(fits(OriginExit { at: BEGUN + 1_550 * MS, ..killed.clone() }), 1);
        assert_eq!(fits(OriginExit { at: BEGUN + 1_551 * MS, ..killed.clone() }), 0);
        assert_eq!(fits(OriginExit { at: BEGUN + 500 * MS, ..killed.clone() }), 1);
        assert_eq!(fits(OriginExit { at: BEGUN + 499 * MS, ..killed }), 0);
    }

    #[test]
    fn who_served_a_port_that_is_refused_now() {
        let mut attempt = refused();
        (attempt.begun, attempt.seen) = (BEGUN + 90_000 * MS, BEGUN + 90_001 * MS);
        let gone = |exits: &[OriginExit]| {
            let mut origins = Origins::default();
            for exit in exits {
                origins.exited(exit.clone());
            }
            let mut case = Case::of_attempt(&attempt);
            origins.fill(&mut case);
            case.gone.map(|exit| exit.pid)
        };
        let killed = origin_killed(499);
        assert_eq!(gone(&[]), None);
        assert_eq!(gone(std::slice::from_ref(&killed)), Some(4711));
        let others_left = OriginExit { alone: false, ..killed.clone() };
        assert_eq!(gone(&[killed.clone(), others_left]), None);
        let later = OriginExit { at: BEGUN + 91_000 * MS, pid: 9, ..killed.clone() };
        assert_eq!(gone(&[killed, later]), Some(4711));
    }

    #[test]
    fn nothing_is_kept_for_ever() {
        let mut origins = Origins::default();
        for _ in 0..2 * MAX_EXITS {
            origins.exited(origin_killed(499));
        }
        let attempt = with_fin(unanswered_request(), 500);
        let mut case = Case::of_attempt(&attempt);
        origins.fill(&mut case);
        assert_eq!((origins.exits.len(), case.exits.len()), (MAX_EXITS, MAX_PER_CASE));
        assert_eq!(origins.lost.take().map(|(count, ..)| count), Some(MAX_EXITS as u64));
        origins.exited(origin_killed(60_000));
        assert!(origins.lost.take().is_none(), "what it ended is judged");
    }
}
