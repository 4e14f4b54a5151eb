//! Failures that have no line of error.log yet.

use std::collections::{HashMap, VecDeque};

use crate::engine::logjoin::logs::{AFTER, JoinKey};
use crate::engine::logjoin::signature::FailureSignature;
use crate::event::{AttemptId, Nanos};

/// Failures per worker and upstream, two seconds of 30,000 a second; the oldest make room, and their lines would be taken for
/// those of later ones.
const MAX_PER_KEY: usize = 65_536;
/// Failures in all; beyond that each key keeps as many as it has, and a new one none.
const MAX_FAILURES: usize = 131_072;

/// A failure that has no line.
#[derive(Debug)]
pub(in crate::engine) struct Open {
    pub(in crate::engine) id: AttemptId,
    pub(in crate::engine) at: Nanos,
    pub(in crate::engine) signature: FailureSignature,
}

/// All of them, by worker and upstream, in the order in which they ended.
#[derive(Debug, Default)]
pub(in crate::engine) struct OpenFailures {
    by_key: HashMap<JoinKey, VecDeque<Open>>,
    count: usize,
}

impl OpenFailures {
    /// Keeps a failure; when the one ended that made room, if its line may still come.
    pub(in crate::engine) fn push(&mut self, key: JoinKey, failure: Open) -> Option<Nanos> {
        let at = failure.at;
        let is_full = self.count >= MAX_FAILURES;
        if is_full && !self.by_key.contains_key(&key) {
            return Some(at);
        }
        let open = self.by_key.entry(key).or_default();
        // Failures come nearly in the order in which they ended.
        let after =
            open.iter().rev().take_while(|other| (other.at, other.id) > (failure.at, failure.id)).count();
        open.insert(open.len() - after, failure);
        if open.len() > MAX_PER_KEY || is_full {
            return open
                .pop_front()
                .map(|oldest| oldest.at)
                .filter(|oldest| oldest.saturating_add(AFTER) >= at);
        }
        self.count += 1;
        None
    }

    /// The failures of a worker and upstream.
    pub(in crate::engine) fn of(&self, key: &JoinKey) -> impl Iterator<Item = &Open> {
        self.by_key.get(key).into_iter().flatten()
    }

    /// Those that ended then or later.
    pub(in crate::engine) fn since(&self, key: &JoinKey, at: Nanos) -> impl Iterator<Item = &Open> {
        self.by_key.get(key).into_iter().flat_map(move |open| {
            let earlier = open.partition_point(|open| open.at < at);
            open.range(earlier..)
        })
    }

    /// The failures of a worker at the upstreams that are wanted.
    pub(in crate::engine) fn of_worker(
        &self,
        worker: u32,
        wanted: impl Fn(&JoinKey) -> bool,
    ) -> impl Iterator<Item = &Open> {
        self.by_key.iter().filter(move |(key, _)| key.0 == worker && wanted(key)).flat_map(|(_, open)| open)
    }

    /// Takes a failure out; a key without an upstream stands for all upstreams of the worker.
    pub(in crate::engine) fn remove(&mut self, key: &JoinKey, id: AttemptId) {
        if key.1.is_some() {
            self.count -= self.by_key.get_mut(key).map_or(0, |open| take(open, id));
            return;
        }
        for (_, open) in self.by_key.iter_mut().filter(|((of, _), _)| *of == key.0) {
            self.count -= take(open, id);
        }
    }

    /// Forgets failures from before this time: their line cannot come any more. Where a line waits, those that it cannot be
    /// about: `waits` tells which are older.
    pub(in crate::engine) fn expire(&mut self, before: Nanos, waits: impl Fn(&JoinKey) -> Option<Nanos>) {
        self.by_key.retain(|key, open| {
            let before = waits(key).map_or(before, |oldest| oldest.min(before));
            while open.pop_front_if(|open| open.at < before).is_some() {
                self.count -= 1;
            }
            !open.is_empty()
        });
    }
}

/// Takes a failure out of its list; how many that were.
fn take(open: &mut VecDeque<Open>, id: AttemptId) -> usize {
    let index = open.iter().position(|open| open.id == id);
    usize::from(index.and_then(|index| open.remove(index)).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::testkit::{BEGUN, id, refused};

    fn open(number: u64, at: Nanos) -> Open {
        let attempt = refused();
        Open { id: id(number), at, signature: FailureSignature::of(&Case::of_attempt(&attempt)) }
    }

    #[test]
    fn each_key_and_all_together_are_bounded() {
        let mut failures = OpenFailures::default();
        let room = MAX_PER_KEY as u64;
        for number in 0..room {
            assert_eq!(failures.push((1, None), open(number, BEGUN + number)), None);
        }
        assert_eq!(failures.push((1, None), open(room, BEGUN + room)), Some(BEGUN));
        assert_eq!(
            failures.push((1, None), open(room + 1, BEGUN + 2 * AFTER)),
            None,
            "no line of it can come"
        );
        for worker in 2..2 * (MAX_FAILURES as u32) {
            failures.push((worker, None), open(9, BEGUN));
        }
        assert_eq!((failures.count, failures.of_worker(1, |_| true).count()), (MAX_FAILURES, MAX_PER_KEY));
        assert_eq!(failures.by_key.len(), MAX_FAILURES - MAX_PER_KEY + 1);
    }

    #[test]
    fn the_count_is_right_whatever_is_taken_out() {
        let mut failures = OpenFailures::default();
        let upstream = refused().upstream;
        for (number, key) in [(1, (1, None)), (2, (1, upstream.clone())), (3, (2, upstream.clone()))] {
            failures.push(key, open(number, BEGUN));
        }
        failures.remove(&(1, None), id(2));
        failures.remove(&(2, upstream.clone()), id(9));
        assert_eq!((failures.count, failures.of(&(2, upstream.clone())).count()), (2, 1));
        failures.expire(BEGUN + 1, |_| Some(BEGUN));
        assert_eq!((failures.count, failures.of(&(2, upstream)).count()), (2, 1), "a line waits");
        failures.expire(BEGUN + 1, |_| None);
        assert_eq!((failures.count, failures.by_key.len()), (0, 0));
    }
}
