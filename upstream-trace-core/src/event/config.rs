//! What nginx's configuration says of its upstreams: their names, and how long nginx waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Nanos, Upstream};

/// The configuration of one nginx, as far as upstreams go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// When it was read, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// Workers that run with it; they keep it until they end.
    pub workers: Vec<u32>,
    /// Workers that began before it was changed: what they run with is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<u32>,
    /// The main file, as nginx names it.
    pub file: String,
    /// Something of it could not be read: what and why. What is known is not all then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// A file of it was changed after these workers began: they may run with another.
    pub edited: bool,
    /// There may be upstreams whose address stands nowhere in it: variables, names resolved on the way, scripts.
    pub dynamic: bool,
    /// nginx may connect to upstreams from an address of a client: `proxy_bind ... transparent`, or one with a variable.
    /// `None` in recordings of earlier releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transparent: Option<bool>,
    /// All blocks `upstream{}`, of `http{}` and `stream{}`, in the order of the files.
    pub groups: Vec<Group>,
    /// Places that send requests to an upstream: `proxy_pass` and the like.
    pub passes: Vec<Pass>,
    /// Servers of `error_log syslog:`, such as `unix:/dev/log`, in blocks whose lines go to no file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub syslog: Vec<String>,
    /// Where logs go that could be taken for each other; `None` if not all of the configuration is known. Used while lines
    /// are read, and not recorded.
    #[serde(skip)]
    pub outputs: Option<Arc<Outputs>>,
}

/// Where logs go, as far as an access log could be taken for an error log: one whose lines a client may begin, with the
/// words of an error if it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Descriptors nginx was started with that an `error_log` goes to: 1 of `/dev/stdout`.
    pub error: BTreeSet<u32>,
    /// Those that such an access log goes to.
    pub access: BTreeSet<u32>,
    /// Files that such an access log goes to, and whether an `error_log` goes there as well. Named as the links of open
    /// descriptors name them.
    pub files: BTreeMap<String, bool>,
    /// Such an access log goes to syslog.
    pub syslog: bool,
    /// It does with the severity of a warning, or of what matters more.
    pub severe: bool,
}

/// A block `upstream{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// Its name, as `proxy_pass` and error.log have it.
    pub name: String,
    /// It is one of `stream{}`.
    pub stream: bool,
    /// Its lines `server`, in the order of the file.
    pub servers: Vec<Server>,
    /// Idle connections that each worker keeps, if it keeps any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<u32>,
    /// Each location has a pool of its own: `keepalive N local`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pool_per_location: bool,
    /// How long it keeps them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_timeout: Option<Setting>,
}

/// Where an upstream is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// As it is written: `app1:8080`.
    pub text: String,
    /// Addresses, if it is one, or a name that is the same everywhere.
    pub addresses: Vec<Upstream>,
    /// For a name whose addresses are not known: the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A `server` of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Where it is.
    pub target: Target,
    /// What is written after the address: `weight=2 backup`.
    pub parameters: String,
    /// Failures that eject it; 0 never.
    pub max_fails: u32,
    /// Within how long they have to come, and for how long it is ejected, milliseconds.
    pub fail_timeout_ms: u64,
    /// It is marked `down`.
    pub down: bool,
}

/// A place that sends requests to an upstream.
#[allow(clippy::struct_excessive_bools, reason = "each is a directive of its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pass {
    /// `proxy_pass`, `fastcgi_pass` ...
    pub directive: String,
    /// The group that it names, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Where to, if it names no group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// It is one of `stream{}`.
    pub stream: bool,
    /// It speaks TLS to its upstream; `None` in old recordings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// Name of the server block, as error.log has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Location, as it is written; `None` outside of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What is sent there has the `Content-Length` of its client and not the body: `proxy_pass_request_body off`, or the target
    /// of an `auth_request`, without `proxy_set_header Content-Length`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub promises_body: bool,
    /// A connection may become a tunnel, as for WebSocket: `proxy_set_header Upgrade`, or `tunnel_pass`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tunnels: bool,
    /// It speaks HTTP/2: `grpc_pass`, or `proxy_http_version 2`. Both sides then send frames that are no request and no response.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub http2: bool,
    /// File and line.
    pub place: String,
    /// Longest wait for a connection.
    pub connect: Setting,
    /// Longest wait between two writes.
    pub send: Setting,
    /// Longest wait between two reads.
    pub read: Setting,
}

/// A time that is set, or that holds by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Setting {
    /// Name of the directive: `proxy_read_timeout`.
    pub directive: String,
    /// Its value, as it is written.
    pub text: String,
    /// The value in milliseconds.
    pub ms: u64,
    /// File and line; `None` if it is nginx's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Target {
    /// Whether this is, or may be, where an attempt went: `None` if it may, by its port.
    #[must_use]
    pub fn is(&self, upstream: &Upstream) -> Option<bool> {
        if self.addresses.contains(upstream) {
            return Some(true);
        }
        match (upstream, self.port) {
            (Upstream::Tcp(address), Some(port)) if address.port() == port => None,
            _ => Some(false),
        }
    }
}

impl Config {
    /// The group with this name.
    #[must_use]
    pub fn group(&self, name: &str, stream: bool) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name && group.stream == stream)
    }
}
