//! What a cause declares: its texts, and the facts about it that the engine and the readers ask for.

use super::{Finding, Signal};
use crate::case::Case;

/// A cause: what it means, and how it is recognised.
#[derive(Debug)]
pub struct Cause {
    /// Id in all output; never changes.
    pub id: &'static str,
    /// Number of the reason it belongs to; `None` for `unknown`.
    pub reason: Option<u8>,
    /// One line, without a full stop.
    pub title: &'static str,
    /// What it means.
    pub means: &'static str,
    /// What it is confused with, and how it is told apart.
    pub told_apart: &'static str,
    /// What to do, with commands.
    pub fix: &'static str,
    /// Ids of the causes that it is confused with: every one that `told_apart` or an alternative of its own names.
    pub rivals: &'static [&'static str],
    /// Kernel signals that it needs: without them it is not found, or with less confidence.
    pub needs: &'static [Signal],
    /// Whether nginx counts such a failure against the peer (`max_fails`).
    pub counts_against_peer: PeerFailure,
    /// Whether all that the kernel shows of it is nginx closing after a silence.
    pub by_nginx_timer: NginxTimer,
    /// It follows from other failures; fix those first.
    pub consequence: bool,
    /// Looks at a case; `None` if this is not the cause.
    pub judge: fn(&Case<'_>) -> Option<Finding>,
}

impl Cause {
    /// What a cause is unless it says otherwise. The texts are empty here and must be given.
    pub(super) const BLANK: Self = Self {
        id: "",
        reason: None,
        title: "",
        means: "",
        told_apart: "",
        fix: "",
        rivals: &[],
        needs: &[],
        counts_against_peer: PeerFailure::Counts,
        by_nginx_timer: NginxTimer::No,
        consequence: false,
        judge: |_| None,
    };

    /// A failure for this cause counts against the peer, if nginx retried it elsewhere or it is a retry itself
    /// (`retried`).
    #[must_use]
    pub fn ejects(&self, retried: bool) -> bool {
        match self.counts_against_peer {
            PeerFailure::Counts => true,
            PeerFailure::IfRetried => retried,
            PeerFailure::No => false,
        }
    }
}

/// Whether nginx counts a failure against the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerFailure {
    /// It does.
    Counts,
    /// Only where `proxy_next_upstream` treats the response as a failure: then it is retried.
    IfRetried,
    /// It does not: no peer was tried, or the peer was not at fault.
    No,
}

/// Whether the failure is nothing but nginx closing a connection on which it waited. A client that leaves makes nginx do
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NginxTimer {
    /// There are other signs of it.
    No,
    /// A silence of whole seconds shows that it was the timer: timeouts are set in seconds.
    WholeSeconds,
    /// Not even that: a draining worker also closes after pauses of about a second.
    Unsure,
}
