//! Attempts that looked healthy, and of which a line may say that they were not.

use std::collections::{HashMap, VecDeque};

use super::align::BEFORE;
use super::logs::{KEYS, Key, near};
use super::shape::healthy_fits;
use crate::event::{Attempt, LogLine, Nanos};
use crate::log::Kind;

/// Kept per worker and upstream; the oldest make room.
const KEPT: usize = 64;

/// The attempts, each with the time until which a line may come.
#[derive(Debug, Default)]
pub(super) struct Healthy {
    by_key: HashMap<Key, VecDeque<(Box<Attempt>, Nanos)>>,
}

impl Healthy {
    pub(super) fn keep(&mut self, attempt: &Attempt, until: Nanos) {
        let key = (attempt.worker, attempt.upstream.clone());
        if self.by_key.len() >= KEYS && !self.by_key.contains_key(&key) {
            return;
        }
        let kept = self.by_key.entry(key).or_default();
        kept.push_back((Box::new(attempt.clone()), until));
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// The one that such a line must be about; none if there are several.
    pub(super) fn take(&mut self, key: &Key, kind: Kind, line: &LogLine) -> Option<Box<Attempt>> {
        let kept = self.by_key.get_mut(key)?;
        let mut fitting = kept.iter().enumerate().filter(|(_, (attempt, until))| {
            near(attempt.seen, line) && line.at <= *until && healthy_fits(kind, attempt)
        });
        let (index, _) = fitting.next()?;
        if fitting.next().is_some() {
            return None;
        }
        kept.remove(index).map(|(attempt, _)| attempt)
    }

    pub(super) fn expire(&mut self, now: Nanos) {
        self.by_key.retain(|_, kept| {
            // A line waits for a moment before it looks here.
            while kept.pop_front_if(|(_, until)| until.saturating_add(10 * BEFORE) < now).is_some() {}
            !kept.is_empty()
        });
    }
}
