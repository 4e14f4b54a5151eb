//! The kernel took the connection, the application never did.

use super::{Cause, Finding, NginxTimer, Signal};
use crate::case::Case;
use crate::event::MS;
use crate::text::sentence;

pub(super) const CAUSE: Cause = Cause {
    id: "not-accepted",
    reason: Some(1),
    title: "the application never accepted the connection",
    means: "The origin's kernel completed the handshake and acknowledged the request, but the connection still \
            waits in the accept queue: all workers of the application are busy or hang. To nginx it looks like \
            a slow response.",
    told_apart: "Connections wait in the listener's accept queue. If the queue is empty, or this connection is not \
                 in it, the application has the request and is slow (`slow-response`). The queue is readable \
                 only for an origin on this kernel, in whatever network namespace; otherwise both are listed. A queue that overflows is `accept-queue-full`.",
    fix: "On the origin: `ss -lnt sport = :PORT`: Recv-Q stays above zero. Add workers (pm.max_children, \
          gunicorn --workers), or find what blocks them.",
    rivals: &["slow-response", "accept-queue-full"],
    needs: &[Signal::Requests, Signal::Answers, Signal::UnixConnections, Signal::UnixEnds],
    by_nginx_timer: NginxTimer::WholeSeconds,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let listener = case.listener()?;
    let seen = case.accepted();
    // First come, first served: those that wait are the last ones that came.
    if seen == Some(true) || (seen.is_none() && listener.queue <= case.siblings.later) {
        return None;
    }
    // Those that wait are known, and this one is not among them.
    if seen.is_none() && listener.unaccepted.is_some() && !listener.may_be_translated {
        return None;
    }
    if !case.awaiting() || !case.request_acked() || !case.silent() || !case.overdue() || case.reused() {
        return None;
    }
    if case.attempt.socket.unread > 0 {
        return None;
    }
    if let Some((until, then)) = case.waited_until().filter(|_| seen == Some(false)) {
        let waited = until.saturating_sub(case.since()) / MS;
        let stopped = if then.stopped { ", which was stopped," } else { "" };
        let process = then
            .process
            .or_else(|| listener.process.clone())
            .map(|process| format!(" ({process})"))
            .unwrap_or_default();
        let summary = format!(
            "The application{process}{stopped} had not accepted the connection to {} after {waited} of {} ms; {} waited in \
             its accept queue then.",
            case.target(),
            case.duration() / MS,
            then.queue
        );
        return Some(Finding::proven(sentence(&summary).into_owned()).fix(queue_fix(case)));
    }
    let process = case.served_by();
    let summary = format!(
        "{} connections wait in the accept queue of {}: the application{process} did not accept this one for {} ms.",
        listener.queue,
        case.target(),
        case.duration() / MS
    );
    // Others than nginx may have come later, so that this one is not in the queue.
    Some(Finding::likely(summary).or(&["slow-response"]).fix(queue_fix(case)))
}

fn queue_fix(case: &Case<'_>) -> String {
    format!(
        "`{}`: if Recv-Q stays above zero, add workers to the application or find what blocks them.",
        case.listener_command()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Fact, Listener};
    use crate::testkit::{enrichment, expect, reused_request, unanswered_request};
    use crate::verdict::Confidence;

    fn queue(queue: u32) -> crate::event::Enrichment {
        enrichment(vec![Fact::Listener(Listener {
            queue,
            limit: 128,
            process: Some("app[7]".to_owned()),
            ..Listener::default()
        })])
    }

    #[test]
    fn a_queue_that_waits_and_one_that_is_empty() {
        let (attempt, waits, empty) = (unanswered_request(), queue(3), queue(0));
        let mut case = Case::of_attempt(&attempt);
        case.enrichment = Some(&waits);
        expect(&case, "not-accepted", Confidence::Likely);
        case.enrichment = Some(&empty);
        expect(&case, "slow-response", Confidence::Proven);
    }

    #[test]
    fn one_that_came_before_all_that_wait_was_accepted() {
        let (attempt, waits) = (unanswered_request(), queue(2));
        let mut case = Case::of_attempt(&attempt);
        case.enrichment = Some(&waits);
        case.siblings.later = 1;
        expect(&case, "not-accepted", Confidence::Likely);
        case.siblings.later = 2;
        expect(&case, "slow-response", Confidence::Likely);
    }

    #[test]
    fn whether_this_very_connection_waits_decides() {
        let attempt = unanswered_request();
        let waits = |end: &str| {
            let Fact::Listener(listener) = queue(3).facts.remove(0) else { panic!("no listener") };
            let unaccepted = Some(vec![end.parse().expect("an address")]);
            enrichment(vec![Fact::Listener(Listener { unaccepted, ..listener })])
        };
        let local = attempt.local.expect("known");
        let beside = format!("{}:9", local.ip());
        let (this, another, translated) = (waits(&local.to_string()), waits(&beside), waits("192.0.2.9:9"));
        let mut case = Case::of_attempt(&attempt);
        // Later ones or not.
        case.siblings.later = 9;
        case.enrichment = Some(&this);
        expect(&case, "not-accepted", Confidence::Proven);
        case.enrichment = Some(&another);
        case.siblings.later = 0;
        expect(&case, "slow-response", Confidence::Proven);
        // It was seen to wait for most of the time, and was accepted as nginx gave up.
        let empty = queue(0);
        let waited = crate::event::Enrichment { at: attempt.seen - 100 * MS, ..this.clone() };
        (case.enrichment, case.waiting) = (Some(&empty), Some(&waited));
        expect(&case, "not-accepted", Confidence::Proven);
        let waited = crate::event::Enrichment { at: case.since() + MS, ..this.clone() };
        case.waiting = Some(&waited);
        expect(&case, "slow-response", Confidence::Proven);
        case.waiting = None;
        case.enrichment = Some(&translated);
        expect(&case, "slow-response", Confidence::Possible);
        let translated = {
            let Fact::Listener(listener) = translated.facts[0].clone() else { panic!("no listener") };
            enrichment(vec![Fact::Listener(Listener { may_be_translated: true, ..listener })])
        };
        case.enrichment = Some(&translated);
        expect(&case, "not-accepted", Confidence::Likely);
    }

    #[test]
    fn a_pooled_connection_was_accepted_long_ago() {
        let (mut attempt, waits) = (reused_request(), queue(3));
        attempt.seen += 2_000_000_000;
        let mut case = Case::of_attempt(&attempt);
        case.enrichment = Some(&waits);
        expect(&case, "slow-response", Confidence::Proven);
    }
}
