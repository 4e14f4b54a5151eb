//! The request arrived, the answer did not.

use super::{Cause, Finding, NginxTimer, Signal, limit};
use crate::case::Case;
use crate::errorlog::{Doing, Kind};
use crate::event::MS;
use crate::verdict::Confidence;

pub(super) const CAUSE: Cause = Cause {
    id: "slow-response",
    reason: Some(5),
    title: "the request arrived, no response came within nginx's timeout",
    means: "The origin acknowledged the whole request and then sent nothing until nginx gave up: a slow query, \
            a slow dependency, a lock, or work that takes longer than proxy_read_timeout.",
    told_apart: "All bytes were acknowledged and none came back, so path and firewall are fine (`path-lost`). \
                 Whether the application accepted the connection at all (`not-accepted`) is visible only on \
                 this host. A response that lay unread in nginx's socket is `worker-stalled`.",
    fix: "Find the slow part in the application: its log, its slow-query log, `py-spy dump`, `jstack`. If the work \
          really takes that long, raise `proxy_read_timeout` (fastcgi_, uwsgi_, grpc_) for that location only.",
    rivals: &["path-lost", "not-accepted", "worker-stalled", "slow-body", "slow-tls-handshake"],
    needs: &[
        Signal::Requests,
        Signal::Answers,
        Signal::Retransmits,
        Signal::UnixConnections,
        Signal::UnixEnds,
    ],
    by_nginx_timer: NginxTimer::WholeSeconds,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let attempt = &case.attempt;
    if case.log_kind() == Some(Kind::TimedOut(Doing::Tls)) || case.in_tls_handshake() {
        return None;
    }
    if case.unseen_on_unix() && case.log_kind() == Some(Kind::TimedOut(Doing::Header)) {
        let summary = format!("{} did not answer within nginx's timeout.", case.target());
        return Some(Finding::possible(summary).or(&["not-accepted", "slow-body"]));
    }
    if case.header_timeout_over_tls() {
        let summary = format!("{} did not answer within nginx's timeout.", case.target());
        return Some(Finding::possible(summary).or(&["slow-body"]));
    }
    let ticket = case.log_kind() == Some(Kind::TimedOut(Doing::Header)) && case.maybe_ticket();
    if !(case.awaiting() || ticket)
        || !case.request_acked()
        || !case.silent()
        || !case.overdue()
        || (attempt.socket.unread > 0 && !case.nginx_closed_first())
    {
        return None;
    }
    if case.errno().is_some() {
        return None;
    }
    let (target, ms) = (case.target(), case.duration() / MS);
    let took = if case.tcp() { "acknowledged" } else { "took" };
    let summary = format!("{target} {took} the request and has not answered for {ms} ms so far.");
    let summary = if case.pending() {
        summary
    } else {
        format!("{target} {took} the request and did not answer within {ms} ms; nginx gave up.")
    };
    let fix = format!(
        "Find the slow part in the application{}: its log, its slow-query log, `py-spy dump`, `jstack`. If the work really \
         takes that long, raise {} for that location only.",
        case.served_by(),
        limit::timeout(case, "`proxy_read_timeout` (fastcgi_, uwsgi_, grpc_)"),
    );
    let listener = case.listener();
    let finding = match listener {
        // An accepted connection, or an empty queue: the application has it.
        _ if listener.as_ref().is_some_and(|listener| listener.queue == 0) => Finding::proven(summary),
        Some(_) if case.reused() => Finding::proven(summary),
        // All that wait to be accepted came later.
        Some(listener) if case.siblings.later >= listener.queue => Finding::likely(summary),
        Some(_) => Finding::possible(summary).or(&["not-accepted"]),
        None if case.reused() => Finding::likely(summary),
        None => Finding::likely(summary).or(&["not-accepted"]),
    };
    let finding = if case.maybe_handshake() {
        Finding { confidence: finding.confidence.min(Confidence::Likely), ..finding }
            .or(&["slow-tls-handshake"])
    } else {
        finding
    };
    Some(finding.fix(fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Ended, Hook};
    use crate::testkit::{BEGUN, expect, unanswered_request, verdict, with_fin};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn over_a_unix_socket_that_nobody_watched_nginx_knows_no_more() {
        let mut line = crate::testkit::line(
            "upstream timed out (110: Connection timed out) while reading response header from upstream",
        );
        line.upstream = Some("http://unix:/run/app.sock:/".to_owned());
        let hooks = [Hook {
            name: "connect".to_owned(),
            kind: String::new(),
            attached: true,
            why: None,
            costs: None,
        }];
        let mut case = Case::of_line(&line, crate::testkit::id(1));
        case.hooks = &hooks;
        assert_eq!(
            verdict(&case),
            ("slow-response", Confidence::Possible, vec!["not-accepted", "slow-body"])
        );
        assert_eq!(case.phase(), Phase::Wait);
        line.message = line.message.replace("reading response header from", "sending request to");
        line.action = Some("sending request to upstream".to_owned());
        let mut case = Case::of_line(&line, crate::testkit::id(1));
        case.hooks = &hooks;
        assert_eq!(verdict(&case), ("not-reading", Confidence::Likely, vec!["not-accepted"]));
    }

    #[test]
    fn acknowledged_and_silent() {
        let attempt = unanswered_request();
        let case = Case::of_attempt(&attempt);
        assert_eq!(verdict(&case), ("slow-response", Confidence::Likely, vec!["not-accepted"]));
        assert_eq!(case.status(), Some(504));
    }

    #[test]
    fn not_acknowledged_is_the_path() {
        let mut attempt = unanswered_request();
        (attempt.socket.unacked, attempt.retransmits) = (200, 3);
        expect(&Case::of_attempt(&attempt), "path-lost", Confidence::Likely);
    }

    #[test]
    fn pending_counts_only_after_the_slow_limit() {
        let mut attempt = unanswered_request();
        attempt.ended = Ended::Open;
        expect(&Case::of_attempt(&attempt), "slow-response", Confidence::Likely);
        attempt.seen = BEGUN + 100 * MS;
        assert_eq!(judge(&Case::of_attempt(&attempt)), None);
    }

    #[test]
    fn an_answer_that_nginx_did_not_read_is_not_the_origins_slowness() {
        let mut attempt = unanswered_request();
        attempt.socket.unread = 10;
        assert_eq!(judge(&Case::of_attempt(&attempt)), None);
        assert_eq!(judge(&Case::of_attempt(&with_fin(unanswered_request(), 100))), None);
    }
}
