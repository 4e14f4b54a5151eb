//! What was looked up around a failure: route, neighbour, listener, connection tracking.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize};

use super::{Nanos, Upstream, Workload};

/// What the routing table of nginx's namespace says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "route", rename_all = "kebab-case")]
pub enum Route {
    /// A way there.
    Found {
        /// Name of the interface that packets leave by; absent if the kernel names none.
        interface: Option<String>,
        /// Next hop, if not on the link.
        gateway: Option<IpAddr>,
        /// The destination is an address of this host.
        local: bool,
    },
    /// None, with the errno that the kernel gives: 101 none, 113 unreachable, 22 blackhole, 13 prohibit.
    Refused {
        /// errno, positive.
        errno: i32,
    },
}

/// What the neighbour table says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Whose entry: the destination, or the gateway to it.
    pub address: IpAddr,
    /// `reachable`, `stale`, `delay`, `probe`, `failed`, `incomplete`, `permanent`, `noarp`, `none`.
    pub state: String,
    /// Name of the interface on whose link the neighbour is; absent if not known.
    pub interface: Option<String>,
}

/// A listening socket of the upstream's address on this kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Connections that wait to be accepted.
    pub queue: u32,
    /// Most that may wait; the queue overflows above it.
    pub limit: u32,
    /// Connections refused because the queue was full, in that namespace since it was made (`ListenOverflows`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflows: Option<u64>,
    /// Process that listens, `name[pid]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Where that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Workload>,
    /// That process is stopped (SIGSTOP, a debugger, a frozen control group of the first version).
    #[serde(default, skip_serializing_if = "is_false")]
    pub stopped: bool,
    /// Its network namespace, if that is not nginx's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<u32>,
    /// That namespace tracks connections, and may translate what comes to this address: another listener may have it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_be_translated: bool,
    /// The other ends of connections to this address and port that no process has accepted; `None` if that is not known, or
    /// there are too many of them.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "ends")]
    pub unaccepted: Option<Vec<SocketAddr>>,
}

/// Connections that are told of: more than most queues have room for.
pub const UNACCEPTED: usize = 512;

fn ends<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<SocketAddr>>, D::Error> {
    Ok(Option::<Vec<SocketAddr>>::deserialize(from)?.filter(|ends| ends.len() <= UNACCEPTED))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Listener {
    /// More connections wait than may.
    #[must_use]
    pub fn overflows(&self) -> bool {
        self.queue > self.limit
    }
}

/// Usage of the connection-tracking table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conntrack {
    /// Entries in use.
    pub count: u64,
    /// Most there may be.
    pub max: u64,
}

/// What is at the path of a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnixTarget {
    /// There is nothing at that path.
    Missing,
    /// A socket file.
    Socket,
    /// Something that is no socket.
    NotASocket,
    /// It cannot be looked at.
    Unreadable,
}

/// Something that was looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// What the routing table says.
    Route(Route),
    /// What the neighbour table says.
    Neighbour(Neighbour),
    /// A listener of that address on this host.
    Listener(Listener),
    /// The address belongs to this host and nobody listens on that port.
    NoListener,
    /// Somebody listens on that port of another address of this host.
    ListensElsewhere {
        /// The address that is listened on.
        address: SocketAddr,
        /// Process that listens, `name[pid]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<String>,
    },
    /// The address is that of a container on this host, which has a network namespace of its own.
    ContainerAddress {
        /// Which container.
        home: Workload,
        /// What is listened on there; what only the container itself reaches is left out, but for the upstream's port.
        #[serde(default)]
        listens: Vec<SocketAddr>,
    },
    /// Usage of the connection-tracking table.
    Conntrack(Conntrack),
    /// What is at the socket path.
    UnixPath {
        /// Nothing, a socket, something else, or not readable.
        target: UnixTarget,
    },
}

/// Facts about the way to one upstream, at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrichment {
    /// When it was looked up, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// Network namespace it was looked up in, that of nginx's worker; 0 if not known.
    pub netns: u32,
    /// About which upstream.
    pub upstream: Upstream,
    /// What was found.
    pub facts: Vec<Fact>,
}
