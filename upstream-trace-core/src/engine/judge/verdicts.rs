//! From a failure to its report.

use crate::case::{BenignEnd, Case};
use crate::cause;
use crate::engine::Engine;
use crate::engine::judge::benign::EndContext;
use crate::engine::judge::details;
use crate::engine::stores::upstreams::Outcome;
use crate::event::{Attempt, AttemptId, Nanos};
use crate::evidence;
use crate::verdict::{Output, Phase, Resolved, Tries, TryEnd, Verdict};

impl Engine {
    pub(in crate::engine) fn let_go(&mut self, id: AttemptId, out: &mut Vec<Output>) {
        let Some(failed) = self.held.remove(id) else { return };
        let recovered = self.retries.recovered(id);
        let line = self.logs.take(id);
        let warned = self.warned.remove(&id);
        let mut tries = self.tries(id);
        let mut case = failed.case();
        (case.log, case.tries) = (line.as_ref(), tries.as_ref());
        self.fill(&mut case);
        let outcome = Outcome::of(&case);
        let late = case.late;
        let mut verdict = verdict(&case, recovered);
        let context = EndContext::of(&case);
        drop(case);
        let attempt = &failed.attempt;
        self.packets.done(attempt);
        let no_failure = if failed.is_ended() { self.no_failure(attempt, &verdict, context) } else { None };
        if let Some(benign_end) = no_failure {
            self.remember(id, attempt.seen, true);
            if warned {
                out.push(Output::Resolved(resolved(attempt, benign_end)));
            }
            self.logs.left(failed.attempt);
            return;
        }
        if failed.is_ended() && outcome == Outcome::Silent {
            self.upstreams.unanswered(attempt, late);
        }
        self.retries.failed(id, verdict.upstream.as_ref(), verdict.cause);
        if let Some(tries) = &mut tries {
            tries.chain[tries.this].end = TryEnd::Failed(verdict.cause);
        }
        verdict.details.tries = tries;
        self.report(verdict, outcome, out);
    }

    /// The chain of a failure; those that followed it may be judged by now, as far as they are held.
    fn tries(&self, id: AttemptId) -> Option<Tries> {
        let mut tries = self.retries.chain(id)?;
        for later in tries.chain.iter_mut().skip(tries.this + 1).filter(|one| one.end == TryEnd::Unknown) {
            let Some(failed) = self.held.get(later.attempt) else { continue };
            let mut case = failed.case();
            self.fill(&mut case);
            later.end = TryEnd::Failed(cause::judge(&case).0.id);
        }
        Some(tries)
    }

    /// Counts a failure and reports it.
    pub(in crate::engine) fn report(&mut self, verdict: Verdict, outcome: Outcome, out: &mut Vec<Output>) {
        // A name server is no upstream, and without an address there is none to count.
        if verdict.upstream.is_some() && verdict.phase != Phase::Resolve {
            self.upstreams.failed(verdict.upstream.as_ref(), verdict.attempt, verdict.at, outcome);
        }
        self.logs.counts.joined += u64::from(verdict.log.is_some() && !verdict.attempt.is_log_line());
        self.tally.add(&verdict);
        let retried =
            self.retries.retried(verdict.attempt) || !self.retries.before(verdict.attempt).is_empty();
        if cause::find(verdict.cause).is_some_and(|cause| cause.ejects(retried)) {
            self.ejected.failed(&verdict);
        }
        self.remember(verdict.attempt, verdict.at, verdict.recovered);
        out.push(Output::Failure(verdict));
    }

    fn remember(&mut self, id: AttemptId, at: Nanos, recovered: bool) {
        for evicted in self.reported.0.insert(id, recovered, at) {
            if !evicted.value {
                self.retries.forget(evicted.key, evicted.at, at);
            }
        }
    }

    /// Everything that belongs to a case.
    pub(in crate::engine) fn fill<'a>(&'a self, case: &mut Case<'a>) {
        let (id, seen) = (case.attempt.id, case.attempt.seen);
        self.packets.fill(case);
        self.origins.fill(case);
        self.closers.fill(case);
        case.enrichment = self.facts.of(&case.attempt);
        case.full = self.facts.full(&case.attempt);
        case.waiting = self.facts.waiting(&case.attempt);
        case.siblings = self.upstreams.siblings(case.attempt.upstream.as_ref(), id, seen);
        case.siblings.waiting = self.troubles.others_waiting(&case.attempt);
        case.siblings.later = self.troubles.later_waiting(&case.attempt);
        case.siblings.uncounted =
            self.upstreams.uncounted(case.attempt.upstream.as_ref(), self.losses.counters);
        case.config = self.configs.of(case.attempt.worker);
        case.workload = self.workloads.of(case.attempt.worker);
        case.hooks = &self.hooks;
        case.lossy = self.losses.touch(&case.attempt);
        case.slow = self.slow.unwrap_or(case.slow);
    }
}

pub(in crate::engine) fn resolved(attempt: &Attempt, benign_end: BenignEnd) -> Resolved {
    Resolved {
        attempt: attempt.id,
        at: attempt.seen,
        upstream: attempt.upstream.clone(),
        how: benign_end.name(),
    }
}

pub(in crate::engine) fn verdict(case: &Case<'_>, recovered: bool) -> Verdict {
    let (found, finding) = cause::judge(case);
    let attempt = &case.attempt;
    // What is recorded then is about the request before.
    let dead = case.dead_in_pool();
    Verdict {
        attempt: attempt.id,
        at: attempt.seen,
        since: case.since(),
        worker: attempt.worker,
        upstream: attempt.upstream.clone(),
        transport: case.transport(),
        local: attempt.local.map(|local| local.to_string()),
        phase: case.phase(),
        cause: found.id,
        reason: found.reason,
        category: found.reason.and_then(cause::category),
        confidence: finding.confidence,
        alternatives: finding.alternatives,
        errno: case.errno(),
        status: case.status(),
        recovered,
        reused: case.reused() || dead,
        bytes_sent: if dead { 0 } else { attempt.bytes_sent },
        bytes_received: if dead { 0 } else { attempt.bytes_received },
        evidence: evidence::of(case),
        summary: finding.summary,
        fix: finding.fix.unwrap_or_else(|| found.fix.to_owned()),
        log: case.log.cloned(),
        name: case.unresolved_name().map(str::to_owned),
        because: case.because.clone(),
        details: details::of(case),
    }
}
