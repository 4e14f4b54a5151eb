//! `summary`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Workload;
#[cfg(test)]
use crate::json::schema;

/// `summary`: the last line, with the exact numbers.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary<'a> {
    /// Where all attempts are; absent from `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Accounts>,
    /// Attempts seen: connections made, and connects that failed at once.
    pub attempts: u64,
    /// Failures by cause and upstream, most frequent first.
    pub by_cause: Vec<CauseCount<'a>>,
    /// For how long of that what nginx sends and receives was watched (`--depth`), milliseconds; absent from `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deep_ms: Option<f64>,
    /// From the first event to the last, milliseconds.
    pub duration_ms: f64,
    /// Attempts judged failed.
    pub failures: u64,
    /// Which host this is, if several are reported at once; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// Lines of error.log.
    pub log_lines: LogLines,
    /// Events lost.
    pub lost: u64,
    /// The same by place.
    pub lost_by_place: &'a BTreeMap<String, u64>,
    /// What each hook cost; absent from `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overhead: Option<Vec<HookCost<'a>>>,
    /// Failures that nginx retried with success.
    pub recovered: u64,
    /// Resident memory at the end, bytes; absent from `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
    /// From the start of the program until all hooks were attached, milliseconds; absent from `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_ms: Option<f64>,
    /// `summary`.
    #[cfg_attr(test, schemars(extend("const" = "summary")))]
    pub r#type: &'static str,
    /// Numbers of each upstream, most failures first.
    pub upstreams: Vec<UpstreamNumbers<'a>>,
}

/// Failures of one cause at one upstream, of the nginx in one container or unit.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CauseCount<'a> {
    /// Name of `reason`; `null` for `unknown`.
    pub category: Option<&'static str>,
    /// Id of the cause.
    #[cfg_attr(test, schemars(schema_with = "schema::cause"))]
    pub cause: &'static str,
    /// How many attempts.
    pub count: u64,
    /// First, UTC, microseconds.
    pub first: String,
    /// Block `upstream{}` of the upstream, if it is in exactly one; else `null`.
    pub group: Option<&'a str>,
    /// Last, UTC, microseconds.
    pub last: String,
    /// Number of the reason, 0 to 6; `null` for `unknown`.
    pub reason: Option<u8>,
    /// Where; `null` if not known.
    pub upstream: Option<String>,
    /// Where nginx runs, if that is a container or unit and known; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload<'a>>,
}

/// Numbers of one upstream.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UpstreamNumbers<'a> {
    /// Connections begun.
    pub attempts: u64,
    /// Time to connect; `null` if none connected.
    pub connect_ms: Option<Percentiles>,
    /// Handshakes completed.
    pub established: u64,
    /// Attempts judged failed.
    pub failures: u64,
    /// Time to the first byte of a response; `null` if none came.
    pub first_byte_ms: Option<Percentiles>,
    /// Block `upstream{}`, if it is in exactly one; else `null`.
    pub group: Option<&'a str>,
    /// Requests sent.
    pub requests: u64,
    /// `true`: `requests` and `first_byte_ms` are of a part of the time only (`--depth`), or of none; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled: Option<bool>,
    /// Which; `null` for all addresses beyond the table.
    pub upstream: Option<String>,
}

/// Percentiles of a latency, milliseconds; upper bounds of histogram buckets.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Percentiles {
    /// Half are at most this.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
}

/// Lines of error.log that tell of a failed attempt.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogLines {
    /// Matched to an attempt that the kernel side saw.
    pub joined: u64,
    /// About attempts that were lost, over before the start, or told of without their line.
    pub lost: u64,
    /// About upstreams, and of no failed attempt: the origin answered, nginx asked for itself, datagrams. Not in `seen`.
    pub passed_over: u64,
    /// Read.
    pub seen: u64,
}

/// What one hook cost.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HookCost<'a> {
    /// Average time of a run, nanoseconds, with the 65 to 75 that measuring costs.
    pub mean_ns: u64,
    /// Name of the hook.
    pub name: &'a str,
    /// Runs per second while that was measured.
    pub per_second: u64,
    /// Runs while that was measured: now and then, and all the time with `--verbose`.
    pub runs: u64,
}

/// Where all attempts are: the other numbers add up to `attempts` and `adopted`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Accounts {
    /// Ended by the client, or by the exit of the worker; counted in the kernel only.
    pub aborted: u64,
    /// Connections that were taken over.
    pub adopted: u64,
    /// New connections.
    pub attempts: u64,
    /// Ended well; counted in the kernel only.
    pub healthy: u64,
    /// Still going on.
    pub live: u64,
    /// Did not fit into the buffer between kernel and program.
    pub lost_buffer: u64,
    /// Did not fit into the table of connections.
    pub lost_table: u64,
    /// In none of these, or less than 0 if some are in two: an error of this program.
    pub missing: i64,
    /// Handed to this program.
    pub reported: u64,
    /// Found by this program to be gone, without an event.
    pub vanished: u64,
}
