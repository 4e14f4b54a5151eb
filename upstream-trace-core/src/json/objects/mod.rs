//! The objects of `--json`. Fields are only ever added.
//!
//! Fields stand in the order of their names, as they do in the output. A field that may be absent says when; all others
//! are always there, as `null` if the value is not known.

mod judged;
mod start;
mod summary;

use serde::Serialize;

pub use judged::{Directive, Ejection, Judged, Log, Peer, SortedEvidence, Tries, Try};
pub use start::{Hook, Start, Workload};
pub use summary::{Accounts, CauseCount, HookCost, LogLines, Percentiles, Summary, UpstreamNumbers};

/// `resolved`: an attempt that was reported as `pending` is no failure after all.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Resolved<'a> {
    /// Number of the attempt.
    pub attempt: u64,
    /// Which host this is, if several are reported at once; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// `answered`, `client-gone`, `worker-exit` or `vanished`.
    pub how: &'static str,
    /// When, UTC, microseconds.
    pub time: String,
    /// `resolved`.
    #[cfg_attr(test, schemars(extend("const" = "resolved")))]
    pub r#type: &'static str,
    /// Where to; `null` if not known.
    pub upstream: Option<String>,
}

/// `note`: something about nginx itself that explains what follows.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Note<'a> {
    /// Which host this is, if several are reported at once; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// One sentence.
    pub text: &'a str,
    /// When, UTC, microseconds.
    pub time: String,
    /// `note`.
    #[cfg_attr(test, schemars(extend("const" = "note")))]
    pub r#type: &'static str,
}

/// `lost`: events that did not arrive.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Lost<'a> {
    /// How many since `since`.
    pub count: u64,
    /// Which host this is, if several are reported at once; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// Since when, UTC, microseconds.
    pub since: String,
    /// When it was noticed, UTC, microseconds.
    pub time: String,
    /// `lost`.
    #[cfg_attr(test, schemars(extend("const" = "lost")))]
    pub r#type: &'static str,
    /// Where they were lost: `ring-buffer`, `connection-map` ...
    pub r#where: &'a str,
}
