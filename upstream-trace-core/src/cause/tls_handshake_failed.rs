//! The TLS handshake was refused.

use super::{Cause, Finding, Signal};
use crate::case::{Case, alert_name};
use crate::errorlog::Kind;

pub(super) const CAUSE: Cause = Cause {
    id: "tls-handshake-failed",
    reason: Some(6),
    title: "the TLS handshake with the origin failed",
    means: "nginx and the origin did not agree on TLS: the origin sent an alert (no certificate for that name, \
            no common protocol or cipher, a client certificate required), or nginx refused the origin's \
            certificate (unknown issuer, expired, another name).",
    told_apart: "nginx logs what failed, and alerts of the origin are seen before they are encrypted. A \
                 handshake without any answer is `slow-tls-handshake`, one that the origin cuts off \
                 `premature-close` or `reset-by-backend`; plain text instead of TLS is `invalid-response`.",
    fix: "Alert 40 or 112: `proxy_ssl_server_name on; proxy_ssl_name NAME;`. Certificate: \
          `proxy_ssl_trusted_certificate`, and `proxy_ssl_name` for the name in it. Test with `openssl s_client \
          -connect ADDRESS:PORT -servername NAME`.",
    rivals: &["slow-tls-handshake", "premature-close", "reset-by-backend", "invalid-response"],
    needs: &[Signal::Answers],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    match case.log_kind() {
        Some(Kind::Tls) => Some(by_words(case)),
        Some(_) => None,
        None => by_alert(case),
    }
}

/// The alerts of the handshake are seen without nginx's words.
fn by_alert(case: &Case<'_>) -> Option<Finding> {
    let target = case.target();
    if !case.in_tls_handshake() {
        return None;
    }
    if let Some(alert) = case.alert() {
        let name = alert.map_or_else(|| "encrypted".to_owned(), named);
        let finding = Finding::proven(format!("{target} refused the TLS handshake with an alert: {name}."));
        return Some(match alert.and_then(fix_of) {
            Some(fix) => finding.fix(fix),
            None => finding,
        });
    }
    let summary = match case.nginx_alert()? {
        Some(0) | None => format!(
            "nginx ended the TLS handshake with {target} itself: it could not verify the certificate."
        ),
        Some(alert) => {
            format!("nginx refused the TLS handshake of {target} with an alert: {}.", named(alert))
        }
    };
    Some(Finding::likely(summary).fix(
        "nginx's error.log shows what it refused: a certificate (`proxy_ssl_trusted_certificate`, \
         `proxy_ssl_name`), a protocol or a cipher (`proxy_ssl_protocols`, `proxy_ssl_ciphers`).",
    ))
}

fn named(alert: u8) -> String {
    format!("{} ({alert})", alert_name(alert))
}

fn fix_of(alert: u8) -> Option<&'static str> {
    Some(match alert {
        40 | 112 => {
            "Send the name: `proxy_ssl_server_name on; proxy_ssl_name NAME;`. If it is sent, compare protocols and ciphers."
        }
        70 | 71 | 86 => "Compare `proxy_ssl_protocols` and `proxy_ssl_ciphers` with what the origin allows.",
        41 | 42 | 43 | 44 | 45 | 46 | 48 | 49 | 116 => {
            "The origin requires a client certificate that it can verify: `proxy_ssl_certificate`, `proxy_ssl_certificate_key`."
        }
        _ => return None,
    })
}

/// The number of the alert in the words of OpenSSL.
fn alert_in(words: &str) -> Option<u8> {
    let (_, number) = words.split_once("alert number ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn by_words(case: &Case<'_>) -> Finding {
    let (target, words) = (case.target(), case.log_words());
    let fix = if words.contains("does not match") {
        Some("Set `proxy_ssl_name` to a name in the origin's certificate.")
    } else if words.contains("CRL") {
        Some(
            "nginx checks revocation (`proxy_ssl_crl`): that file needs a list of each issuer of the chain, in date: \
             `openssl crl -in FILE -noout -issuer -nextupdate`.",
        )
    } else if words.contains("revoked") {
        Some("The origin's certificate was revoked: give the origin a new one.")
    } else if words.contains("certificate verify error") {
        Some(
            "Give nginx the issuer of that certificate (`proxy_ssl_trusted_certificate`), or renew the certificate.",
        )
    } else {
        alert_in(&words).and_then(fix_of)
    };
    let alert = alert_in(&words).or_else(|| case.alert().flatten());
    let alert = alert.map(|alert| format!(" (TLS alert: {})", named(alert))).unwrap_or_default();
    let finding = Finding::proven(format!("The TLS handshake with {target} failed{alert}: {words}."));
    match fix {
        Some(fix) => finding.fix(fix),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Step;
    use crate::testkit::{expect, line, moment, unanswered_request, with_fin};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn alerts_are_seen() {
        let mut attempt = with_fin(unanswered_request(), 5);
        (attempt.tls, attempt.tls_handshake, attempt.outstanding, attempt.bytes_received) =
            (true, true, false, 7);
        attempt.trail.push(moment(2, Step::TlsAlert { alert: Some(112) }));
        let case = Case::of_attempt(&attempt);
        expect(&case, "tls-handshake-failed", Confidence::Proven);
        assert_eq!((case.phase(), case.status()), (Phase::Tls, Some(502)));
        let found = judge(&case).expect("found");
        assert!(found.summary.contains("unrecognized name (112)"), "{}", found.summary);
        assert!(found.fix.is_some_and(|fix| fix.contains("proxy_ssl_server_name")));
    }

    #[test]
    fn a_missing_revocation_list_is_no_untrusted_issuer() {
        for (words, fix) in [
            ("(3:unable to get certificate CRL)", "proxy_ssl_crl"),
            ("(12:CRL has expired)", "proxy_ssl_crl"),
            ("(23:certificate revoked)", "a new one"),
            ("(20:unable to get local issuer certificate)", "proxy_ssl_trusted_certificate"),
        ] {
            let line = line(&format!(
                "upstream SSL certificate verify error: {words} while SSL handshaking to upstream"
            ));
            let found = judge(&Case::of_line(&line, crate::testkit::id(1))).expect("found");
            assert!(found.fix.is_some_and(|said| said.contains(fix)), "{words}");
        }
    }

    #[test]
    fn nginx_ends_what_it_does_not_trust() {
        let mut attempt = unanswered_request();
        (attempt.tls, attempt.tls_handshake, attempt.outstanding, attempt.bytes_received) =
            (true, true, false, 900);
        attempt.seen = attempt.begun + 5_000_000;
        attempt.trail.push(moment(4, Step::TlsRefused { alert: None }));
        let case = Case::of_attempt(&attempt);
        expect(&case, "tls-handshake-failed", Confidence::Likely);
        assert_eq!(case.status(), Some(502));
    }

    #[test]
    fn nginx_says_so() {
        let line = line(
            "SSL_do_handshake() failed (SSL: error:1:alert handshake failure:SSL alert number 40) while SSL handshaking to upstream",
        );
        let case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "tls-handshake-failed", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Tls, Some(502)));
        assert!(judge(&case).and_then(|found| found.fix).is_some_and(|fix| fix.contains("server_name")));
    }
}
