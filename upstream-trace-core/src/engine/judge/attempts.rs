//! What happens to attempts: they get into trouble, end, are retried, get their answer after all.

use crate::engine::judge::verdicts::resolved;
use crate::engine::stores::queue::{Failed, MAX_HELD};
use crate::engine::{Engine, RETRY_STARTS, TROUBLE_SETTLES};
use crate::event::{Attempt, AttemptId, BenignEnd, ConnectError, LossPlace, Nanos, SECOND};
use crate::verdict::{Output, Resolved};

impl Engine {
    pub(in crate::engine) fn on_trouble(&mut self, attempt: Attempt, out: &mut Vec<Output>) {
        let (id, seen) = (attempt.id, attempt.seen);
        if self.known_as_ended(id) {
            return;
        }
        if let Some(failed) = attempt.retry_of {
            self.retries.link(failed, id, seen);
        }
        self.retries.went(id, attempt.upstream.as_ref());
        let upstream = attempt.upstream.clone();
        if self.troubles.keep(Box::new(attempt)) {
            self.upstreams.seen(upstream.as_ref());
        }
        self.settling.push_back((seen.max(self.now) + TROUBLE_SETTLES, id));
        if self.settling.len() > MAX_HELD
            && let Some((due, _)) = self.settling.front().copied()
        {
            self.judged_early(seen);
            self.settle(due, out);
        }
    }

    pub(in crate::engine) fn on_end(&mut self, mut attempt: Attempt, out: &mut Vec<Output>) {
        let id = attempt.id;
        if self.known_as_ended(id) {
            return;
        }
        let earlier = self.troubles.remove(id);
        if let Some(trouble) = &earlier {
            attempt.learn_request(&trouble.attempt);
            attempt.learn_unread(&trouble.attempt);
        }
        if earlier.is_none() {
            self.upstreams.seen(attempt.upstream.as_ref());
        }
        if let Some(failed) = attempt.retry_of {
            self.retries.link(failed, id, attempt.seen);
        }
        self.retries.went(id, attempt.upstream.as_ref());
        let warned = earlier.is_some_and(|trouble| trouble.reported.is_some());
        if let Some(benign_end) = attempt.benign_end(self.slow.unwrap_or(SECOND)) {
            // A line may yet say that it was a failure, of one that nobody watched.
            if !attempt.by_socket {
                self.packets.done(&attempt);
            }
            if warned {
                out.push(Output::Resolved(resolved(&attempt, benign_end)));
            }
            self.logs.ended_well(Box::new(attempt));
            return;
        }
        if warned {
            self.warned.insert(id);
        }
        self.hold(Failed::ended(Box::new(attempt)), out);
    }

    pub(in crate::engine) fn on_connect_error(&mut self, error: ConnectError, out: &mut Vec<Output>) {
        if self.known_as_ended(error.id) {
            return;
        }
        self.troubles.remove(error.id);
        self.upstreams.seen(Some(&error.upstream));
        if let Some(failed) = error.retry_of {
            self.retries.link(failed, error.id, error.at);
        }
        self.retries.went(error.id, Some(&error.upstream));
        self.hold(Failed::connect_error(error), out);
    }

    pub(in crate::engine) fn on_answer(
        &mut self,
        failed: AttemptId,
        retry: AttemptId,
        at: Nanos,
        out: &mut Vec<Output>,
    ) {
        for id in self.retries.answered(failed, retry, at) {
            if let Some(recovered) = self.reported.0.get_mut(&id).filter(|recovered| !**recovered) {
                *recovered = true;
                self.tally.recovered += 1;
            }
            // Not before its own events, and its line, had time to arrive.
            let arrived = self.held.get(id).is_some_and(|failed| {
                failed.attempt.seen + RETRY_STARTS <= self.now
                    && self.awaits_line_until(failed, self.now).is_none()
            });
            if arrived {
                self.let_go(id, out);
            }
        }
    }

    /// An attempt in trouble got its answer; its connection may go on to other requests.
    pub(in crate::engine) fn on_answered(&mut self, attempt: AttemptId, at: Nanos, out: &mut Vec<Output>) {
        let Some(trouble) = self.troubles.remove(attempt) else { return };
        if trouble.reported.is_some() {
            let upstream = trouble.attempt.upstream;
            out.push(Output::Resolved(Resolved { attempt, at, upstream, how: BenignEnd::Answered.name() }));
        }
    }

    /// What looked as if nginx had lost patience was a client that left.
    pub(in crate::engine) fn on_client_gone(&mut self, id: AttemptId, at: Nanos, out: &mut Vec<Output>) {
        let Some(failed) = self.held.get(id).filter(|failed| failed.is_ended()) else { return };
        // What the upstream refused, or broke, was over before the client left.
        if !failed.attempt.gave_up() {
            self.held.postpone(id, failed.attempt.seen.max(self.now) + RETRY_STARTS);
            return;
        }
        let Some(Failed { attempt, .. }) = self.held.remove(id) else { return };
        self.packets.done(&attempt);
        if self.warned.remove(&id) {
            let (upstream, how) = (attempt.upstream.clone(), BenignEnd::ClientGone.name());
            out.push(Output::Resolved(Resolved { attempt: id, at, upstream, how }));
        }
        self.logs.left(attempt);
    }

    fn known_as_ended(&self, id: AttemptId) -> bool {
        self.held.contains(id) || self.reported.0.contains_key(&id)
    }

    fn hold(&mut self, failed: Failed, out: &mut Vec<Output>) {
        let due = failed.attempt.seen.max(self.now) + RETRY_STARTS;
        self.expect_line(&failed);
        self.held.insert(failed, due);
        while self.held.is_over() {
            let Some(id) = self.held.oldest() else { break };
            self.judged_early(self.held.ended(id).unwrap_or(self.now));
            self.let_go(id, out);
        }
    }

    /// There is no room to wait for what may still come about this attempt.
    fn judged_early(&mut self, ended: Nanos) {
        self.early.note(ended, self.now);
        self.losses.overflowed(LossPlace::FailuresHeld, &mut self.early);
    }
}
