//! Errors that `connect()` itself returned.

use serde::{Deserialize, Serialize};

use super::{AttemptId, Nanos, Upstream};

/// `connect()` returned an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectError {
    /// Number of the attempt.
    pub id: AttemptId,
    /// When `connect()` returned.
    pub at: Nanos,
    /// The attempt that it retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<AttemptId>,
    /// The worker.
    pub worker: u32,
    /// Network namespace, 0 if not known.
    pub netns: u32,
    /// Where to.
    pub upstream: Upstream,
    /// errno.
    pub errno: i32,
    /// How long `connect()` took.
    pub took: Nanos,
    /// A local address was chosen and the socket hashed before the error: what was missing is a port.
    pub had_syn_sent: bool,
}
