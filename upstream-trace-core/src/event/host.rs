//! The host and the run.

use serde::{Deserialize, Serialize};

use super::Nanos;

/// A place where the tool watches the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Name, such as `inet_sock_set_state`.
    pub name: String,
    /// `raw_tracepoint`, `tracepoint`, `fentry`, `kprobe`.
    pub kind: String,
    /// Whether it is in use.
    pub attached: bool,
    /// If not: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// If not: which evidence is missing, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub costs: Option<String>,
}

/// The host and the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// When tracing began, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// The same moment, microseconds since 1970 UTC.
    pub unix_us: i64,
    /// Version of the tool.
    pub version: String,
    /// Name of the host; empty if it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Kernel release, as `uname -r` has it.
    pub kernel: String,
    /// Which nginx the masters run, each once, as it names itself: `nginx/1.22.1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nginx: Vec<String>,
    /// Hooks, attached or not.
    pub hooks: Vec<Hook>,
    /// Process ids of the masters, in the tracing host's numbering.
    pub masters: Vec<u32>,
    /// Process ids of the workers, same numbering.
    pub workers: Vec<u32>,
    /// `--slow`: an attempt that waits for longer is reported as pending, nanoseconds.
    pub slow: Nanos,
    /// `--depth`: `auto`, `watch` or `deep`; empty in recordings of earlier releases, which were always deep.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub depth: String,
}
