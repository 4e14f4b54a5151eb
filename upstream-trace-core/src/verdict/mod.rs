//! What comes out: verdicts on attempts, and the numbers at the end.

mod details;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use details::{Connection, Details, Directive, Ejection, Name, Tries, Try, TryEnd};

use crate::event::{AttemptId, LogLine, Lost, Nanos, Transport, Upstream, Workload};

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Confidence {
    /// Rivals fit as well; they are listed.
    Possible,
    /// One explanation fits, and the rivals would have left other traces.
    Likely,
    /// The kernel saw the cause itself.
    Proven,
}

/// Where in the life of an attempt it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Phase {
    /// Looking the name up.
    Resolve,
    /// Up to the end of the handshake.
    Connect,
    /// TLS handshake.
    Tls,
    /// The request is not fully sent.
    Send,
    /// The request is sent, no byte of an answer came.
    Wait,
    /// The answer has begun.
    Receive,
    /// Between requests.
    Idle,
}

/// One piece of evidence; `at_ms` counts from the begin of the attempt, negative before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Milliseconds since the attempt began, three decimals.
    pub at_ms: f64,
    /// What, in kebab-case: `syn-sent`, `retransmit`, `dropped`, `icmp`, `reset`, `route` ...
    pub what: String,
    /// Details by name (`reason`, `hook`, `from`, `type`, `code`, `count`, `errno` ...), flattened into the object.
    #[serde(flatten)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// A judged attempt, failed or in trouble.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Which attempt.
    pub attempt: AttemptId,
    /// When it ended (or was looked at).
    pub at: Nanos,
    /// Begin of the attempt.
    pub since: Nanos,
    /// The worker.
    pub worker: u32,
    /// Where to; `None` if the address is not known.
    pub upstream: Option<Upstream>,
    /// How.
    pub transport: Transport,
    /// nginx's address and port.
    pub local: Option<String>,
    /// Where it failed.
    pub phase: Phase,
    /// Id of the cause.
    pub cause: &'static str,
    /// Number of the reason that it belongs to; `None` for `unknown`.
    pub reason: Option<u8>,
    /// Name of that reason.
    pub category: Option<&'static str>,
    /// How sure.
    pub confidence: Confidence,
    /// Causes that fit as well.
    pub alternatives: Vec<&'static str>,
    /// errno that nginx got, if any.
    pub errno: Option<i32>,
    /// Status that nginx answers for such an attempt, if known.
    pub status: Option<u16>,
    /// nginx retried and another attempt was answered.
    pub recovered: bool,
    /// The request went out on a pooled connection.
    pub reused: bool,
    /// Bytes of the request handed to the kernel.
    pub bytes_sent: u64,
    /// Bytes of the answer that nginx read.
    pub bytes_received: u64,
    /// In order of time.
    pub evidence: Vec<Evidence>,
    /// One sentence: what happened.
    pub summary: String,
    /// What to do.
    pub fix: String,
    /// nginx's own line about it.
    pub log: Option<LogLine>,
    /// The name that could not be resolved; then `upstream` is the name server, if known.
    pub name: Option<String>,
    /// For `no-live-upstreams`: the causes that ejected the peers.
    pub because: Vec<&'static str>,
    /// What is not there for each attempt.
    #[serde(skip)]
    pub details: Details,
}

/// What the engine has to say after an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// An attempt in trouble that is not over. Said again only when the verdict changes.
    Pending(Verdict),
    /// An attempt failed.
    Failure(Verdict),
    /// An attempt that was reported as pending ended well after all, or was given up by the client.
    Resolved(Resolved),
    /// Events were lost.
    Lost(Lost),
    /// Something about nginx itself that explains what follows (a worker died, a reload), one sentence.
    Note(Note),
}

/// The good end of an attempt that had been reported as pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Which attempt.
    pub attempt: AttemptId,
    /// When.
    pub at: Nanos,
    /// Where to.
    pub upstream: Option<Upstream>,
    /// `answered`, `client-gone`, `worker-exit`, `vanished`.
    pub how: &'static str,
}

/// Something about nginx itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Nanos,
    /// One sentence.
    pub text: String,
}

/// Failures of one cause at one upstream, of one nginx as far as containers and units tell them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseCount {
    /// Id of the cause.
    pub cause: &'static str,
    /// Number of the reason.
    pub reason: Option<u8>,
    /// Where.
    pub upstream: Option<Upstream>,
    /// Its group in nginx's configuration, if it is in one only.
    pub group: Option<String>,
    /// The container or unit that nginx runs in.
    pub workload: Option<Workload>,
    /// How many attempts.
    pub count: u64,
    /// First.
    pub first: Nanos,
    /// Last.
    pub last: Nanos,
}

/// Percentiles of a latency, microseconds: upper bounds of the buckets that hold them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Half are at most this.
    pub p50_us: u64,
    /// Nine of ten.
    pub p90_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// The buckets are whole powers of two: the true values may be little more than half of these.
    pub bound_only: bool,
}

/// Numbers of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSummary {
    /// Which; `None` for all addresses beyond the table.
    pub upstream: Option<Upstream>,
    /// Its group in nginx's configuration, if it is in one only.
    pub group: Option<String>,
    /// Connections begun.
    pub attempts: u64,
    /// Handshakes finished.
    pub established: u64,
    /// Attempts judged failed.
    pub failures: u64,
    /// Requests sent.
    pub requests: u64,
    /// Time to connect, if any connected.
    pub connect: Option<Percentiles>,
    /// Time to first byte, if any answered.
    pub first_byte: Option<Percentiles>,
}

/// Lines of error.log that tell of a failed attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLines {
    /// How many were read.
    pub seen: u64,
    /// Of these, how many belong to an attempt that the kernel side saw; the others are failures of their own ...
    pub joined: u64,
    /// ... but for these: about attempts that were lost, over before the start, or told of without their line.
    #[serde(default)]
    pub lost: u64,
    /// Lines about upstreams that tell of no failed attempt; not counted in `seen`.
    #[serde(default)]
    pub passed_over: u64,
}

/// The numbers at the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// From the first event to the last.
    pub duration: Nanos,
    /// Attempts seen: connections begun and connects that failed at once.
    pub attempts: u64,
    /// Of these, judged failed.
    pub failures: u64,
    /// Of these, retried with success.
    pub recovered: u64,
    /// Events lost.
    pub lost: u64,
    /// Where, and how many there.
    pub lost_by_place: BTreeMap<String, u64>,
    /// Most frequent first.
    pub by_cause: Vec<CauseCount>,
    /// In order of failures, then of requests.
    pub upstreams: Vec<UpstreamSummary>,
    /// Lines of error.log.
    pub log_lines: LogLines,
    /// Requests, and the time to the first byte of a response, were not counted all the time, or not at all (`--depth`).
    pub sampled: bool,
}
