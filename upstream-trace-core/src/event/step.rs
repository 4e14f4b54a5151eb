//! What can happen to an attempt.

use serde::{Deserialize, Serialize};

use super::Nanos;
use super::bounds::text;

/// What happened to an attempt, with the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When, nanoseconds of `CLOCK_MONOTONIC`; for repeated steps the first time.
    pub at: Nanos,
    /// What happened.
    pub step: Step,
    /// How often in a row; 255 for that and more.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u8,
    /// From the first to the last time in a row, milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub span_ms: u16,
}

/// A step of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Step {
    /// The SYN was handed to the network (or was about to be).
    SynSent,
    /// A segment was sent again.
    Retransmit {
        /// errno with which this host refused to send it, 0 if it left.
        errno: i32,
    },
    /// The handshake finished.
    Established,
    /// nginx sent the first bytes of a request.
    Request {
        /// How many bytes.
        bytes: i32,
    },
    /// nginx read the first bytes of an answer.
    Response {
        /// How many bytes.
        bytes: i32,
    },
    /// The origin closed its side.
    Fin {
        /// Bytes of the request that the origin had not acknowledged by then.
        unacked: i32,
    },
    /// The origin (or something between) reset the connection.
    Reset {
        /// Bytes of the request that the origin had not acknowledged by then.
        unacked: i32,
    },
    /// This host dropped a packet of the connection.
    Dropped {
        /// The kernel's name of the reason, such as `NETFILTER_DROP`.
        #[serde(deserialize_with = "text")]
        reason: String,
    },
    /// An ICMP error came back.
    Icmp {
        /// ICMP or `ICMPv6` type, by the family of the connection.
        kind: u8,
        /// Code of that type.
        code: u8,
    },
    /// The socket got an error.
    Error {
        /// errno; its sign means nothing.
        errno: i32,
    },
    /// The send buffer is full: the origin does not read.
    SendBlocked,
    /// `send()` failed.
    SendError {
        /// errno; its sign means nothing.
        errno: i32,
    },
    /// `recv()` failed.
    RecvError {
        /// errno; its sign means nothing.
        errno: i32,
    },
    /// nginx read end of stream.
    Eof,
    /// nginx closed the socket.
    Closed,
    /// A second SYN-ACK arrived on the established connection.
    SynAckAgain,
    /// nginx began the TLS handshake.
    TlsHello {
        /// How many bytes.
        bytes: i32,
    },
    /// Bytes came during the TLS handshake.
    TlsAnswer {
        /// How many bytes.
        bytes: i32,
    },
    /// The origin sent a TLS alert.
    TlsAlert {
        /// Its number, unless it is encrypted.
        alert: Option<u8>,
    },
    /// nginx sent a TLS alert, in the handshake or to end the connection.
    TlsRefused {
        /// Its number, unless it is encrypted.
        alert: Option<u8>,
    },
    /// The TLS handshake is over.
    TlsDone,
}

fn one() -> u8 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(value: &u8) -> bool {
    *value == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) fn is_zero(value: &u16) -> bool {
    *value == 0
}
