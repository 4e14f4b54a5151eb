//! Letting go of what was held: attempts in trouble whose moment has passed, failures whose fate is known.

use crate::case::Case;
use crate::engine::judge::verdicts::verdict;
use crate::engine::{Engine, RETRY_ANSWERS};
use crate::event::Nanos;
use crate::verdict::Output;

impl Engine {
    /// Judges attempts in trouble whose moment has passed.
    pub(in crate::engine) fn settle(&mut self, until: Nanos, out: &mut Vec<Output>) {
        while let Some((_, id)) = self.settling.pop_front_if(|(due, _)| *due <= until) {
            let Some(trouble) = self.troubles.get(id) else { continue };
            let tries = self.retries.chain(id);
            let mut case = Case::of_attempt(&trouble.attempt);
            case.tries = tries.as_ref();
            self.fill(&mut case);
            let mut verdict = verdict(&case, false);
            verdict.details.tries.clone_from(&tries);
            // That nothing is known is worth a word only once it lasts. Of a connection in a pool whose bytes nobody saw, what
            // was sent last may be a frame of HTTP/2 that wants no answer.
            let idle = case.attempt.by_socket && case.attempt.reused && case.may_speak_http2();
            let worth = (verdict.reason.is_some() || case.overdue()) && !idle;
            if worth && self.troubles.report(id, verdict.cause, verdict.confidence) {
                out.push(Output::Pending(verdict));
            }
        }
    }

    /// Lets go of failures whose fate is known, or whose time is up.
    pub(in crate::engine) fn release(&mut self, until: Nanos, out: &mut Vec<Output>) {
        while let Some(failed) = self.held.due(until) {
            let (id, ended) = (failed.attempt.id, failed.attempt.seen);
            if let Some(due) = self.awaits_line_until(failed, until) {
                self.held.postpone(id, due);
                continue;
            }
            let waits =
                self.retries.retried(id) && !self.retries.recovered(id) && until < ended + RETRY_ANSWERS;
            if waits {
                self.held.postpone(id, ended + RETRY_ANSWERS);
                continue;
            }
            // The chain ends here, well or not: what led to it has no more to wait for.
            if !self.retries.retried(id) {
                for earlier in self.retries.before(id) {
                    self.let_go(earlier, out);
                }
            }
            self.let_go(id, out);
        }
    }
}
