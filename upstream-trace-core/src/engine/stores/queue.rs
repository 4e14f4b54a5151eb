//! Failed attempts that are held, in order of the time at which to look at them.

use std::collections::{BTreeSet, HashMap};

use crate::case::Case;
use crate::event::{Attempt, AttemptId, ConnectError, Nanos, Weigh};

/// Failures held at a time; beyond that the oldest is let go at once.
pub(in crate::engine) const MAX_HELD: usize = 16_384;
/// Bytes of all of them.
const MAX_BYTES: usize = 32 << 20;

/// A failed attempt.
#[derive(Debug)]
pub(in crate::engine) struct Failed {
    /// The attempt; of an error of `connect()`, one made of what is known.
    pub(in crate::engine) attempt: Box<Attempt>,
    /// `connect()` itself failed.
    connect: Option<Box<ConnectError>>,
}

impl Failed {
    /// It ended.
    pub(in crate::engine) fn ended(attempt: Box<Attempt>) -> Self {
        Self { attempt, connect: None }
    }

    /// `connect()` failed.
    pub(in crate::engine) fn connect_error(error: ConnectError) -> Self {
        Self { attempt: Box::new(Attempt::of_connect_error(&error)), connect: Some(Box::new(error)) }
    }

    /// What is known of it.
    pub(in crate::engine) fn case(&self) -> Case<'_> {
        Case::of_failed(&self.attempt, self.connect.as_deref())
    }

    /// An attempt ended; `connect()` did not fail.
    pub(in crate::engine) fn is_ended(&self) -> bool {
        self.connect.is_none()
    }

    /// nginx writes nothing about it.
    pub(in crate::engine) fn is_unlogged(&self) -> bool {
        self.attempt.error_status.is_some()
    }
}

/// The failures that are held.
#[derive(Debug, Default)]
pub(in crate::engine) struct Queue {
    failed: HashMap<AttemptId, (Failed, Nanos)>,
    by_due: BTreeSet<(Nanos, AttemptId)>,
    bytes: usize,
}

impl Queue {
    pub(in crate::engine) fn insert(&mut self, failed: Failed, due: Nanos) {
        let id = failed.attempt.id;
        self.remove(id);
        self.bytes += failed.attempt.weigh();
        self.by_due.insert((due, id));
        self.failed.insert(id, (failed, due));
    }

    pub(in crate::engine) fn remove(&mut self, id: AttemptId) -> Option<Failed> {
        let (failed, due) = self.failed.remove(&id)?;
        self.by_due.remove(&(due, id));
        self.bytes -= failed.attempt.weigh();
        Some(failed)
    }

    pub(in crate::engine) fn postpone(&mut self, id: AttemptId, until: Nanos) {
        if let Some((_, due)) = self.failed.get_mut(&id) {
            self.by_due.remove(&(*due, id));
            self.by_due.insert((until, id));
            *due = until;
        }
    }

    /// The one to look at first, if its time has come.
    pub(in crate::engine) fn due(&self, now: Nanos) -> Option<&Failed> {
        let (due, id) = self.by_due.first()?;
        if *due <= now { self.get(*id) } else { None }
    }

    /// The one to look at first, whatever its time.
    pub(in crate::engine) fn oldest(&self) -> Option<AttemptId> {
        self.by_due.first().map(|(_, id)| *id)
    }

    /// A failure that is held.
    pub(in crate::engine) fn get(&self, id: AttemptId) -> Option<&Failed> {
        self.failed.get(&id).map(|(failed, _)| failed)
    }

    /// When a held failure ended.
    pub(in crate::engine) fn ended(&self, id: AttemptId) -> Option<Nanos> {
        self.get(id).map(|failed| failed.attempt.seen)
    }

    pub(in crate::engine) fn contains(&self, id: AttemptId) -> bool {
        self.failed.contains_key(&id)
    }

    /// More is held than there is room for.
    pub(in crate::engine) fn is_over(&self) -> bool {
        self.failed.len() > MAX_HELD || (self.bytes > MAX_BYTES && self.failed.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MAX_TEXT;
    use crate::testkit::{BEGUN, id, unanswered_syn};

    #[test]
    fn long_texts_fill_it_sooner_and_leave_it_whole() {
        let mut queue = Queue::default();
        let mut number = 0;
        while !queue.is_over() {
            number += 1;
            let mut attempt = Attempt { id: id(number), ..unanswered_syn() };
            attempt.non_tls_prefix = Some("x".repeat(MAX_TEXT));
            queue.insert(Failed::ended(Box::new(attempt)), BEGUN + number);
        }
        assert!(number < MAX_HELD as u64);
        assert_eq!(queue.due(BEGUN + 1).map(|failed| failed.attempt.id), Some(id(1)));
        queue.postpone(id(1), BEGUN + 2 * number);
        assert_eq!(queue.oldest(), Some(id(2)));
        for number in 1..=number {
            assert!(queue.remove(id(number)).is_some());
        }
        assert_eq!((queue.bytes, queue.oldest()), (0, None));
    }
}
