//! Counters of upstreams.

use serde::{Deserialize, Serialize};

use super::{Nanos, Upstream};

/// Counters of one upstream since the start of tracing, as the kernel side keeps them. They only grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamSample {
    /// When they were read, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// Address or path of the upstream; `null` for all addresses beyond the kernel's table together.
    pub upstream: Option<Upstream>,
    /// Connections begun: SYNs of nginx's workers, and connections to unix sockets.
    pub attempts: u64,
    /// Handshakes finished.
    pub established: u64,
    /// Requests of which nginx sent the first byte.
    pub requests: u64,
    /// Answers of which nginx read the first byte.
    pub answers: u64,
    /// When a handshake last finished, same clock; 0 if none has.
    pub last_established: Nanos,
    /// When an answer last began, same clock; 0 if none has.
    pub last_answer: Nanos,
    /// How fine the buckets of `connect` and `first_byte` are: each power of two is divided into `2^sub_bits` of them.
    /// 0, which is not recorded, for buckets that are whole powers of two. See [`crate::engine::percentiles`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sub_bits: u32,
    /// Histogram of the time from `connect()` to the end of the handshake. With `sub_bits` 0, bucket `i` counts what is
    /// below `2^i` microseconds and not in the bucket before; the last one has no upper bound.
    pub connect: Vec<u64>,
    /// Histogram of the time from the first byte of a request sent to the first byte of its answer read.
    pub first_byte: Vec<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_an_earlier_release_has_whole_powers_of_two() {
        let old = r#"{"at":1,"upstream":null,"attempts":1,"established":1,"requests":0,"answers":0,
            "last_established":1,"last_answer":0,"connect":[0,1],"first_byte":[]}"#;
        let mut sample: UpstreamSample = serde_json::from_str(old).expect("a sample");
        assert_eq!(sample.sub_bits, 0);
        assert!(!serde_json::to_string(&sample).expect("JSON").contains("sub_bits"));
        sample.sub_bits = 2;
        let again = serde_json::to_string(&sample).expect("JSON");
        assert_eq!(serde_json::from_str::<UpstreamSample>(&again).ok(), Some(sample));
    }
}
