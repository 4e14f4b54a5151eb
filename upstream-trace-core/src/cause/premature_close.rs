//! The origin closed without answering.

use super::{Cause, Finding, Signal, backend_crashed};
use crate::case::Case;
use crate::errorlog::{Doing, Kind};
use crate::event::MS;

pub(super) const CAUSE: Cause = Cause {
    id: "premature-close",
    reason: Some(6),
    title: "the origin closed the connection without answering",
    means: "The origin took the connection and closed it in order, without one byte of a response: its worker \
            crashed or was killed after it had read the request, a timeout of the application fired (gunicorn \
            --timeout, php-fpm request_terminate_timeout), it refuses such clients, or it speaks another \
            protocol on that port (TLS, PROXY).",
    told_apart: "nginx sent the request, then the origin's FIN came, with no data before it. On a pooled \
                 connection, a FIN that came before the request or together with it is `stale-keepalive`; a RST \
                 is `reset-by-backend`; with part of \
                 a response it is `truncated-response`. If the origin's process was seen to die, it is \
                 `backend-crashed`; if it refused nginx's certificate, `tls-handshake-failed`.",
    fix: "The application's log and `journalctl -u SERVICE` at that time; `dmesg -T | grep -i 'killed process'` \
          for the OOM killer. If it always happens after the same time, it is a timeout of the application.",
    rivals: &[
        "stale-keepalive",
        "reset-by-backend",
        "truncated-response",
        "backend-crashed",
        "tls-handshake-failed",
    ],
    needs: &[Signal::Requests, Signal::Answers, Signal::UnixConnections, Signal::UnixEnds],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if backend_crashed::crash(case).is_some() {
        return None;
    }
    if let Some(summary) = by_words(case) {
        // Who served a unix socket is looked for once nginx was seen to use it.
        return Some(if case.unseen_on_unix() {
            Finding::likely(summary).or(&["backend-crashed"])
        } else {
            Finding::proven(summary)
        });
    }
    if case.only_frames_came() {
        return None;
    }
    let attempt = &case.attempt;
    let fin = case.fin_at()?;
    let unused = attempt.request.is_none() && attempt.requests == 0 && !attempt.adopted;
    if case.connecting()
        || case.in_tls_handshake()
        || case.connect.is_some()
        || attempt.bytes_received > 0
        || !(attempt.outstanding || unused)
    {
        return None;
    }
    if case.reset_at().is_some_and(|reset| reset < fin) || (case.reused() && attempt.sent_after_fin) {
        return None;
    }
    let target = case.target();
    if case.maybe_unused() && attempt.sent_after_fin {
        let summary = format!("{target} closed the connection before nginx sent the request.");
        return Some(Finding::possible(summary).or(&["stale-keepalive", "tls-handshake-failed"]));
    }
    let Some(sent) = attempt.request.filter(|sent| *sent <= fin) else {
        return Some(Finding::proven(format!(
            "{target} accepted the connection and closed it before any request."
        )));
    };
    let after = fin.saturating_sub(sent) / MS;
    let who = case.served_by();
    let summary =
        format!("{target}{who} closed the connection {after} ms after the request, without answering.");
    Some(if case.reused() && (attempt.unacked_at_end || case.maybe_unused()) {
        Finding::likely(summary).or(&["stale-keepalive"])
    } else if case.alert() == Some(None) && attempt.requests == 1 {
        // Whether it said goodbye or refused nginx's certificate is encrypted.
        Finding::possible(summary).or(&["tls-handshake-failed"])
    } else {
        Finding::proven(summary)
    })
}

/// The kernel does not know TLS, nor how long a header is.
fn by_words(case: &Case<'_>) -> Option<String> {
    let target = case.target();
    if case.tls_cut() == Some(false) {
        return Some(format!("{target} closed the connection during the TLS handshake."));
    }
    let in_header = case.log_kind_alone()? == Kind::Closed && case.log_doing() != Some(Doing::Body);
    in_header.then(|| format!("{target} closed the connection before its response header was complete."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::BenignEnd;
    use crate::event::Step;
    use crate::testkit::{expect, line, moment, unanswered_request, verdict, with_fin, with_reset};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn a_fin_in_place_of_an_answer() {
        let attempt = with_fin(unanswered_request(), 500);
        let case = Case::of_attempt(&attempt);
        expect(&case, "premature-close", Confidence::Proven);
        assert_eq!(case.status(), Some(502));
        assert!(judge(&case).expect("found").summary.contains("499 ms"));
    }

    #[test]
    fn a_fin_before_any_request() {
        let mut attempt = with_fin(unanswered_request(), 2);
        (attempt.request, attempt.requests, attempt.outstanding, attempt.bytes_sent) = (None, 0, false, 0);
        assert_eq!(
            Case::of_attempt(&attempt).benign_end(),
            Some(BenignEnd::Answered),
            "nginx never learnt of it"
        );
        attempt.trail.push(moment(2, Step::Eof));
        let case = Case::of_attempt(&attempt);
        assert_eq!(case.benign_end(), None);
        expect(&case, "premature-close", Confidence::Proven);
    }

    #[test]
    fn nginx_knows_of_tls_and_of_headers() {
        for (message, phase) in [
            ("peer closed connection in SSL handshake while SSL handshaking to upstream", Phase::Tls),
            (
                "upstream prematurely closed connection while reading response header from upstream",
                Phase::Receive,
            ),
        ] {
            let line = line(message);
            let case = Case::of_line(&line, crate::testkit::id(1));
            expect(&case, "premature-close", Confidence::Likely);
            assert_eq!((case.phase(), case.status()), (phase, Some(502)));
        }
    }

    #[test]
    fn over_a_unix_socket_that_nobody_watched_it_may_have_crashed() {
        let mut line =
            line("upstream prematurely closed connection while reading response header from upstream");
        line.upstream = Some("http://unix:/run/app.sock:/".to_owned());
        let mut case = Case::of_line(&line, crate::testkit::id(1));
        assert_eq!(verdict(&case), ("premature-close", Confidence::Likely, vec![]));
        case.sampled = true;
        assert_eq!(verdict(&case), ("premature-close", Confidence::Likely, vec!["backend-crashed"]));
    }

    #[test]
    fn a_reset_is_another_cause_and_an_answer_none() {
        assert_eq!(judge(&Case::of_attempt(&with_reset(unanswered_request(), 500))), None);
        let mut attempt = with_fin(unanswered_request(), 500);
        attempt.bytes_received = 1;
        assert_eq!(judge(&Case::of_attempt(&attempt)), None);
    }
}
