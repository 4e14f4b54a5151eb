//! The TLS handshake, as far as the kinds of its records tell.

use super::Case;
use crate::errorlog::{Doing, Kind};
use crate::event::{MS, Nanos, Step};

impl Case<'_> {
    /// Connected, and the TLS handshake had begun and was not over.
    #[must_use]
    pub fn in_tls_handshake(&self) -> bool {
        self.connect.is_none() && (self.attempt.handshaking() || self.nothing_came_over_tls())
    }

    /// Nobody watched what was sent and received, and nothing ever came on a connection that nginx speaks TLS on.
    fn nothing_came_over_tls(&self) -> bool {
        let attempt = &self.attempt;
        attempt.by_socket
            && attempt.outstanding
            && attempt.socket.received == 0
            && !self.connecting()
            && self.speaks_tls() == Some(true)
    }

    /// Nobody watched what was sent and received, and it may have been the TLS handshake that was not answered. nginx's
    /// line knows.
    #[must_use]
    pub fn maybe_handshake(&self) -> bool {
        let attempt = &self.attempt;
        let open = match self.speaks_tls() {
            // The first flight of the other side may have come, or all of it.
            Some(true) => attempt.socket.received > 0,
            Some(false) => false,
            // Nothing came at all: a request over TLS would follow a handshake.
            None => attempt.socket.received == 0,
        };
        attempt.by_socket && attempt.outstanding && open && self.tcp() && self.log_kind().is_none()
    }

    /// The connection had carried a request before. Of one that nobody watched, what came first over TLS was a handshake:
    /// a request that followed that at once was the first.
    #[must_use]
    pub fn reused(&self) -> bool {
        let attempt = &self.attempt;
        let handshake = 3 * Nanos::from(attempt.socket.srtt_us) * 1_000 + 100 * MS;
        let soon = |(established, sent): (Nanos, Nanos)| sent.saturating_sub(established) < handshake;
        let first = self.maybe_unused()
            && self.speaks_tls() == Some(true)
            && attempt.established.zip(attempt.request).is_some_and(soon);
        attempt.reused && !first
    }

    /// Nobody watched what was sent and received, and what came before may have been a TLS handshake alone.
    #[must_use]
    pub fn maybe_unused(&self) -> bool {
        let attempt = &self.attempt;
        attempt.by_socket && attempt.reused && attempt.requests <= 2 && self.speaks_tls() != Some(false)
    }

    /// nginx says that no header came, nobody watched, and the socket looks as if something had been answered: that may
    /// have been the handshake.
    #[must_use]
    pub fn header_timeout_over_tls(&self) -> bool {
        let attempt = &self.attempt;
        attempt.by_socket
            && !attempt.outstanding
            && self.log_kind() == Some(Kind::TimedOut(Doing::Header))
            && self.speaks_tls() == Some(true)
    }

    /// The upstream sent an alert: its number, unless it is encrypted.
    #[must_use]
    pub fn alert(&self) -> Option<Option<u8>> {
        self.attempt.trail.iter().rev().find_map(|moment| match moment.step {
            Step::TlsAlert { alert } => Some(alert),
            _ => None,
        })
    }

    /// nginx sent an alert: its number, unless it is encrypted.
    #[must_use]
    pub fn nginx_alert(&self) -> Option<Option<u8>> {
        self.attempt.trail.iter().rev().find_map(|moment| match moment.step {
            Step::TlsRefused { alert } => Some(alert),
            _ => None,
        })
    }

    /// nginx sent its `close_notify` before the other side had ended anything.
    #[must_use]
    pub fn nginx_closed_first(&self) -> bool {
        self.attempt.left_first()
    }

    /// What came in answer to the handshake and is no TLS.
    #[must_use]
    pub fn non_tls_prefix(&self) -> Option<&str> {
        self.attempt.non_tls_prefix.as_deref().filter(|_| self.in_tls_handshake())
    }

    /// The few bytes that came straight after the handshake may have been a session ticket, and no answer: they look
    /// alike.
    #[must_use]
    pub fn maybe_ticket(&self) -> bool {
        let attempt = &self.attempt;
        let soon = |(sent, came)| came < sent + 100 * MS;
        attempt.tls
            && attempt.requests == 1
            && (1..1_500).contains(&attempt.bytes_received)
            && attempt.request.zip(attempt.last_recv).is_some_and(soon)
    }

    /// The upstream closed or reset during the handshake, without having said why.
    #[must_use]
    pub fn handshake_cut(&self) -> bool {
        self.in_tls_handshake()
            && self.alert().is_none()
            && self.nginx_alert().is_none()
            && self.non_tls_prefix().is_none()
            && self.ended_by_origin().is_some()
    }
}

/// The name of a TLS alert (RFC 8446 and the older ones), for sentences and evidence.
#[must_use]
pub fn alert_name(alert: u8) -> &'static str {
    match alert {
        0 => "close notify",
        10 => "unexpected message",
        20 => "bad record mac",
        21 => "decryption failed",
        22 => "record overflow",
        30 => "decompression failure",
        40 => "handshake failure",
        41 => "no certificate",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        47 => "illegal parameter",
        48 => "unknown CA",
        49 => "access denied",
        50 => "decode error",
        51 => "decrypt error",
        70 => "protocol version",
        71 => "insufficient security",
        80 => "internal error",
        86 => "inappropriate fallback",
        90 => "user canceled",
        100 => "no renegotiation",
        109 => "missing extension",
        110 => "unsupported extension",
        112 => "unrecognized name",
        113 => "bad certificate status response",
        115 => "unknown PSK identity",
        116 => "certificate required",
        120 => "no application protocol",
        _ => "unknown alert",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attempt, Config};
    use crate::testkit::{BEGUN, config, line, reused_request, unanswered_request, verdict, with_fin};
    use crate::verdict::{Confidence, Phase};

    fn over_tls(tls: Option<bool>) -> Config {
        let mut read = config();
        read.passes.iter_mut().for_each(|pass| pass.tls = tls);
        read
    }

    fn case<'a>(attempt: &'a Attempt, read: Option<&'a Config>) -> Case<'a> {
        let mut case = Case::of_attempt(attempt);
        case.config = read;
        case
    }

    #[test]
    fn what_was_never_answered_over_tls_is_the_handshake() {
        let attempt = Attempt { by_socket: true, ..unanswered_request() };
        let (tls, plain) = (over_tls(Some(true)), over_tls(Some(false)));
        let says = |read| (verdict(&case(&attempt, read)), case(&attempt, read).phase());
        assert_eq!(says(Some(&tls)).0.0, "slow-tls-handshake");
        assert_eq!(says(Some(&tls)).1, Phase::Tls);
        assert_eq!(
            says(Some(&plain)),
            (("slow-response", Confidence::Likely, vec!["not-accepted"]), Phase::Wait)
        );
        let open = says(None).0;
        assert_eq!((open.0, open.2), ("slow-response", vec!["not-accepted", "slow-tls-handshake"]));
    }

    #[test]
    fn what_came_over_tls_may_have_been_the_handshake() {
        let mut attempt = Attempt { by_socket: true, outstanding: false, ..unanswered_request() };
        attempt.socket.received = 3_000;
        let text =
            "upstream timed out (110: Connection timed out) while reading response header from upstream";
        let (line, tls) = (line(text), over_tls(Some(true)));
        let mut case = case(&attempt, Some(&tls));
        (case.log, case.by_log) = (Some(&line), true);
        assert_eq!(verdict(&case), ("slow-response", Confidence::Possible, vec!["slow-body"]));
    }

    #[test]
    fn what_was_watched_needs_no_configuration() {
        let tls = over_tls(Some(true));
        assert!(!case(&unanswered_request(), Some(&tls)).in_tls_handshake());
    }

    #[test]
    fn a_handshake_is_no_request_that_came_before() {
        let (tls, plain) = (over_tls(Some(true)), over_tls(Some(false)));
        let mut attempt = Attempt { by_socket: true, ..reused_request() };
        assert!(case(&attempt, Some(&tls)).reused() && case(&attempt, None).maybe_unused());
        attempt.request = Some(BEGUN + 20 * MS);
        assert!(!case(&attempt, Some(&tls)).reused() && case(&attempt, Some(&plain)).reused());
        attempt.by_socket = false;
        assert!(case(&attempt, Some(&tls)).reused());
    }

    #[test]
    fn a_close_that_may_have_been_in_the_handshake_names_its_rivals() {
        let mut attempt = with_fin(Attempt { by_socket: true, ..reused_request() }, 10_001);
        attempt.unacked_at_end = true;
        let plain = over_tls(Some(false));
        assert_eq!(verdict(&case(&attempt, Some(&plain))).1, Confidence::Proven);
        // TLS, a request straight after what may have been the handshake, and the close had come before.
        let mut soon = attempt.clone();
        (soon.request, soon.fin, soon.sent_after_fin) = (Some(BEGUN + 20 * MS), Some(BEGUN + 19 * MS), true);
        let expected =
            ("premature-close", Confidence::Possible, vec!["stale-keepalive", "tls-handshake-failed"]);
        assert_eq!(verdict(&case(&soon, Some(&over_tls(Some(true))))), expected);
        let (cause, confidence, rivals) = verdict(&case(&attempt, None));
        assert_eq!((cause, confidence), ("premature-close", Confidence::Likely));
        assert_eq!(rivals, ["stale-keepalive"]);
    }
}
