//! What else is known of a judged attempt: names from nginx's configuration, the connection it used, the attempts before
//! and after it.

use serde::Serialize;

use crate::event::{AttemptId, Nanos, Upstream, Workload};

/// Everything that is not there for each attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Server and group of the upstream, by nginx's configuration. Several if that leaves it open.
    pub names: Vec<Name>,
    /// Places of the configuration that send requests to the upstream, if it is in no group.
    pub passes: Vec<String>,
    /// Timeouts that are as long as the silence that ended the attempt. Several if it is not clear which one did.
    pub directives: Vec<Directive>,
    /// The pooled connection that the attempt used.
    pub connection: Option<Connection>,
    /// The container or unit that nginx runs in.
    pub workload: Option<Workload>,
    /// The container or unit on this host that the upstream runs in.
    pub origin: Option<Workload>,
    /// The chain of attempts for one request that it belongs to.
    pub tries: Option<Tries>,
    /// For `no-live-upstreams`: what ejected the peers, in order of time.
    pub ejected: Vec<Ejection>,
}

/// The name of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name {
    /// Block `upstream{}`.
    pub group: String,
    /// Its `server`, with parameters; empty if none was tried.
    pub server: String,
}

/// A timeout of nginx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Directive {
    /// The directive.
    pub name: String,
    /// Its value, as it is written.
    pub value: String,
    /// It is not set: nginx's default.
    pub default: bool,
    /// Where it is set (file and line), else where it holds.
    pub places: Vec<String>,
}

/// A pooled connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Since it was made; not known if that was before the tool began.
    pub age: Option<Nanos>,
    /// Requests on it, the one of this attempt included; not known as above.
    pub requests: Option<u32>,
    /// For how long nginx had not used it when it took it for this attempt.
    pub idle: Option<Nanos>,
    /// For how long the origin had let it idle when it closed it.
    pub origin_idle: Option<Nanos>,
}

/// Attempts for one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// All of them that are known, in order.
    pub chain: Vec<Try>,
    /// Which of them this one is, from 0.
    pub this: usize,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// Its number.
    pub attempt: AttemptId,
    /// Where to, if known.
    pub upstream: Option<Upstream>,
    /// What became of it.
    pub end: TryEnd,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryEnd {
    /// Not known (yet).
    Unknown,
    /// It failed for this cause.
    Failed(&'static str),
    /// It was answered.
    Answered,
}

/// Failures that ejected a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Which peer.
    pub upstream: Option<Upstream>,
    /// Why.
    pub cause: &'static str,
    /// How often.
    pub count: u32,
    /// The last time.
    pub last: Nanos,
}
