//! Failed attempts that are held, in order of the time at which to look at them.

use std::collections::{BTreeSet, HashMap};

use crate::case::Case;
use crate::event::{Attempt, AttemptId, ConnectError, Nanos};

/// A failed attempt.
#[derive(Debug)]
pub(in crate::engine) enum Failed {
    /// It ended.
    Ended(Box<Attempt>),
    /// `connect()` failed.
    SyncConnectError(Box<ConnectError>),
}

impl Failed {
    fn id(&self) -> AttemptId {
        match self {
            Self::Ended(attempt) => attempt.id,
            Self::SyncConnectError(error) => error.id,
        }
    }

    /// What is known of it.
    pub(in crate::engine) fn case(&self) -> Case<'_> {
        match self {
            Self::Ended(attempt) => Case::of_attempt(attempt),
            Self::SyncConnectError(error) => Case::of_connect_error(error),
        }
    }

    fn worker(&self) -> u32 {
        match self {
            Self::Ended(attempt) => attempt.worker,
            Self::SyncConnectError(error) => error.worker,
        }
    }

    /// nginx writes nothing about it.
    fn silent(&self) -> bool {
        matches!(self, Self::Ended(attempt) if attempt.error_status.is_some())
    }

    /// When it ended.
    pub(in crate::engine) fn at(&self) -> Nanos {
        match self {
            Self::Ended(attempt) => attempt.seen,
            Self::SyncConnectError(error) => error.at,
        }
    }
}

/// The failures that are held.
#[derive(Debug, Default)]
pub(in crate::engine) struct Queue {
    failed: HashMap<AttemptId, (Failed, Nanos)>,
    by_due: BTreeSet<(Nanos, AttemptId)>,
}

impl Queue {
    pub(in crate::engine) fn insert(&mut self, failed: Failed, due: Nanos) {
        let id = failed.id();
        self.remove(id);
        self.by_due.insert((due, id));
        self.failed.insert(id, (failed, due));
    }

    pub(in crate::engine) fn remove(&mut self, id: AttemptId) -> Option<Failed> {
        let (failed, due) = self.failed.remove(&id)?;
        self.by_due.remove(&(due, id));
        Some(failed)
    }

    pub(in crate::engine) fn postpone(&mut self, id: AttemptId, until: Nanos) {
        if let Some(failed) = self.remove(id) {
            self.insert(failed, until);
        }
    }

    /// The one to look at first, if its time has come.
    pub(in crate::engine) fn due(&self, now: Nanos) -> Option<AttemptId> {
        self.by_due.first().filter(|(due, _)| *due <= now).map(|(_, id)| *id)
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
        self.failed.get(&id).map(|(failed, _)| failed.at())
    }

    /// The worker of a held failure.
    pub(in crate::engine) fn worker(&self, id: AttemptId) -> Option<u32> {
        self.failed.get(&id).map(|(failed, _)| failed.worker())
    }

    /// nginx writes nothing about a held failure.
    pub(in crate::engine) fn silent(&self, id: AttemptId) -> bool {
        self.failed.get(&id).is_some_and(|(failed, _)| failed.silent())
    }

    pub(in crate::engine) fn contains(&self, id: AttemptId) -> bool {
        self.failed.contains_key(&id)
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.failed.len()
    }
}
