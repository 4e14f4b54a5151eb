//! The TLS handshake was refused.

use super::{Cause, Finding, Sight};
use crate::case::Case;
use crate::log::Kind;

pub(super) const CAUSE: Cause = Cause {
    id: "tls-handshake-failed",
    reason: Some(6),
    title: "the TLS handshake with the origin failed",
    means: "nginx and the origin did not agree on TLS: the origin sent an alert (no certificate for that name, no \
            common protocol or cipher, a client certificate wanted), or nginx refused the certificate of the origin \
            (unknown issuer, expired, another name).",
    told_apart: "nginx says itself what failed. A handshake that the origin leaves unanswered is `slow-tls- \
                 handshake`, one that it cuts off `premature-close` or `reset-by-backend`; plain text in place of \
                 TLS is `invalid-response`.",
    fix: "Alert 40 or 112: `proxy_ssl_server_name on; proxy_ssl_name NAME;`. Certificate: \
          `proxy_ssl_trusted_certificate`, and `proxy_ssl_name` for the name in it. Try it with `openssl s_client \
          -connect ADDRESS:PORT -servername NAME`.",
    rests_on: &[Sight::Answers],
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.said()? != Kind::Tls {
        return None;
    }
    let (target, words) = (case.target(), case.words());
    let fix = if words.contains("does not match") {
        Some("Set `proxy_ssl_name` to a name that the certificate of the origin holds.")
    } else if words.contains("certificate verify error") {
        Some(
            "Give nginx the issuer of that certificate (`proxy_ssl_trusted_certificate`), or renew the certificate.",
        )
    } else if words.contains("alert number 40") || words.contains("alert number 112") {
        Some(
            "Send the name: `proxy_ssl_server_name on; proxy_ssl_name NAME;`. If it is sent, compare protocols and ciphers.",
        )
    } else {
        None
    };
    let finding = Finding::proven(format!("The TLS handshake with {target} failed: {words}."));
    Some(match fix {
        Some(fix) => finding.fix(fix),
        None => finding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn nginx_says_so() {
        let line = line(
            "SSL_do_handshake() failed (SSL: error:1:alert handshake failure:SSL alert number 40) while SSL handshaking to upstream",
        );
        let case = Case::of_line(&line, 1);
        expect(&case, "tls-handshake-failed", Confidence::Proven);
        assert_eq!((case.phase(), case.status()), (Phase::Tls, Some(502)));
        assert!(judge(&case).and_then(|found| found.fix).is_some_and(|fix| fix.contains("server_name")));
    }
}
