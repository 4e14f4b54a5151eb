//! The origin answered and closed while nginx was still sending.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errorlog::Kind;
use crate::verdict::Confidence;

pub(super) const CAUSE: Cause = Cause {
    id: "request-rejected-early",
    reason: Some(6),
    title: "the origin answered and closed before it had read the request",
    means: "The origin decided early, typically 413 for a large upload or 401, sent its response and closed \
            with unread data, which resets the connection. nginx was still sending, got \"Broken pipe\" or \
            \"Connection reset\", and answers 502: the origin's own response is lost.",
    told_apart: "Bytes of a response lay unread on the connection when nginx's send failed, or nginx had read a part of \
                 them and the origin's kernel reset with data unread. Without them it is \
                 `reset-by-backend`; on a pooled connection that was already closed it is `stale-keepalive`.",
    fix: "Give nginx the same limit as the application: `client_max_body_size` (nginx then answers 413 itself), \
          or raise the application's limit. The origin's log shows the status that it sent.",
    rivals: &["reset-by-backend", "stale-keepalive", "not-reading"],
    needs: &[Signal::Requests, Signal::Answers, Signal::Resets],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    begun_to_read(case).or_else(|| unread(case))
}

/// nginx had read a part of the answer when the reset came.
fn begun_to_read(case: &Case<'_>) -> Option<Finding> {
    let attempt = &case.attempt;
    let failed = attempt.recv_error || attempt.client_cut || attempt.outstanding || attempt.send_error;
    if attempt.bytes_received == 0 || !failed || case.in_tls_handshake() || case.reset_at().is_none() {
        return None;
    }
    let unread = case.resets.iter().any(|reset| reset.reason == "TCP_ABORT_ON_CLOSE");
    let sending = attempt.send_error || attempt.send_blocked || attempt.socket.unsent > 0;
    let summary = |how: &str| {
        let (target, bytes) = (case.target(), attempt.bytes_received);
        format!("{target} began to answer ({bytes} bytes read) and reset the connection {how}.")
    };
    if unread {
        let finding = Finding::proven(summary("with data of the request unread"));
        // What is unread may be another request on the same connection.
        let first = !attempt.reused && attempt.requests <= 1;
        return Some(if first { finding } else { Finding { confidence: Confidence::Likely, ..finding } });
    }
    sending.then(|| {
        Finding::likely(summary("while nginx was still sending the request")).or(&["reset-by-backend"])
    })
}

fn unread(case: &Case<'_>) -> Option<Finding> {
    let attempt = &case.attempt;
    // Where nobody watched sends, nginx's words tell of one that failed.
    let told = attempt.by_socket && case.log_kind() == Some(Kind::Send);
    let sending = told || attempt.send_error || attempt.send_blocked || attempt.socket.unsent > 0;
    let over = case.fin_at().is_some() || case.reset_at().is_some() || attempt.send_error;
    // On a pooled connection `received` counts earlier answers as well.
    let answered = attempt.socket.unread > 0 || (!attempt.reused && attempt.socket.received > 0);
    if !(case.awaiting() || told) || !sending || !over || !answered {
        return None;
    }
    let bytes =
        if attempt.socket.unread > 0 { u64::from(attempt.socket.unread) } else { attempt.socket.received };
    let finding = Finding::proven(format!(
        "{} answered ({bytes} bytes) and closed while nginx was still sending the request; nginx lost that response.",
        case.target()
    ));
    // What was received may have been an earlier answer, or a handshake.
    let sure = !told || attempt.socket.unread > 0;
    Some(if sure {
        finding
    } else {
        Finding { confidence: Confidence::Likely, ..finding }.or(&["stale-keepalive", "reset-by-backend"])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Attempt;
    use crate::testkit::{expect, line, reset_sent, reused_request, unanswered_request, verdict, with_reset};

    #[test]
    fn an_unread_answer_and_a_failed_send() {
        let mut attempt = with_reset(unanswered_request(), 5);
        attempt.send_error = true;
        attempt.socket.received = 120;
        expect(&Case::of_attempt(&attempt), "request-rejected-early", Confidence::Proven);
    }

    #[test]
    fn where_nobody_watched_nginx_says_that_it_was_sending() {
        let line = line("writev() failed (104: Connection reset by peer) while sending request to upstream");
        let mut attempt = with_reset(unanswered_request(), 5);
        (attempt.by_socket, attempt.outstanding, attempt.socket.received) = (true, false, 120);
        let judged = |attempt: &Attempt| {
            let mut case = Case::of_attempt(attempt);
            (case.log, case.by_log) = (Some(&line), true);
            verdict(&case)
        };
        let (cause, confidence, rivals) = judged(&attempt);
        assert_eq!((cause, confidence), ("request-rejected-early", Confidence::Likely));
        assert!(rivals.contains(&"stale-keepalive") && rivals.contains(&"reset-by-backend"));
        attempt.socket.unread = 120;
        assert_eq!(judged(&attempt).1, Confidence::Proven);
    }

    #[test]
    fn an_answer_that_nginx_had_begun_to_read() {
        let mut attempt = with_reset(unanswered_request(), 5);
        (attempt.outstanding, attempt.bytes_received, attempt.recv_error) = (false, 40, true);
        assert_eq!(verdict(&Case::of_attempt(&attempt)).0, "reset-by-backend");
        let (unread, linger) = (reset_sent("TCP_ABORT_ON_CLOSE", None), reset_sent("TCP_STATE", None));
        let mut case = Case::of_attempt(&attempt);
        case.resets = vec![&unread];
        expect(&case, "request-rejected-early", Confidence::Proven);
        case.resets = vec![&linger];
        assert_eq!(verdict(&case).0, "reset-by-backend");
        attempt.socket.unsent = 9_000;
        expect(&Case::of_attempt(&attempt), "request-rejected-early", Confidence::Likely);
    }

    #[test]
    fn without_an_answer_it_is_a_reset() {
        let mut attempt = with_reset(unanswered_request(), 5);
        attempt.send_error = true;
        expect(&Case::of_attempt(&attempt), "reset-by-backend", Confidence::Likely);
    }

    #[test]
    fn bytes_of_an_earlier_answer_do_not_count() {
        let mut attempt = with_reset(reused_request(), 10_050);
        attempt.send_error = true;
        assert_eq!(judge(&Case::of_attempt(&attempt)), None);
        attempt.socket.unread = 120;
        expect(&Case::of_attempt(&attempt), "request-rejected-early", Confidence::Proven);
    }
}
