//! The answer began and stalled.

use super::{Cause, Finding, NginxTimer, Signal, limit, misconfigured};
use crate::case::Case;
use crate::errorlog::{Doing, Kind};
use crate::event::MS;
use crate::verdict::Confidence;

pub(super) const CAUSE: Cause = Cause {
    id: "slow-body",
    reason: Some(5),
    title: "the response started and then stalled",
    means: "The origin sent part of its response and then nothing until nginx's read timeout. nginx cut the \
            client off: it has a status and a truncated body.",
    told_apart: "nginx had read everything that arrived, closed first after a silence, and cut the client off. \
                 A normal end follows right after the last bytes; a client that reads too slowly leaves unread \
                 bytes on the connection (`slow-client`). Without any byte of a response it is `slow-response`; \
                 a response cut by the origin is `truncated-response` or `reset-by-backend`.",
    fix: "Find what pauses in the middle of a response in the application (streaming, a slow query). \
          `proxy_read_timeout` applies between two reads: raise it only if such pauses are intended.",
    rivals: &["slow-client", "slow-response", "truncated-response", "reset-by-backend"],
    needs: &[Signal::Requests, Signal::Answers, Signal::UnixConnections, Signal::UnixEnds],
    by_nginx_timer: NginxTimer::Unsure,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let attempt = &case.attempt;
    if misconfigured::crossed_pool(case) {
        return None;
    }
    match case.log_kind_alone() {
        Some(Kind::TimedOut(Doing::Header)) if !case.answer_began() && !case.answer_by_socket() => {
            return None;
        }
        Some(Kind::TimedOut(doing @ (Doing::Body | Doing::Header))) => return by_words(case, doing),
        _ => {}
    }
    let no_header = case.log_kind() == Some(Kind::TimedOut(Doing::Header)) && case.maybe_ticket();
    if case.in_tls_handshake()
        || no_header
        || !attempt.client_cut
        || attempt.bytes_received == 0
        || !case.stalled()
        || case.reset_at().is_some()
    {
        return None;
    }
    let last = attempt.last_recv.or(attempt.answer)?;
    let fix = format!(
        "Find what pauses in the middle of a response in the application{} (streaming, a slow query). {} applies between \
         two reads: raise it only if such pauses are intended.",
        case.served_by(),
        limit::timeout(case, "`proxy_read_timeout`"),
    );
    let finding = Finding::likely(format!(
        "{} sent {} bytes of its response and then nothing for {} ms; nginx cut the client off.",
        case.target(),
        attempt.bytes_received,
        attempt.seen.saturating_sub(last) / MS
    ));
    let finding = finding.fix(fix);
    Some(if case.maybe_ticket() {
        Finding { confidence: Confidence::Possible, ..finding }.or(&["slow-response"])
    } else {
        finding
    })
}

/// nginx says that its timer ran out, and bytes of an answer came.
fn by_words(case: &Case<'_>, doing: Doing) -> Option<Finding> {
    let what = if doing == Doing::Body { "response" } else { "header" };
    let summary = format!(
        "{} started its {what} and then sent nothing more until nginx's read timeout.",
        case.target()
    );
    // Where nobody watched what came, the socket says that something did; before the header was complete, that may have
    // been an earlier answer, or a handshake.
    if case.header_timeout_over_tls() {
        return None;
    }
    if case.answer_by_socket() {
        let sure = doing == Doing::Body || (!case.reused() && case.speaks_tls() == Some(false));
        return Some(if sure {
            Finding::likely(summary)
        } else {
            Finding::possible(summary).or(&["slow-response"])
        });
    }
    (case.line_only || case.attempt.bytes_received > 0).then(|| Finding::likely(summary))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::BenignEnd;
    use crate::event::Attempt;
    use crate::testkit::{BEGUN, expect, line, unanswered_request};
    use crate::verdict::Phase;

    fn stalled() -> Attempt {
        let mut attempt = unanswered_request();
        (attempt.outstanding, attempt.bytes_received, attempt.client_cut) = (false, 900, true);
        attempt.answer = Some(BEGUN + 5 * MS);
        attempt.last_recv = Some(BEGUN + 9 * MS);
        attempt
    }

    #[test]
    fn silence_in_the_middle_of_an_answer() {
        let attempt = stalled();
        let case = Case::of_attempt(&attempt);
        assert_eq!((case.benign_end(), case.status()), (None, None));
        expect(&case, "slow-body", Confidence::Likely);
    }

    #[test]
    fn where_nobody_watched_the_line_and_the_socket_tell() {
        let mut attempt = Attempt { by_socket: true, outstanding: false, ..unanswered_request() };
        attempt.socket.received = 900;
        for (doing, expected) in [
            ("reading upstream", Confidence::Likely),
            ("reading response header from upstream", Confidence::Possible),
        ] {
            let line = line(&format!("upstream timed out (110: Connection timed out) while {doing}"));
            let mut case = Case::of_attempt(&attempt);
            (case.log, case.by_log) = (Some(&line), true);
            expect(&case, "slow-body", expected);
        }
    }

    #[test]
    fn what_may_have_been_a_session_ticket_is_no_sure_answer() {
        let mut attempt = stalled();
        attempt.tls = true;
        let mut case = Case::of_attempt(&attempt);
        expect(&case, "slow-body", Confidence::Possible);
        let line = line(
            "upstream timed out (110: Connection timed out) while reading response header from upstream",
        );
        case.log = Some(&line);
        expect(&case, "slow-response", Confidence::Likely);
        assert_eq!(case.status(), Some(504));
    }

    #[test]
    fn nginx_says_that_its_timer_ran_out() {
        let line = line("upstream timed out (110: Connection timed out) while reading upstream");
        let mut case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "slow-body", Confidence::Likely);
        assert_eq!((case.phase(), case.status(), case.errno()), (Phase::Receive, None, None));
        case.lossy = true;
        assert!(judge(&case).is_some());
    }

    #[test]
    fn half_a_header_is_a_body_that_stalled_only_if_it_was_seen() {
        let line = line(
            "upstream timed out (110: Connection timed out) while reading response header from upstream",
        );
        let attempt = stalled();
        let mut case = Case::of_attempt(&attempt);
        (case.log, case.by_log) = (Some(&line), true);
        expect(&case, "slow-body", Confidence::Likely);
        let attempt = Attempt { by_socket: true, ..stalled() };
        let mut case = Case::of_attempt(&attempt);
        (case.log, case.by_log) = (Some(&line), true);
        assert_eq!(crate::testkit::verdict(&case).0, "slow-response");
    }

    #[test]
    fn an_ordinary_end_is_no_failure() {
        let mut attempt = stalled();
        attempt.last_recv = Some(attempt.seen - MS);
        assert_eq!(Case::of_attempt(&attempt).benign_end(), Some(BenignEnd::Answered));
    }
}
