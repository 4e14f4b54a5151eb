//! Which of the failures and lines that are there belong together.

use crate::engine::logjoin::align::BEFORE;
use crate::engine::logjoin::logs::{AFTER, ALONE, JoinKey, Logs, Waiting};
use crate::engine::logjoin::signature::FailureSignature;
use crate::errorlog::Kind;
use crate::event::MS;
use crate::event::{AttemptId, LogLine, Nanos};

/// Mostly a line is read by then.
const PROMPT: Nanos = 150 * MS;

impl Logs {
    /// The failure that a line belongs to: the first that it fits best.
    pub(in crate::engine) fn best(&self, key: &JoinKey, line: &LogLine, kind: Kind) -> Option<AttemptId> {
        if key.1.is_none() {
            return self.only(key.0, line, kind);
        }
        let mut best = None;
        for open in self.open.since(key, earliest(line)).take_while(|open| near(open.at, line)) {
            match open.signature.fits(kind, line) {
                // None fits better.
                Some(0) => return Some(open.id),
                Some(badly) if best.is_none_or(|(least, _)| badly < least) => best = Some((badly, open.id)),
                _ => {}
            }
        }
        best.map(|(_, id)| id)
    }

    /// Joins lines without an upstream whose moment has passed: the end of the attempt is mostly read after the line.
    pub(in crate::engine) fn settle_nameless(&mut self, now: Nanos) -> Vec<AttemptId> {
        let nameless = self.by_key.iter().filter(|((_, upstream), _)| upstream.is_none());
        let numbers: Vec<u64> =
            nameless.flat_map(|(_, numbers)| numbers).map(|(_, number)| *number).collect();
        let mut settled = Vec::new();
        for number in numbers {
            let Some(waiting) = self.lines.get(&number).filter(|waiting| waiting.settles <= now) else {
                continue;
            };
            let Some(id) = self.only(waiting.key.0, &waiting.line, waiting.kind) else { continue };
            if let Some(waiting) = self.remove(number) {
                self.join(&waiting.key, id, *waiting.line);
                settled.push(id);
            }
        }
        settled
    }

    /// The only failure of the worker that a line without an upstream fits.
    fn only(&self, worker: u32, line: &LogLine, kind: Kind) -> Option<AttemptId> {
        self.only_where(worker, line, kind, |_| true)
    }

    /// The same, of those whose key is wanted.
    pub(in crate::engine) fn only_where(
        &self,
        worker: u32,
        line: &LogLine,
        kind: Kind,
        wanted: impl Fn(&JoinKey) -> bool,
    ) -> Option<AttemptId> {
        let mut fitting = self.open.of_worker(worker, &wanted).filter(|open| {
            near(open.at, line)
                && line.at <= open.at.saturating_add(PROMPT)
                && open.signature.fits(kind, line) == Some(0)
        });
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first.id)
    }

    /// The line that such a failure, which ended then, fits best.
    pub(in crate::engine) fn best_line(
        &self,
        key: &JoinKey,
        at: Nanos,
        signature: FailureSignature,
        names: impl Fn(&LogLine) -> bool,
    ) -> Option<u64> {
        let mut best = None;
        // In a storm thousands of lines wait: neither those of long before are looked at, nor those that were written later.
        for (_, number) in self.by_key.get(key)?.range((at.saturating_sub(ALONE), 0)..) {
            let Some(Waiting { line, kind, .. }) = self.lines.get(number) else { continue };
            if at.saturating_add(BEFORE) < earliest(line) {
                break;
            }
            // nginx may not get to run between its line and the close of the socket: within `ALONE`.
            if at < earliest(line) || (timeout(*kind) && key.1.is_some()) {
                continue;
            }
            match signature.fits(*kind, line).filter(|_| names(line)) {
                // None fits better.
                Some(0) => return Some(*number),
                Some(badly) if best.is_none_or(|(least, _)| badly < least) => best = Some((badly, *number)),
                _ => {}
            }
        }
        best.map(|(_, number)| number)
    }
}

pub(in crate::engine) fn timeout(kind: Kind) -> bool {
    matches!(kind, Kind::TimedOut(_))
}

/// A line may be about a failure that ended at this time.
pub(in crate::engine) fn near(ended: Nanos, line: &LogLine) -> bool {
    ended >= earliest(line) && ended <= line.at.saturating_add(BEFORE)
}

/// No failure that ended before this can be meant: the line was written later. An error of `connect()` is there before
/// its line; all other ends come after it.
pub(in crate::engine) fn earliest(line: &LogLine) -> Nanos {
    if line.after > 0 { line.after.saturating_sub(BEFORE) } else { line.at.saturating_sub(AFTER) }
}
