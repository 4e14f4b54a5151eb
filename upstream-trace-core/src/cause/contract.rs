//! The ids and reasons that scripts build on.

/// Every id that a verdict or its alternatives may name, with the number of its reason. Only ever added to.
pub const CONTRACT: &[(&str, Option<u8>)] = &[
    ("accept-queue-full", Some(1)),
    ("not-accepted", Some(1)),
    ("not-reading", Some(1)),
    ("port-refused", Some(2)),
    ("socket-missing", Some(2)),
    ("socket-refused", Some(2)),
    ("backend-crashed", Some(2)),
    ("listener-closed", Some(2)),
    ("firewall-drop-local", Some(3)),
    ("firewall-reject-local", Some(3)),
    ("firewall-reject-remote", Some(3)),
    ("firewall-drop-remote", Some(3)),
    ("connect-denied", Some(3)),
    ("conntrack-full", Some(3)),
    ("nat-failed", Some(3)),
    ("kernel-drop-local", Some(4)),
    ("no-route", Some(4)),
    ("neighbour-unreachable", Some(4)),
    ("icmp-unreachable", Some(4)),
    ("path-lost", Some(4)),
    ("connect-slow", Some(4)),
    ("dns-failure", Some(4)),
    ("dns-timeout", Some(4)),
    ("slow-response", Some(5)),
    ("slow-body", Some(5)),
    ("stale-keepalive", Some(5)),
    ("idle-tunnel", Some(5)),
    ("slow-tls-handshake", Some(5)),
    ("slow-client", Some(5)),
    ("premature-close", Some(6)),
    ("reset-by-backend", Some(6)),
    ("truncated-response", Some(6)),
    ("request-rejected-early", Some(6)),
    ("header-too-big", Some(6)),
    ("invalid-response", Some(6)),
    ("tls-handshake-failed", Some(6)),
    ("upstream-error-status", Some(6)),
    ("ports-exhausted", Some(0)),
    ("address-unavailable", Some(0)),
    ("fd-limit", Some(0)),
    ("worker-connections", Some(0)),
    ("misconfigured", Some(0)),
    ("no-live-upstreams", Some(0)),
    ("temp-file-failed", Some(0)),
    ("worker-stalled", Some(0)),
    ("unknown", None),
];

/// Name of a reason in the output.
#[must_use]
pub fn category(reason: u8) -> Option<&'static str> {
    Some(match reason {
        0 => "proxy",
        1 => "overload",
        2 => "service-down",
        3 => "firewall",
        4 => "network",
        5 => "timeout",
        6 => "application",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_and_every_id_is_there_once() {
        for (index, (id, reason)) in CONTRACT.iter().enumerate() {
            assert!(reason.is_none_or(|reason| category(reason).is_some()), "{id}");
            assert!(CONTRACT[..index].iter().all(|(other, _)| other != id), "{id} twice");
        }
    }
}
