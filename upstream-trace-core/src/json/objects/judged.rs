//! `failure` and `pending`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Workload;
use crate::event::Transport;
#[cfg(test)]
use crate::json::schema;
use crate::verdict::{Confidence, Evidence, Phase};

/// `failure`: one per failed attempt; `pending`: an attempt in trouble that is not over, told again only when the verdict
/// changes.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Judged<'a> {
    /// Causes that fit as well, by id; empty if there are none.
    #[cfg_attr(test, schemars(schema_with = "schema::causes"))]
    pub alternatives: &'a [&'static str],
    /// Number of the attempt, from 1, in the order in which attempts are first told of; the same in `pending`, `failure`,
    /// `resolved` and `tries`.
    pub attempt: u64,
    /// Of `no-live-upstreams`: causes that ejected the peers, most frequent first; absent otherwise or if not seen.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[cfg_attr(test, schemars(schema_with = "schema::causes"))]
    pub because: &'a [&'static str],
    /// Bytes of the response that nginx read.
    pub bytes_received: u64,
    /// Bytes of the request that nginx handed to the kernel.
    pub bytes_sent: u64,
    /// Name of `reason`: `overload`, `service-down`, `firewall`, `network`, `timeout`, `application`, `proxy`; `null` for
    /// `unknown`.
    pub category: Option<&'static str>,
    /// Id of the cause.
    #[cfg_attr(test, schemars(schema_with = "schema::cause"))]
    pub cause: &'static str,
    /// How sure the verdict is.
    pub confidence: Confidence,
    /// Age of the pooled connection that was used, milliseconds; absent if it was new or older than the trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_age_ms: Option<f64>,
    /// Timeouts of nginx that are as long as the silence that ended the attempt: several if it is not clear which one did;
    /// absent if none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directives: Vec<Directive<'a>>,
    /// Of a `failure`: how long the attempt took, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    /// Of `no-live-upstreams`: failures that ejected the peers, in order of time; absent otherwise or if not seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ejected: Vec<Ejection>,
    /// errno that nginx got; `null` if none.
    pub errno: Option<i32>,
    /// What was seen, in order of time.
    #[cfg_attr(test, schemars(schema_with = "schema::evidence"))]
    pub evidence: Vec<SortedEvidence<'a>>,
    /// What to do. Commands stand between backquotes.
    pub fix: &'a str,
    /// Block `upstream{}` that the upstream belongs to; absent if in none, or not known (see `groups`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<&'a str>,
    /// Blocks and servers that it may belong to, if nginx's configuration leaves that open; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Peer<'a>>>,
    /// Which host this is, if several are reported at once; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// For how long nginx had not used the pooled connection when it took it, milliseconds; absent if it was new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<f64>,
    /// nginx's address and port; `null` if not known, or for a unix socket.
    pub local: Option<&'a str>,
    /// nginx's own line about it; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Log<'a>>,
    /// Of a failed lookup: the name; else absent. `upstream` is then the name server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// For how long the pooled connection was idle when the origin closed it, milliseconds; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_idle_ms: Option<f64>,
    /// Places of nginx's configuration that send requests there, if it is in no group; else absent.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub passes: &'a [String],
    /// The `server` of `group`, with its parameters; absent if no peer was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<&'a str>,
    /// Where in its life the attempt failed.
    pub phase: Phase,
    /// Number of the reason, 0 to 6; `null` for `unknown`.
    pub reason: Option<u8>,
    /// Of a `failure`: whether nginx retried and another attempt was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
    /// Requests on the pooled connection, this one included; absent if it was new or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Whether the request went out on a pooled connection.
    pub reused: bool,
    /// Of `pending`: for how long the attempt has been running, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<f64>,
    /// HTTP status that nginx's client gets for this attempt; `null` if not known or decided elsewhere.
    pub status: Option<u16>,
    /// What happened, in one or two sentences.
    pub summary: &'a str,
    /// When it ended or was looked at, UTC, microseconds.
    pub time: String,
    /// How the upstream is reached.
    pub transport: Transport,
    /// Its place among the attempts for one request; absent if it was the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<Tries>,
    /// `failure` or `pending`.
    #[cfg_attr(test, schemars(extend("enum" = ["failure", "pending"])))]
    pub r#type: &'static str,
    /// `ip:port`, `[ip6]:port` or `unix:/path`; of a lookup the name server; `null` if not known.
    pub upstream: Option<String>,
    /// Where the upstream runs, if that is a container or unit on this host and known; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_workload: Option<Workload<'a>>,
    /// Process id of the worker, in the host's numbering.
    pub worker: u32,
    /// Where nginx runs, if that is a container or unit and known; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload<'a>>,
}

/// One piece of evidence: `at_ms`, `what` and details, in the order of names.
#[derive(Debug)]
pub struct SortedEvidence<'a>(pub(in crate::json) &'a Evidence);

/// A timeout of nginx.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Directive<'a> {
    /// It is not set: nginx's default.
    pub default: bool,
    /// The directive: `proxy_read_timeout`.
    pub name: &'a str,
    /// Where it is set (file and line), else where it applies.
    pub places: &'a [String],
    /// Its value as written: `60s`.
    pub value: &'a str,
}

/// A server of a group.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Peer<'a> {
    /// Block `upstream{}`.
    pub group: &'a str,
    /// Its `server`, with parameters; empty if none was tried.
    pub server: &'a str,
}

/// Attempts for one request.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tries {
    /// All that are known, in order.
    pub chain: Vec<Try>,
    /// Which of them this one is, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

/// One of the attempts for a request.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Try {
    /// `true` if it was answered; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<bool>,
    /// Number of the attempt.
    pub attempt: u64,
    /// Cause of its failure; absent if it did not fail or that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(schema_with = "schema::cause"))]
    pub cause: Option<&'static str>,
    /// Where to; `null` if not known.
    pub upstream: Option<String>,
}

/// Failures that ejected a peer.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ejection {
    /// Id of the cause.
    #[cfg_attr(test, schemars(schema_with = "schema::cause"))]
    pub cause: &'static str,
    /// How many.
    pub count: u32,
    /// The last one, UTC, microseconds.
    pub last: String,
    /// Which peer; `null` if not known.
    pub upstream: Option<String>,
}

/// nginx's line; what it does not say is absent.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Log<'a> {
    /// Address of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<&'a str>,
    /// Number of the client's connection, as nginx counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// File that the line is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a str>,
    /// nginx's words, without what follows (`, client: ...`).
    pub message: &'a str,
    /// The request line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<&'a str>,
    /// Name of the server block; of `stream` its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<&'a str>,
    /// Who kept the line, where nginx did not write it to a file of its own: `docker-json`, `cri`, `journal`,
    /// `syslog`; `write` if nobody did and the kernel showed how it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'a str>,
    /// Path of the subrequest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subrequest: Option<&'a str>,
    /// What `error_log_tag` added, by name; absent if there is nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: &'a BTreeMap<String, String>,
    /// Time as printed: local, whole seconds.
    pub time: &'a str,
}
