//! What came is no valid answer.

use super::{Cause, Finding, Signal, misconfigured};
use crate::case::Case;
use crate::errorlog::{Doing, Kind};
use crate::text::sentence;

pub(super) const CAUSE: Cause = Cause {
    id: "invalid-response",
    reason: Some(6),
    title: "the origin sent something that is not a valid response of that protocol",
    means: "nginx could not parse what the origin sent: a malformed header, two lengths at once, a bad chunk, \
            or another protocol on that port (plain HTTP where TLS is expected, HTTP where FastCGI or HTTP/2 \
            is). nginx discards the response.",
    told_apart: "nginx logs what it refused; a plain-text answer to a TLS handshake is seen as well. A \
                 connection that ends without a response is `premature-close`; a refused TLS handshake is \
                 `tls-handshake-failed`; a valid header that is too long is `header-too-big`.",
    fix: "Compare scheme and port of `proxy_pass`, `fastcgi_pass` or `grpc_pass` with what the service speaks: \
          `curl -v`, `openssl s_client -connect`. If the protocol is right, fix the response in the \
          application; newer nginx refuses what older versions accepted.",
    rivals: &["premature-close", "tls-handshake-failed", "header-too-big"],
    needs: &[Signal::Answers],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let (target, words) = (case.target(), case.log_words());
    if case.fin_at().is_some() && case.only_frames_came() {
        return Some(frames(case));
    }
    let foreign = case.non_tls_prefix();
    if case.log_kind().is_none() && foreign.is_none()
        || case.log_kind().is_some_and(|said| said != Kind::Invalid)
        || misconfigured::crossed_pool(case)
    {
        return None;
    }
    if case.log_doing() == Some(Doing::Tls) || foreign.is_some() {
        let begins =
            foreign.map(|bytes| format!(": it starts with \"{}\"", sentence(bytes))).unwrap_or_default();
        let summary = format!("{target} answered the TLS handshake with something that is not TLS{begins}.");
        return Some(Finding::proven(summary).fix(format!(
            "Use `http://` in `proxy_pass`, or the TLS port of the service: `openssl s_client -connect {}`.",
            case.target_word()
        )));
    }
    let finding = Finding::proven(format!("nginx refused what {target} sent: {words}."));
    if words.starts_with("SSL_read() failed") {
        return Some(finding.fix(
            "A TLS record was damaged or is none. Look for what touches the bytes between nginx and the origin (a \
             proxy, an inspecting firewall, a faulty network card), or for an origin that writes past its TLS library.",
        ));
    }
    // REFUSED_STREAM and ENHANCE_YOUR_CALM.
    let busy = words.starts_with("upstream rejected") || words.starts_with("upstream sent goaway");
    let busy = busy && ["error 7", "error 11"].iter().any(|code| words.ends_with(code));
    Some(if busy {
        finding.fix(
            "The origin refuses more streams than it can handle: add workers, or send it fewer requests.",
        )
    } else {
        finding
    })
}

/// What a server of HTTP/2 sends first, nginx takes for an answer of HTTP/0.9 where it speaks HTTP/1, and passes it on.
fn frames(case: &Case<'_>) -> Finding {
    let summary = format!(
        "{} sent frames of HTTP/2 and closed. Where nginx speaks HTTP/1 it passes them on as an answer without a header.",
        case.target()
    );
    Finding::possible(summary).or(&["premature-close"]).fix(
        "If the service speaks HTTP/2 only (gRPC), use `grpc_pass`, or `proxy_http_version 2` of newer nginx: \
         error.log then says \"upstream sent no valid HTTP/1.0 header\". If nginx speaks HTTP/2 there already, see the \
         application's log.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line, unanswered_request, with_fin};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn nginx_says_so() {
        for (message, phase, status) in [
            (
                "upstream sent invalid header: \"X\\x00\" while reading response header from upstream",
                Phase::Receive,
                Some(502),
            ),
            ("upstream sent invalid chunked response while reading upstream", Phase::Receive, None),
            (
                "SSL_read() failed (SSL: error:1:decryption failed or bad record mac) while reading upstream",
                Phase::Receive,
                None,
            ),
            (
                "SSL_do_handshake() failed (SSL: error:1:wrong version number) while SSL handshaking to upstream",
                Phase::Tls,
                Some(502),
            ),
        ] {
            let line = line(message);
            let case = Case::of_line(&line, crate::testkit::id(1));
            expect(&case, "invalid-response", Confidence::Likely);
            assert_eq!((case.phase(), case.status()), (phase, status), "{message}");
        }
    }

    #[test]
    fn plain_text_is_seen_where_tls_is_expected() {
        let mut attempt = unanswered_request();
        (attempt.tls, attempt.tls_handshake, attempt.outstanding, attempt.bytes_received) =
            (true, true, false, 30);
        attempt.non_tls_prefix = Some("HTTP/1.1 400 Bad".to_owned());
        let case = Case::of_attempt(&attempt);
        expect(&case, "invalid-response", Confidence::Proven);
        assert_eq!((case.phase(), case.status()), (Phase::Tls, Some(502)));
        assert!(judge(&case).is_some_and(|found| found.summary.contains("\"HTTP/1.1 400 Bad\"")));
    }

    #[test]
    fn frames_of_http2_are_not_a_close_without_answer() {
        let mut attempt = with_fin(unanswered_request(), 500);
        attempt.socket.received = 10;
        expect(&Case::of_attempt(&attempt), "invalid-response", Confidence::Possible);
        // nginx speaks HTTP/2 itself, and says what it missed.
        let line = line("upstream prematurely closed connection while reading response header from upstream");
        let mut case = Case::of_attempt(&attempt);
        case.log = Some(&line);
        expect(&case, "premature-close", Confidence::Proven);
        // The FIN alone.
        attempt.socket.received = 1;
        expect(&Case::of_attempt(&attempt), "premature-close", Confidence::Proven);
    }

    #[test]
    fn a_refused_stream_is_a_matter_of_load() {
        let line = line("upstream rejected request with error 7 while reading response header from upstream");
        let fix = judge(&Case::of_line(&line, crate::testkit::id(1))).and_then(|finding| finding.fix);
        assert!(fix.is_some_and(|fix| fix.contains("workers")));
    }
}
