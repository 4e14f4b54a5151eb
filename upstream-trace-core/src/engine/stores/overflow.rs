//! What one store of the engine had no room for.

use crate::bounded::Evicted;
use crate::event::Nanos;

/// Counted where it happens, until the engine takes it.
#[derive(Debug, Default)]
pub(in crate::engine) struct Overflow {
    count: u64,
    since: Nanos,
    at: Nanos,
}

impl Overflow {
    /// Something of this time did not find room, or had to make room.
    pub(in crate::engine) fn note(&mut self, since: Nanos, at: Nanos) {
        self.since = if self.count == 0 { since } else { self.since.min(since) };
        self.at = self.at.max(at).max(since);
        self.count = self.count.saturating_add(1);
    }

    /// Entries made room at `at`. One that was no younger than `useful` is no loss.
    pub(in crate::engine) fn note_evicted<K, V>(
        &mut self,
        evicted: impl IntoIterator<Item = Evicted<K, V>>,
        useful: Nanos,
        at: Nanos,
    ) {
        for entry in evicted {
            if entry.at.saturating_add(useful) >= at {
                self.note(entry.at, at);
            }
        }
    }

    /// How much since the last time, from when to when.
    pub(in crate::engine) fn take(&mut self) -> Option<(u64, Nanos, Nanos)> {
        let Self { count, since, at } = std::mem::take(self);
        (count > 0).then_some((count, since, at))
    }
}
