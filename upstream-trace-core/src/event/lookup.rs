//! A name that nginx looked up.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::bounds::{steps, text};
use super::{AttemptId, Nanos};

/// A lookup in trouble, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Its number, from the same space as those of attempts.
    pub id: AttemptId,
    /// When it ended, or was looked at, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// When its first query was sent, same clock.
    pub begun: Nanos,
    /// Worker: process id, in the tracing host's numbering.
    pub worker: u32,
    /// Network namespace: inode of its `/proc/PID/ns/net`; 0 if not known.
    pub netns: u32,
    /// The name. Bytes that do not print are escaped.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// A client had just spoken when nginx asked: it waits for the answer.
    pub for_client: bool,
    /// How it stands.
    pub state: LookupState,
    /// Questions, in order of time.
    #[serde(deserialize_with = "steps")]
    pub asked: Vec<Query>,
    /// Questions that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub asked_lost: u32,
}

/// How a lookup stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LookupState {
    /// Nothing that nginx could use has come.
    Open,
    /// The answer is this code.
    Failed(u8),
    /// nginx asks no more, and never got an answer that it could use.
    GivenUp,
    /// It was in trouble, and an answer came after all.
    Answered,
}

/// A question, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// When it was sent, same clock.
    pub at: Nanos,
    /// Which name server.
    pub server: SocketAddr,
    /// `A`, `AAAA` ...
    #[serde(deserialize_with = "text")]
    pub kind: String,
    /// It was sent over TCP, since an answer over UDP was cut off.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tcp: bool,
    /// What became of it; nothing if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub got: Option<QueryResult>,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryResult {
    /// When it came, or failed, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// The answer, or why there is none.
    pub what: Outcome,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// An answer that nginx took.
    Answer {
        /// Its code (RCODE), 0 to 15: 0 no error, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED.
        code: u8,
        /// How many records its answer section has.
        records: u16,
    },
    /// An answer that nginx dropped, and why.
    Ignored(#[serde(deserialize_with = "text")] String),
    /// This host did not send it.
    NotSent {
        /// errno, positive.
        errno: i32,
    },
    /// The socket got an error: mostly, nobody listens there.
    Error {
        /// errno, positive.
        errno: i32,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}
