//! Attempts that looked healthy, and of which a line may say that they were not.

use std::collections::{HashMap, VecDeque};

use crate::engine::logjoin::align::BEFORE;
use crate::engine::logjoin::logs::{KEYS, Key};
use crate::engine::logjoin::matching::near;
use crate::engine::logjoin::signature::healthy_fits;
use crate::errorlog::Kind;
use crate::event::{Attempt, LogLine, Nanos};

/// Kept per worker and upstream; the oldest make room.
const KEPT: usize = 64;

/// The attempts, each with the time until which a line may come.
#[derive(Debug, Default)]
pub(in crate::engine) struct Healthy {
    by_key: HashMap<Key, VecDeque<(Box<Attempt>, Nanos)>>,
    /// When the latest ended that made room while a line may still come.
    forgotten: HashMap<Key, Nanos>,
}

impl Healthy {
    pub(in crate::engine) fn keep(&mut self, attempt: &Attempt, until: Nanos) {
        let key = (attempt.worker, attempt.upstream.clone());
        if self.by_key.len() >= KEYS && !self.by_key.contains_key(&key) {
            return;
        }
        let kept = self.by_key.entry(key.clone()).or_default();
        kept.push_back((Box::new(attempt.clone()), until));
        if kept.len() > KEPT
            && let Some((oldest, _)) = kept.pop_front().filter(|(_, until)| *until >= attempt.seen)
        {
            self.forgotten.insert(key, oldest.seen);
        }
    }

    /// The one that such a line must be about; none if there are several.
    pub(in crate::engine) fn take(&mut self, key: &Key, kind: Kind, line: &LogLine) -> Option<Box<Attempt>> {
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

    /// A line may be about one that made room: mostly there is none, since they did look healthy.
    pub(in crate::engine) fn forgot(&self, key: &Key, line: &LogLine) -> bool {
        self.forgotten.get(key).is_some_and(|ended| near(*ended, line))
    }

    pub(in crate::engine) fn expire(&mut self, now: Nanos) {
        // Those of which nothing is kept any more have no forgotten ones that matter.
        self.forgotten.retain(|key, _| self.by_key.contains_key(key));
        self.by_key.retain(|_, kept| {
            // A line waits for a moment before it looks here.
            while kept.pop_front_if(|(_, until)| until.saturating_add(10 * BEFORE) < now).is_some() {}
            !kept.is_empty()
        });
    }
}
