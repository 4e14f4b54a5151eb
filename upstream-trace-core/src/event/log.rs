//! What nginx itself wrote: lines of its error.log, and whether it is being read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Nanos;
use super::bounds::{optional_text, text};

/// A line of nginx's error.log, taken apart. Whoever reads the file fills in `at`, `worker` and `file`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// When the line was read, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// It was not there yet at this time, same clock: the file had been read to its end before. 0 if that is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub after: Nanos,
    /// The worker that wrote it, in the tracing host's numbering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// Process id as printed: in the numbering of the worker's own pid namespace.
    pub pid: u32,
    /// Time as printed, `2026/11/20 09:12:01`: local, in whole seconds, that of the turn of the event loop.
    #[serde(deserialize_with = "text")]
    pub time: String,
    /// `error`, `crit` ...
    #[serde(deserialize_with = "text")]
    pub level: String,
    /// Number of the client's connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// nginx's own words, with errno and `while ...`, without what follows (`, client: ...`). Control characters are
    /// written `\xNN`.
    #[serde(deserialize_with = "text")]
    pub message: String,
    /// Number of the error, if one ends the message. Not the answer code of a name server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// What nginx was doing: `connecting to upstream`, `reading response header from upstream` ...
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub action: Option<String>,
    /// Address of the client.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub client: Option<String>,
    /// Name of the server block; for `stream`, its address.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub server: Option<String>,
    /// The request line.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub request: Option<String>,
    /// Path of the subrequest.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub subrequest: Option<String>,
    /// The upstream as printed: scheme, address and path.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub upstream: Option<String>,
    /// The `Host` of the request.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub host: Option<String>,
    /// Address of the name server, for what went wrong with that.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub resolver: Option<String>,
    /// The client sent datagrams.
    #[serde(skip_serializing_if = "is_not")]
    pub udp: bool,
    /// What `error_log_tag` added, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The file it was read from.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub file: String,
    /// Who kept it, if that is not nginx's own file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<LogSource>,
    /// It stands where it may be part of what an application wrote, and nginx logged as it came.
    #[serde(skip_serializing_if = "is_not")]
    pub doubtful: bool,
    /// nginx cut the line off at its longest length, or the line is broken.
    pub truncated: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_not(flag: &bool) -> bool {
    !*flag
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(time: &Nanos) -> bool {
    *time == 0
}

/// Who kept a line that nginx did not write to a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// Docker's `json-file`.
    DockerJson,
    /// A file in the format of the container runtime interface: containerd, CRI-O, podman.
    Cri,
    /// The journal.
    Journal,
    /// The file of a syslog daemon.
    Syslog,
    /// Nobody: the kernel showed how it was written.
    Write,
}

impl LogSource {
    /// As JSON has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DockerJson => "docker-json",
            Self::Cri => "cri",
            Self::Journal => "journal",
            Self::Syslog => "syslog",
            Self::Write => "write",
        }
    }
}

/// Whether the lines of a worker's error.log are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFollowed {
    /// Since when that holds, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// The worker, in the tracing host's numbering.
    pub worker: u32,
    /// An error.log of it at level `error` or finer is being read: for each of its failures a line is to be expected.
    pub followed: bool,
    /// That level, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}
