//! What the engine does with lines of error.log.

use crate::case::Case;
use crate::engine::judge::ejected::because;
use crate::engine::judge::verdicts::verdict;
use crate::engine::logjoin::logs::{LINE_COMES, Waiting};
use crate::engine::logjoin::signature::{FailureSignature, seen_by_kernel};
use crate::engine::stores::queue::Failed;
use crate::engine::stores::upstreams::Outcome;
use crate::engine::{Engine, RETRY_STARTS};
use crate::errorlog::Kind;
use crate::event::{AttemptId, LogLine, Nanos, Upstream};
use crate::verdict::Output;

impl Engine {
    pub(in crate::engine) fn on_line(&mut self, line: LogLine, out: &mut Vec<Output>) {
        if let Some(id) = self.logs.read(line, self.now) {
            self.line_came(id);
        }
        if self.logs.crowded() {
            self.report_lines(self.now, out);
        }
    }

    /// A failure that is held need not wait for its line any longer; one that was reported needs it no more.
    fn line_came(&mut self, id: AttemptId) {
        match self.held.ended(id) {
            Some(ended) => self.held.postpone(id, ended.saturating_add(RETRY_STARTS)),
            // It was told without it.
            None => self.logs.counts.lost += u64::from(self.logs.take(id).is_some()),
        }
    }

    /// Looks for the line of a failure.
    pub(in crate::engine) fn expect_line(&mut self, failed: &Failed) {
        // nginx has nothing to say about an answer that it passes on.
        if failed.is_unlogged() {
            return;
        }
        let signature = FailureSignature::of(&failed.case());
        let attempt = &failed.attempt;
        self.logs.failed(attempt.id, attempt.worker, attempt.upstream.as_ref(), attempt.seen, signature);
    }

    /// Until when the line of a failure is still to be expected. On a host so busy that lines are read late, longer than
    /// usual: one that was read, and waits for the ends of other attempts, may be the one.
    pub(in crate::engine) fn awaits_line_until(&self, failed: &Failed, now: Nanos) -> Option<Nanos> {
        let attempt = &failed.attempt;
        if failed.is_unlogged() || self.logs.ready(attempt.id, attempt.worker) {
            return None;
        }
        let comes = Some(attempt.seen.saturating_add(LINE_COMES)).filter(|comes| now < *comes);
        comes.or_else(|| {
            let settles = self.logs.settles_by(attempt, FailureSignature::of(&failed.case()))?;
            Some(settles).filter(|settles| now < *settles)
        })
    }

    /// Joins lines whose moment has passed.
    pub(in crate::engine) fn settle_lines(&mut self, until: Nanos) {
        let nameless = self.logs.settle_nameless(until);
        for id in self.logs.settle(until).into_iter().chain(nameless) {
            self.line_came(id);
        }
    }

    /// Joins what can be joined now that nothing more comes.
    pub(in crate::engine) fn settle_last_lines(&mut self) {
        self.settle_lines(Nanos::MAX);
        for id in self.logs.settle_redirected() {
            self.line_came(id);
        }
    }

    /// Reports the lines for which no failure came.
    pub(in crate::engine) fn report_lines(&mut self, until: Nanos, out: &mut Vec<Output>) {
        self.settle_lines(until);
        loop {
            let (found, waiting) = self.logs.due(until);
            for id in found {
                self.line_came(id);
            }
            let Some(waiting) = waiting else { break };
            self.report_line(&waiting, out);
        }
    }

    fn report_line(&mut self, waiting: &Waiting, out: &mut Vec<Output>) {
        let line = &*waiting.line;
        let healthy = self.logs.healthy(waiting).map(|mut attempt| {
            attempt.error_fetched |= waiting.kind == Kind::Connect;
            attempt
        });
        let alone = healthy.is_none() && seen_by_kernel(waiting.kind);
        // The log is opened before the hooks are there: what is read first may be about attempts that nobody saw.
        let before_start = line.after > 0 && line.after < self.begun;
        if alone && (before_start || self.logs.reported_without(waiting)) {
            self.logs.counts.lost += 1;
            return;
        }
        let named = if waiting.kind == Kind::Name { self.dns_lookups.of(line) } else { None };
        let mut case = if let Some((lookup, first)) = &named {
            let mut case = Case::of_lookup(lookup, Some(line));
            if !first {
                self.lines_reported += 1;
                case.attempt.to_mut().id = AttemptId::log_line(self.lines_reported);
            }
            case
        } else if let Some(attempt) = &healthy {
            Case::of_healthy(attempt, line)
        } else {
            self.lines_reported += 1;
            let mut case = Case::of_line(line, AttemptId::log_line(self.lines_reported));
            case.attempt.to_mut().upstream = self.logs.upstream(line);
            case.early = line.at <= self.unwatched;
            case.sampled = self.sampled;
            case
        };
        let resolver_error = self.logs.resolver_error(line).filter(|_| waiting.kind == Kind::Name).cloned();
        if waiting.kind == Kind::Name && named.is_none() {
            let server = [Some(line), resolver_error.as_ref()]
                .into_iter()
                .flatten()
                .find_map(|line| line.resolver.as_ref());
            case.attempt.to_mut().upstream = server.and_then(|server| server.parse().ok()).map(Upstream::Tcp);
            case.complaint = resolver_error.as_ref();
        }
        let mut ejected = Vec::new();
        if waiting.kind == Kind::NoLive {
            ejected = self.ejected.of(line, self.configs.of(case.attempt.worker));
            case.because = because(&ejected);
        }
        self.fill(&mut case);
        let lost = alone && self.losses.around(line);
        case.lossy |= lost;
        let mut verdict = verdict(&case, self.retries.recovered(case.attempt.id));
        drop(case);
        // Its attempt was lost: reported by this line if that says why, and by no more lines than were lost.
        if lost && (verdict.reason.is_none() || !self.losses.reported_by_line()) {
            self.logs.counts.lost += 1;
            return;
        }
        verdict.details.tries = self.retries.chain(verdict.attempt);
        verdict.details.ejected = ejected;
        self.report(verdict, Outcome::Other, out);
    }
}

#[cfg(test)]
mod tests;
