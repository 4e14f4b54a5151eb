//! The request arrived, the answer did not.

use super::{Cause, Finding, NginxTimer, Signal, limit, misconfigured};
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
    let by_line = case.log_kind_alone() == Some(Kind::TimedOut(Doing::Header));
    if by_line && !case.answer_began() && !case.answer_by_socket() {
        return by_words(case);
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
    if case.errno().is_some() || misconfigured::promised_body(case).is_some() {
        return None;
    }
    Some(told(case))
}

/// nginx says that its timer ran out before a header had come, and the kernel side saw nothing wrong.
fn by_words(case: &Case<'_>) -> Option<Finding> {
    // Without eyes for requests and answers, or not there yet, or with events lost, nothing follows from what it did not
    // see.
    let no_eyes = case.lacks(Signal::Requests) || case.lacks(Signal::Answers);
    let blind = no_eyes || case.early || case.lossy;
    if blind && case.attempt.bytes_received == 0 {
        return None;
    }
    // Where nobody watched at that time, some of a header may have come.
    let unsure = case.attempt.bytes_received > 0 || case.sampled;
    let summary = format!("{} sent no response header within nginx's read timeout.", case.target());
    // Bytes came that may be the begin of a header, or what TLS or HTTP/2 says of the connection.
    let finding = if unsure { Finding::possible(summary) } else { Finding::likely(summary) };
    Some(finding.or(&["slow-body"]).fix(fix(case)))
}

fn told(case: &Case<'_>) -> Finding {
    let (target, ms) = (case.target(), case.duration() / MS);
    let took = if case.tcp() { "acknowledged" } else { "took" };
    let summary = format!("{target} {took} the request and has not answered for {ms} ms so far.");
    let summary = if case.pending() {
        summary
    } else {
        format!("{target} {took} the request and did not answer within {ms} ms; nginx gave up.")
    };
    let listener = case.listener();
    let finding = match listener {
        // An accepted connection, or an empty queue: the application has it.
        _ if case.accepted() == Some(false) => Finding::likely(summary).or(&["not-accepted"]),
        Some(listener) if listener.queue == 0 && listener.may_be_translated && !case.reused() => {
            Finding::likely(summary).or(&["not-accepted"])
        }
        _ if listener.as_ref().is_some_and(|listener| listener.queue == 0) => Finding::proven(summary),
        _ if case.accepted() == Some(true) => Finding::proven(summary),
        Some(_) if case.reused() => Finding::proven(summary),
        // All that wait to be accepted came later.
        Some(listener) if case.siblings.later >= listener.queue => Finding::likely(summary),
        Some(_) => Finding::possible(summary).or(&["not-accepted"]),
        None if case.reused() => Finding::likely(summary),
        None => Finding::likely(summary).or(&["not-accepted"]),
    };
    // Whether a request was under way is not known for sure where nobody watched.
    let finding = if case.attempt.by_socket {
        Finding { confidence: finding.confidence.min(Confidence::Likely), ..finding }
    } else {
        finding
    };
    let finding = if case.maybe_handshake() {
        Finding { confidence: finding.confidence.min(Confidence::Likely), ..finding }
            .or(&["slow-tls-handshake"])
    } else {
        finding
    };
    finding.fix(fix(case))
}

fn fix(case: &Case<'_>) -> String {
    format!(
        "Find the slow part in the application{}: its log, its slow-query log, `py-spy dump`, `jstack`. If the work really \
         takes that long, raise {} for that location only.",
        case.served_by(),
        limit::timeout(case, "`proxy_read_timeout` (fastcgi_, uwsgi_, grpc_)"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Ended, Hook};
    use crate::testkit::{BEGUN, expect, line, unanswered_request, verdict, with_fin};
    use crate::verdict::{Confidence, Phase};

    const HEADER: &str =
        "upstream timed out (110: Connection timed out) while reading response header from upstream";

    fn hook(name: &str, attached: bool) -> Hook {
        Hook { name: name.to_owned(), kind: String::new(), attached, why: None, costs: None }
    }

    #[test]
    fn over_a_unix_socket_that_nobody_watched_nginx_knows_no_more() {
        let mut line = line(HEADER);
        line.upstream = Some("http://unix:/run/app.sock:/".to_owned());
        let hooks = [hook("connect", true)];
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
    fn nginx_says_that_its_timer_ran_out() {
        let line = line(HEADER);
        let case = Case::of_line(&line, crate::testkit::id(1));
        assert_eq!(verdict(&case), ("slow-response", Confidence::Likely, vec!["slow-body"]));
        assert_eq!((case.phase(), case.status(), case.errno()), (Phase::Wait, Some(504), None));
    }

    #[test]
    fn where_nobody_watched_some_of_a_header_may_have_come() {
        let line = line(HEADER);
        let mut case = Case::of_line(&line, crate::testkit::id(1));
        case.sampled = true;
        assert_eq!(verdict(&case), ("slow-response", Confidence::Possible, vec!["slow-body"]));
    }

    #[test]
    fn without_eyes_for_answers_nothing_follows_from_silence() {
        let line = line(HEADER);
        let hooks = [hook("sock_recv_length", false)];
        let mut case = Case::of_line(&line, crate::testkit::id(1));
        case.hooks = &hooks;
        assert!(judge(&case).is_none());
        for (early, lossy) in [(true, false), (false, true)] {
            let mut case = Case::of_line(&line, crate::testkit::id(1));
            (case.early, case.lossy) = (early, lossy);
            assert!(judge(&case).is_none());
        }
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
