//! The TLS handshake, as far as the kinds of its records tell.

use super::Case;
use crate::event::MS;
use crate::event::Step;

impl Case<'_> {
    /// Connected, and the TLS handshake had begun and was not over.
    #[must_use]
    pub fn in_tls_handshake(&self) -> bool {
        self.connect.is_none() && self.attempt.handshaking()
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
