//! Attempts that looked healthy, and of which a line may say that they were not.

use std::collections::VecDeque;

use crate::bounded::Bounded;
use crate::engine::logjoin::align::BEFORE;
use crate::engine::logjoin::logs::{AFTER, JoinKey, MAX_KEYS};
use crate::engine::logjoin::matching::near;
use crate::engine::logjoin::signature::healthy_fits;
use crate::errorlog::Kind;
use crate::event::{Attempt, LogLine, Nanos, Weigh};

/// Kept per worker and upstream; the oldest make room.
const MAX_PER_KEY: usize = 64;
/// Bytes of all attempts.
const MAX_BYTES: usize = 16 << 20;
/// A line is read, and has waited, so long after the attempt that it is about.
const LINE_LOOKS: Nanos = 2 * AFTER;

/// Attempts of one worker and upstream, each with the time until which a line may come.
type Kept = VecDeque<(Box<Attempt>, Nanos)>;

/// The attempts.
#[derive(Debug)]
pub(in crate::engine) struct Healthy {
    by_key: Bounded<JoinKey, Kept>,
    /// When the latest ended that made room while a line may still come.
    forgotten: Bounded<JoinKey, Nanos>,
}

impl Default for Healthy {
    fn default() -> Self {
        let weigh = |kept: &Kept| kept.iter().map(|(attempt, _)| attempt.weigh()).sum();
        Self {
            by_key: Bounded::with_max_bytes(MAX_KEYS, MAX_BYTES, weigh),
            forgotten: Bounded::new(MAX_KEYS),
        }
    }
}

impl Healthy {
    pub(in crate::engine) fn keep(&mut self, attempt: Box<Attempt>, until: Nanos) {
        let at = attempt.seen;
        let key = (attempt.worker, attempt.upstream.clone());
        if !self.by_key.contains_key(&key) {
            self.by_key.insert(key.clone(), Kept::new(), at);
        }
        let mut crowded_out = None;
        let evicted = self.by_key.update(&key, at, |kept| {
            kept.push_back((attempt, until));
            crowded_out = if kept.len() > MAX_PER_KEY { kept.pop_front() } else { None };
        });
        let latest =
            evicted.into_iter().filter_map(|mut evicted| Some((evicted.key, evicted.value.pop_back()?)));
        for (key, (oldest, until)) in latest.chain(crowded_out.map(|oldest| (key, oldest))) {
            if until >= at {
                self.forgotten.insert(key, oldest.seen, at);
            }
        }
    }

    /// The one that such a line must be about; none if there are several. Of pooled connections that were found dead one
    /// is like the other, and nginx finds them one by one: the first.
    pub(in crate::engine) fn take(
        &mut self,
        key: &JoinKey,
        kind: Kind,
        line: &LogLine,
    ) -> Option<Box<Attempt>> {
        let kept = self.by_key.get_mut(key)?;
        let mut fitting = kept.iter().enumerate().filter(|(_, (attempt, until))| {
            near(attempt.seen, line) && line.at <= *until && healthy_fits(kind, attempt)
        });
        let (index, _) = fitting.next()?;
        if kind != Kind::Connect && fitting.next().is_some() {
            return None;
        }
        kept.remove(index).map(|(attempt, _)| attempt)
    }

    /// A line may be about one that made room: mostly there is none, since they did look healthy.
    pub(in crate::engine) fn forgot(&self, key: &JoinKey, line: &LogLine) -> bool {
        self.forgotten.get(key).is_some_and(|ended| near(*ended, line))
    }

    pub(in crate::engine) fn expire(&mut self, now: Nanos) {
        self.forgotten.expire(now.saturating_sub(LINE_LOOKS));
        // A line waits for a moment before it looks here.
        self.by_key.expire(now.saturating_sub(LINE_LOOKS + 10 * BEFORE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MS;
    use crate::testkit::{BEGUN, id, line, unanswered_request, with_reset};

    #[test]
    fn of_pooled_connections_that_were_found_dead_each_gets_a_line() {
        let line = line("connect() failed (104: Connection reset by peer) while connecting to upstream");
        let mut healthy = Healthy::default();
        let mut dead = with_reset(unanswered_request(), 1);
        (dead.by_socket, dead.outstanding, dead.seen) = (true, false, BEGUN + MS);
        let key = (dead.worker, dead.upstream.clone());
        for number in [1, 2] {
            healthy.keep(Box::new(Attempt { id: id(number), ..dead.clone() }), line.at + MS);
        }
        // Of other lines it is not known which of the two they are about.
        assert!(healthy.take(&key, Kind::Receive, &line).is_none());
        let mut taken = || healthy.take(&key, Kind::Connect, &line).map(|attempt| attempt.id);
        assert_eq!([taken(), taken(), taken()], [Some(id(1)), Some(id(2)), None]);
    }
}
