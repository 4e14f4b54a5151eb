//! Causes of failed attempts: one file each, and one line each in [`CAUSES`].
//!
//! To add a cause, add its file and its line. The explanation that `explain` prints, the reason in the output and the
//! recogniser all stand in that file. Ids are a contract: see [`CONTRACT`].

mod accept_queue_full;
mod address_unavailable;
mod backend_crashed;
mod connect_denied;
mod connect_slow;
mod conntrack_full;
mod contract;
mod dns_failure;
mod dns_timeout;
mod fd_limit;
mod firewall_drop_local;
mod firewall_drop_remote;
mod firewall_reject_local;
mod firewall_reject_remote;
mod header_too_big;
mod icmp_unreachable;
mod idle_tunnel;
mod invalid_response;
mod limit;
mod misconfigured;
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
mod slow_response;
mod slow_tls_handshake;
mod socket_missing;
mod socket_refused;
mod stale_keepalive;
mod tls_handshake_failed;
mod truncated_response;
mod unknown;
mod upstream_error_status;
mod worker_connections;

use crate::case::Case;
use crate::verdict::Confidence;

pub use crate::event::Signal;
pub use contract::{CONTRACT, category};

/// A cause: what it means, and how it is recognised.
#[derive(Debug)]
pub struct Cause {
    /// Id in all output; never changes.
    pub id: &'static str,
    /// Number of the reason it belongs to; `None` for `unknown`.
    pub reason: Option<u8>,
    /// One line.
    pub title: &'static str,
    /// What it means.
    pub means: &'static str,
    /// What it is confused with, and how it is told apart.
    pub told_apart: &'static str,
    /// What to do, with commands.
    pub fix: &'static str,
    /// What of the kernel's doings it rests on: where that is not seen, it is not found, or less sure.
    pub needs: &'static [Signal],
    /// Looks at a case; `None` if this is not the cause.
    pub judge: fn(&Case<'_>) -> Option<Finding>,
}

/// What a recogniser found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How sure.
    pub confidence: Confidence,
    /// Causes that fit as well; ids of [`CONTRACT`].
    pub alternatives: Vec<&'static str>,
    /// One sentence: what happened.
    pub summary: String,
    /// What to do in this case; `None` if the cause's own text says it best.
    pub fix: Option<String>,
}

impl Finding {
    fn new(confidence: Confidence, summary: impl Into<String>) -> Self {
        Self { confidence, alternatives: Vec::new(), summary: summary.into(), fix: None }
    }

    /// The kernel saw the cause itself.
    pub(crate) fn proven(summary: impl Into<String>) -> Self {
        Self::new(Confidence::Proven, summary)
    }

    /// One explanation fits, rivals would have left other traces.
    pub(crate) fn likely(summary: impl Into<String>) -> Self {
        Self::new(Confidence::Likely, summary)
    }

    /// Rivals fit as well.
    pub(crate) fn possible(summary: impl Into<String>) -> Self {
        Self::new(Confidence::Possible, summary)
    }

    /// Names the rivals.
    #[must_use]
    pub(crate) fn or(mut self, alternatives: &[&'static str]) -> Self {
        self.alternatives.extend(alternatives);
        self
    }

    /// What to do in this case.
    #[must_use]
    pub(crate) fn fix(mut self, text: impl Into<String>) -> Self {
        self.fix = Some(text.into());
        self
    }
}

/// All causes. If several are found with the same confidence, the first one in this list is the verdict.
pub const CAUSES: &[Cause] = &[
    upstream_error_status::CAUSE,
    fd_limit::CAUSE,
    worker_connections::CAUSE,
    no_live_upstreams::CAUSE,
    dns_failure::CAUSE,
    dns_timeout::CAUSE,
    header_too_big::CAUSE,
    invalid_response::CAUSE,
    tls_handshake_failed::CAUSE,
    slow_tls_handshake::CAUSE,
    truncated_response::CAUSE,
    idle_tunnel::CAUSE,
    socket_missing::CAUSE,
    socket_refused::CAUSE,
    ports_exhausted::CAUSE,
    address_unavailable::CAUSE,
    misconfigured::CAUSE,
    no_route::CAUSE,
    connect_denied::CAUSE,
    conntrack_full::CAUSE,
    firewall_reject_local::CAUSE,
    firewall_drop_local::CAUSE,
    neighbour_unreachable::CAUSE,
    firewall_reject_remote::CAUSE,
    icmp_unreachable::CAUSE,
    accept_queue_full::CAUSE,
    port_refused::CAUSE,
    connect_slow::CAUSE,
    firewall_drop_remote::CAUSE,
    stale_keepalive::CAUSE,
    backend_crashed::CAUSE,
    request_rejected_early::CAUSE,
    not_reading::CAUSE,
    premature_close::CAUSE,
    reset_by_backend::CAUSE,
    path_lost::CAUSE,
    not_accepted::CAUSE,
    slow_response::CAUSE,
    slow_body::CAUSE,
    unknown::CAUSE,
];

/// The cause with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Cause> {
    CAUSES.iter().find(|cause| cause.id == id)
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
    (winner, finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_in_the_contract_with_its_reason_and_explains_itself() {
        for cause in CAUSES {
            assert!(CONTRACT.contains(&(cause.id, cause.reason)), "{} is not in the contract", cause.id);
            assert!(!cause.title.is_empty() && cause.title.len() < 100, "{}: title", cause.id);
            for text in [cause.means, cause.told_apart, cause.fix] {
                assert!(text.len() > 40 && text.ends_with('.'), "{}: {text:?}", cause.id);
            }
        }
    }

    #[test]
    fn no_cause_is_listed_twice() {
        for (index, cause) in CAUSES.iter().enumerate() {
            assert!(CAUSES[..index].iter().all(|other| other.id != cause.id), "{}", cause.id);
        }
    }
}
