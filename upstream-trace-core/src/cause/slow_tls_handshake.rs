//! The TLS handshake took too long.

use super::{Cause, Finding, NginxTimer, Signal};
use crate::case::Case;
use crate::errorlog::{Doing, Kind};
use crate::event::MS;

pub(super) const CAUSE: Cause = Cause {
    id: "slow-tls-handshake",
    reason: Some(5),
    title: "the TLS handshake with the origin did not finish in time",
    means: "The connection was established, nginx started the TLS handshake, and the origin did not finish it \
            within proxy_connect_timeout: the service on that port does not speak TLS and waits for something \
            else, or it is too busy for the handshake.",
    told_apart: "nginx started a TLS handshake (its first bytes show that, and its log line) and sent no \
                 request. If what nginx sent was never acknowledged, the path is to blame (`path-lost`); if the \
                 connection was never accepted, `not-accepted`. An alert or a bad certificate is \
                 `tls-handshake-failed`.",
    fix: "Try `openssl s_client -connect ADDRESS:PORT`. If it hangs as well, the port does not speak TLS (use \
          `http://`) or the service is overloaded; the timeout is `proxy_connect_timeout`.",
    rivals: &["path-lost", "not-accepted", "tls-handshake-failed"],
    needs: &[Signal::Requests, Signal::Answers],
    by_nginx_timer: NginxTimer::WholeSeconds,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    // Bytes that never arrived are the path's.
    let stands = case.log_kind().is_none() && case.pending() && case.in_tls_handshake() && case.overdue();
    let gave_up = match case.log_kind() {
        Some(said) => said == Kind::TimedOut(Doing::Tls),
        None => case.timed_out_in_handshake(),
    };
    if !(gave_up || stands) || !case.request_acked() {
        return None;
    }
    if stands {
        let ms = case.duration() / MS;
        let summary = format!("{} has not answered the TLS handshake for {ms} ms so far.", case.target());
        return Some(Finding::likely(summary).or(&["not-accepted"]));
    }
    let summary = format!("{} did not finish the TLS handshake in time; nginx gave up.", case.target());
    let unread = case.listener().is_some_and(|listener| listener.queue > 0);
    Some(if unread { Finding::likely(summary).or(&["not-accepted"]) } else { Finding::proven(summary) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Ended;
    use crate::testkit::{expect, line, unanswered_request};
    use crate::verdict::{Confidence, Phase};

    const SAYS: &str = "upstream timed out (110: Connection timed out) while SSL handshaking to upstream";

    #[test]
    fn nginx_says_that_it_was_in_the_handshake() {
        let (line, attempt) = (line(SAYS), unanswered_request());
        let alone = Case::of_line(&line, crate::testkit::id(1));
        let mut joined = Case::of_attempt(&attempt);
        joined.log = Some(&line);
        for (case, sure) in [(alone, Confidence::Likely), (joined, Confidence::Proven)] {
            expect(&case, "slow-tls-handshake", sure);
            assert_eq!((case.phase(), case.status()), (Phase::Tls, Some(504)));
        }
    }

    #[test]
    fn the_bytes_say_that_it_was_in_the_handshake() {
        let mut attempt = unanswered_request();
        (attempt.tls, attempt.tls_handshake, attempt.requests) = (true, true, 0);
        let case = Case::of_attempt(&attempt);
        expect(&case, "slow-tls-handshake", Confidence::Proven);
        assert_eq!((case.phase(), case.status()), (Phase::Tls, Some(504)));
        attempt.ended = Ended::Open;
        let case = Case::of_attempt(&attempt);
        expect(&case, "slow-tls-handshake", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Tls, None));
    }

    #[test]
    fn what_was_never_acknowledged_is_the_path() {
        let (line, mut attempt) = (line(SAYS), unanswered_request());
        (attempt.socket.unacked, attempt.retransmits) = (200, 3);
        let mut case = Case::of_attempt(&attempt);
        case.log = Some(&line);
        expect(&case, "path-lost", Confidence::Likely);
    }
}
