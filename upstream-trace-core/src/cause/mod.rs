//! Causes of failed attempts: one file each, and one line each in [`CAUSES`].
//!
//! To add a cause, add its file and its line. The explanation that `explain` prints, the reason in the output, the facts
//! that the engine asks for and the recogniser are all in that file. Ids are a contract: see [`CONTRACT`].

mod accept_queue_full;
mod address_unavailable;
mod backend_crashed;
mod category;
mod connect_denied;
mod connect_slow;
mod conntrack_full;
mod container;
mod declaration;
mod dns_failure;
mod dns_timeout;
mod fd_limit;
mod finding;
mod firewall_drop_local;
mod firewall_drop_remote;
mod firewall_reject_local;
mod firewall_reject_remote;
mod header_too_big;
mod icmp_unreachable;
mod idle_tunnel;
mod invalid_response;
mod kernel_drop_local;
mod limit;
mod listener_closed;
mod misconfigured;
mod nat_failed;
mod neighbour_unreachable;
mod no_live_upstreams;
mod no_route;
mod not_accepted;
mod not_reading;
mod path_lost;
mod port_refused;
mod ports_exhausted;
mod premature_close;
mod process;
mod request_rejected_early;
mod reset_by_backend;
mod rule;
mod slow_body;
mod slow_client;
mod slow_response;
mod slow_tls_handshake;
mod socket_missing;
mod socket_refused;
mod stale_keepalive;
mod temp_file_failed;
mod tls_handshake_failed;
mod truncated_response;
mod unknown;
mod upstream_error_status;
mod worker_connections;
mod worker_stalled;

use crate::case::Case;
use crate::hooks::Hook;
use crate::verdict::Confidence;

pub use crate::hooks::Signal;
pub use category::category;
pub use declaration::{Cause, NginxTimer, PeerFailure};
pub use finding::Finding;

/// All causes. If several are found with the same confidence, the first one in this list is the verdict: what rules the
/// others out stands before them.
pub const CAUSES: &[Cause] = &[
    // The origin's own status: then there was no failure between nginx and the origin to explain.
    upstream_error_status::CAUSE,
    // Only nginx knows these and logs them. Either nothing was sent (limits, ejected peers, names), or the kernel saw a
    // healthy exchange, from which the causes below would conclude something else.
    fd_limit::CAUSE,
    worker_connections::CAUSE,
    no_live_upstreams::CAUSE,
    dns_failure::CAUSE,
    dns_timeout::CAUSE, // After the failure: a response of any kind rules a silence out.
    header_too_big::CAUSE,
    temp_file_failed::CAUSE, // Before all that a cut response looks like.
    invalid_response::CAUSE, // Before TLS: plain text is no failed handshake.
    tls_handshake_failed::CAUSE,
    slow_tls_handshake::CAUSE,
    truncated_response::CAUSE,
    idle_tunnel::CAUSE,
    // errno of connect() itself: no packet was sent, so that no cause below applies.
    socket_missing::CAUSE,
    socket_refused::CAUSE,
    ports_exhausted::CAUSE, // Before the address: the same errno, and this one has seen more.
    address_unavailable::CAUSE,
    misconfigured::CAUSE,
    no_route::CAUSE, // Before the policy: the routing table explains EACCES as well.
    connect_denied::CAUSE,
    // This kernel dropped the packet. Nothing that a remote host did can then be the reason. The narrow ones come first:
    // a full table and a failed translation are netfilter drops too, and a rule that also answers is a reject.
    conntrack_full::CAUSE,
    nat_failed::CAUSE,
    firewall_reject_local::CAUSE,
    firewall_drop_local::CAUSE,
    kernel_drop_local::CAUSE,
    neighbour_unreachable::CAUSE,
    // Something came back while connecting: ICMP says who refuses, then the accept queue, then a plain RST.
    firewall_reject_remote::CAUSE,
    icmp_unreachable::CAUSE,
    accept_queue_full::CAUSE,
    port_refused::CAUSE,
    // Nothing came back in time. A late SYN-ACK rules a dropped one out.
    connect_slow::CAUSE,
    firewall_drop_remote::CAUSE,
    // The origin ended an established connection: first what explains why, then how it looked.
    stale_keepalive::CAUSE,
    backend_crashed::CAUSE,
    listener_closed::CAUSE,
    slow_client::CAUSE,
    request_rejected_early::CAUSE,
    not_reading::CAUSE,
    premature_close::CAUSE,
    reset_by_backend::CAUSE,
    // Nobody ended it, nginx gave up. The path, then who had the request and when.
    path_lost::CAUSE,
    worker_stalled::CAUSE,
    not_accepted::CAUSE,
    slow_response::CAUSE,
    slow_body::CAUSE,
    // Fits always.
    unknown::CAUSE,
];

/// Every id that a verdict or its alternatives may name, with the number of its reason. Scripts build on them: only
/// ever added to.
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

/// The cause with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Cause> {
    CAUSES.iter().find(|cause| cause.id == id)
}

/// Causes that are not found, or less sure, without a hook; `None` if that goes for all of them.
#[must_use]
pub fn without(hook: &Hook) -> Option<Vec<&'static str>> {
    if hook.provides.iter().any(|signal| signal.for_all()) {
        return None;
    }
    let touched = CAUSES.iter().filter(|cause| cause.needs.iter().any(|need| hook.provides.contains(need)));
    Some(touched.map(|cause| cause.id).collect())
}

/// The cause of a failed attempt, or of one in trouble: the surest finding; among equals the first of [`CAUSES`].
///
/// # Panics
/// Never: `unknown` always finds itself.
#[must_use]
pub fn judge(case: &Case<'_>) -> (&'static Cause, Finding) {
    let findings: Vec<_> =
        CAUSES.iter().filter_map(|cause| (cause.judge)(case).map(|finding| (cause, finding))).collect();
    let surest =
        findings.iter().map(|(_, finding)| finding.confidence).max().expect("unknown always finds itself");
    let rivals: Vec<_> =
        findings.iter().filter(|(_, rival)| rival.confidence == surest).map(|(cause, _)| cause.id).collect();
    let (winner, mut finding) = findings
        .into_iter()
        .find(|(_, finding)| finding.confidence == surest)
        .expect("the surest is one of them");
    if surest != Confidence::Proven {
        for id in rivals {
            if id != winner.id && id != unknown::ID && !finding.alternatives.contains(&id) {
                finding.alternatives.push(id);
            }
        }
    }
    if case.lossy && finding.confidence == Confidence::Proven {
        finding.confidence = Confidence::Likely;
    }
    if case.rests_on_line() {
        on_line_alone(case, winner, &mut finding);
    }
    if case.attempt.in_doubt && case.log.is_none() {
        // Whether a request was under way at all is in doubt.
        finding.confidence = Confidence::Possible;
    }
    (winner, finding)
}

/// Whoever can write to the log can write such a line: an application whose words nginx logs, within its record, and a client
/// whose words begin a line of an access log that goes there.
fn on_line_alone(case: &Case<'_>, winner: &Cause, finding: &mut Finding) {
    let doubtful = case.log.is_some_and(|line| line.doubtful);
    finding.confidence =
        finding.confidence.min(if doubtful { Confidence::Possible } else { Confidence::Likely });
    finding.summary.push_str(if doubtful {
        " Only a line of error.log says so, and it may be what an application wrote there, or a client."
    } else {
        " Only error.log says so."
    });
    if doubtful && finding.alternatives.is_empty() {
        finding.alternatives.extend(winner.rivals);
    }
}

#[cfg(test)]
mod tests;
