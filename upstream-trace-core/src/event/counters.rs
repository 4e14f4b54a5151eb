//! Counters of upstreams.

use serde::{Deserialize, Serialize};

use super::{Nanos, Upstream};

/// Counters of one upstream since the start. Histogram bucket `i` counts latencies below `2^i` microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamSample {
    /// When.
    pub at: Nanos,
    /// Which; `None` for all addresses beyond the table.
    pub upstream: Option<Upstream>,
    /// Connections begun.
    pub attempts: u64,
    /// Handshakes finished.
    pub established: u64,
    /// Requests sent.
    pub requests: u64,
    /// Answers begun.
    pub answers: u64,
    /// When a handshake last finished.
    pub last_established: Nanos,
    /// When an answer last began.
    pub last_answer: Nanos,
    /// Time to connect.
    pub connect: Vec<u64>,
    /// Time to first byte.
    pub first_byte: Vec<u64>,
}
