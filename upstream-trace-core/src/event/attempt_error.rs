//! Errors that `connect()` itself returned.

use serde::{Deserialize, Serialize};

use super::{AttemptId, Nanos, Upstream};

/// `connect()` returned an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectError {
    /// Number of the attempt.
    pub id: AttemptId,
    /// When `connect()` returned, or its line was read, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// The attempt that it retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<AttemptId>,
    /// Worker: process id, in the tracing host's numbering.
    pub worker: u32,
    /// Network namespace: inode of its `/proc/PID/ns/net`; 0 if not known.
    pub netns: u32,
    /// Address or path that nginx connected to.
    pub upstream: Upstream,
    /// errno of `connect()`, positive.
    pub errno: i32,
    /// How long `connect()` took, nanoseconds; 0 if only a line of error.log tells of it.
    pub took: Nanos,
    /// A local address was chosen and the socket hashed before the error: what was missing is a port.
    pub had_syn_sent: bool,
}

impl ConnectError {
    /// An error of which only this is known: it came at once, in a namespace that is not known, and retries nothing.
    #[must_use]
    pub fn blank(id: AttemptId, at: Nanos, worker: u32, upstream: Upstream, errno: i32) -> Self {
        Self { id, at, retry_of: None, worker, netns: 0, upstream, errno, took: 0, had_syn_sent: false }
    }
}
