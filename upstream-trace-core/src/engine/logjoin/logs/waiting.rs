//! Lines that wait for their failure: when one has waited long enough, and what becomes of it then.

use super::{JoinKey, Logs, Waiting};
use crate::engine::logjoin::matching::timeout;
use crate::engine::logjoin::signature::seen_by_kernel;
use crate::event::{Attempt, AttemptId, Nanos, Weigh};

/// Lines that wait; beyond that the oldest waits no longer.
const MAX_WAITING: usize = 16_384;
/// Bytes of all lines that wait; beyond that likewise.
const MAX_WAITING_BYTES: usize = 32 << 20;

impl Logs {
    /// The failure that a line is about whose upstream no attempt went to: the kernel sent the connection elsewhere
    /// (`cgroup/connect4`, as for a service of Kubernetes), and the socket has another address than nginx knows. Its
    /// address stands in no line of nginx, ever.
    fn redirected(&self, waiting: &Waiting) -> Option<AttemptId> {
        if waiting.key.1.is_none() || !seen_by_kernel(waiting.kind) {
            return None;
        }
        let unnamed =
            |key: &JoinKey| key.1.as_ref().is_some_and(|upstream| !self.named.contains_key(upstream));
        self.only_where(waiting.key.0, &waiting.line, waiting.kind, unnamed)
    }

    /// Joins what still waits to failures whose connections were sent elsewhere: no more will come of either.
    pub(in crate::engine) fn settle_redirected(&mut self) -> Vec<AttemptId> {
        let mut found = Vec::new();
        for number in self.waiting.clone() {
            let Some(id) = self.lines.get(&number).and_then(|waiting| self.redirected(waiting)) else {
                continue;
            };
            if let Some(waiting) = self.remove(number) {
                self.join(&(waiting.key.0, None), id, *waiting.line);
                found.push(id);
            }
        }
        found
    }

    /// More lines wait than there is room for.
    pub(in crate::engine) fn crowded(&self) -> bool {
        self.lines.len() > MAX_WAITING || self.bytes > MAX_WAITING_BYTES
    }

    /// The next line that has waited long enough; and the failures that found theirs at the last moment.
    pub(in crate::engine) fn due(&mut self, now: Nanos) -> (Vec<AttemptId>, Option<Waiting>) {
        let mut found = Vec::new();
        while let Some(number) = self.waiting.front().copied() {
            let crowded = self.crowded();
            if let Some(waiting) = self.lines.get(&number) {
                if waiting.due > now && !crowded {
                    break;
                }
                if timeout(waiting.kind) {
                    let key = waiting.key.clone();
                    found.extend(self.settle_at(&key, if crowded { Nanos::MAX } else { now }, true));
                }
            }
            self.waiting.pop_front();
            let Some(mut waiting) = self.remove(number) else { continue };
            if waiting.due > now {
                waiting.early = true;
                self.lost.note(waiting.line.at, now);
            }
            if let Some(id) = self.redirected(&waiting) {
                self.join(&(waiting.key.0, None), id, *waiting.line);
                found.push(id);
                continue;
            }
            // Which attempt it is about is not known, and that attempt is told of without it.
            if waiting.line.upstream.is_none() && seen_by_kernel(waiting.kind) {
                continue;
            }
            return (found, Some(waiting));
        }
        (found, None)
    }

    /// The one attempt that looked healthy and that such a line must be about.
    pub(in crate::engine) fn healthy(&mut self, waiting: &Waiting) -> Option<Box<Attempt>> {
        let key = self.key(&waiting.line);
        let found = self.healthy.take(&key, waiting.kind, &waiting.line);
        if found.is_none() && self.healthy.forgot(&key, &waiting.line) {
            self.lost.note(waiting.line.at, waiting.line.at);
        }
        found
    }

    pub(in crate::engine) fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.lines.remove(&number)?;
        self.bytes -= waiting.line.weigh();
        if let Some(numbers) = self.by_key.get_mut(&waiting.key) {
            numbers.remove(&(waiting.line.at, number));
            if numbers.is_empty() {
                self.by_key.remove(&waiting.key);
            }
        }
        Some(waiting)
    }
}
