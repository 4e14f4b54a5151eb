//! Events that are not attempts: the host, processes, packets, and what was looked up around a failure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{AttemptId, Nanos, Upstream};

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
    /// When tracing began.
    pub at: Nanos,
    /// The same moment, microseconds since 1970 UTC.
    pub unix_us: i64,
    /// Version of the tool.
    pub version: String,
    /// Name of the host; empty if it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Kernel release.
    pub kernel: String,
    /// Which nginx the masters run, each once, as it names itself: `nginx/1.22.1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nginx: Vec<String>,
    /// Hooks, attached or not.
    pub hooks: Vec<Hook>,
    /// Master processes.
    pub masters: Vec<u32>,
    /// Worker processes.
    pub workers: Vec<u32>,
    /// `--slow`, nanoseconds.
    pub slow: Nanos,
}

/// What became of a process of nginx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum ProcessChange {
    /// A worker is there.
    WorkerStarted,
    /// A worker is draining after a reload.
    WorkerDraining,
    /// A worker ended.
    WorkerExited {
        /// Exit status, if it ended by itself.
        status: Option<i32>,
        /// Signal that ended it.
        signal: Option<i32>,
    },
    /// A master is there (binary upgrade).
    MasterStarted,
    /// A master ended.
    MasterExited,
}

/// A process event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// When.
    pub at: Nanos,
    /// Who.
    pub pid: u32,
    /// What.
    #[serde(flatten)]
    pub change: ProcessChange,
}

/// `connect()` returned an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectError {
    /// Number of the attempt.
    pub id: AttemptId,
    /// When `connect()` returned.
    pub at: Nanos,
    /// The attempt that it retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<AttemptId>,
    /// The worker.
    pub worker: u32,
    /// Network namespace, 0 if not known.
    pub netns: u32,
    /// Where to.
    pub upstream: Upstream,
    /// errno.
    pub errno: i32,
    /// How long `connect()` took.
    pub took: Nanos,
    /// A local address was chosen and the socket hashed before the error: what was missing is a port.
    pub had_syn_sent: bool,
}

/// Addresses of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PacketTuple {
    /// Sender.
    pub src: SocketAddr,
    /// Receiver.
    pub dst: SocketAddr,
}

/// Which netfilter hook a packet was dropped in, read from the kernel stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netfilter {
    /// `prerouting`, `input`, `forward`, `output`, `postrouting`, `ingress`, `egress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// `nft`, `iptables`, `conntrack` or `other`.
    pub by: String,
    /// `ip`, `ip6`, `inet`, `netdev`, `arp`, `bridge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
}

/// A packet that this host dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketDrop {
    /// When.
    pub at: Nanos,
    /// The attempt whose socket the packet belonged to; `None` if it had no socket (match by `tuple`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
    /// Addresses, if the packet could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuple: Option<PacketTuple>,
    /// TCP flags: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    pub tcp_flags: u8,
    /// The kernel's name of the reason, such as `NETFILTER_DROP`.
    pub reason: String,
    /// Network namespace, 0 if not known.
    pub netns: u32,
    /// Kernel function that dropped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// For netfilter: where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netfilter: Option<Netfilter>,
}

/// A RST that this host's kernel sent: the origin shares the kernel with nginx, or an upstream's SYN-ACK came for a
/// connection that nginx had given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetSent {
    /// When.
    pub at: Nanos,
    /// Addresses of the packet that it answers: `dst` is the upstream, of a SYN-ACK that came late `src` is.
    pub tuple: PacketTuple,
    /// The kernel's name of the reason, such as `NO_SOCKET`; empty if this kernel gives none.
    pub reason: String,
    /// Network namespace, 0 if not known.
    pub netns: u32,
}

/// Where a process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum Home {
    /// A unit of systemd.
    Unit(String),
    /// A container of Docker: its short number.
    Docker(String),
    /// A container of Podman: its short number.
    Podman(String),
    /// A container of Kubernetes: its short number.
    Kubernetes(String),
    /// A container of LXC or LXD: its name.
    Lxc(String),
    /// Another control group: its path.
    Cgroup(String),
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(name) => f.write_str(name),
            Self::Docker(name) => write!(f, "Docker container {name}"),
            Self::Podman(name) => write!(f, "Podman container {name}"),
            Self::Kubernetes(name) => write!(f, "Kubernetes container {name}"),
            Self::Lxc(name) => write!(f, "LXC container {name}"),
            Self::Cgroup(path) => write!(f, "control group {path}"),
        }
    }
}

/// The end of a process that serves an upstream on this host: it listens there, or was forked by one that does. Its
/// connections are closed after this moment, unless it closed them itself before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginExit {
    /// When.
    pub at: Nanos,
    /// Which process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// What it ran, in short: program and script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Where it ran: a unit of systemd, a container, a control group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Home>,
    /// The kernel had chosen it to free memory; `None` if this kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_memory: Option<bool>,
    /// Network namespace of nginx, 0 if not known.
    pub netns: u32,
    /// What it served.
    pub upstream: Upstream,
    /// Signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Exit status, if it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// No other process serves that upstream: all connections there were this one's.
    #[serde(default)]
    pub alone: bool,
}

/// What the routing table of nginx's namespace says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "route", rename_all = "kebab-case")]
pub enum Route {
    /// A way there.
    Found {
        /// Interface.
        interface: Option<String>,
        /// Next hop, if not on the link.
        gateway: Option<IpAddr>,
        /// The destination is an address of this host.
        local: bool,
    },
    /// None, with the errno that the kernel gives: 101 none, 113 unreachable, 22 blackhole, 13 prohibit.
    Refused {
        /// errno.
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
    /// Interface.
    pub interface: Option<String>,
}

/// A listening socket of the upstream's address in nginx's network namespace.
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
    pub home: Option<Home>,
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
    /// Nothing.
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
    /// Routing table.
    Route(Route),
    /// Neighbour table.
    Neighbour(Neighbour),
    /// A listener of that address on this host.
    Listener(Listener),
    /// The address belongs to this host and nobody listens on that port.
    NoListener,
    /// Somebody listens on that port of another address of this host.
    ListensElsewhere {
        /// Which address.
        address: SocketAddr,
        /// Process that listens, `name[pid]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<String>,
    },
    /// Connection tracking.
    Conntrack(Conntrack),
    /// What is at the socket path.
    UnixPath {
        /// What.
        target: UnixTarget,
    },
}

/// Facts about the way to one upstream, at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrichment {
    /// When it was looked up.
    pub at: Nanos,
    /// Seen from this network namespace.
    pub netns: u32,
    /// About which upstream.
    pub upstream: Upstream,
    /// What was found.
    pub facts: Vec<Fact>,
}

/// Counters of one upstream since the start. Histogram bucket `i` counts latencies below `2^i` microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamSample {
    /// When.
    pub at: Nanos,
    /// Which; `None` for all addresses beyond the table.
    pub upstream: Option<Upstream>,
    /// Connections begun.
    pub attempts: u64,
    /// Handshakes finished.
    pub established: u64,
    /// Requests sent.
    pub requests: u64,
    /// Answers begun.
    pub answers: u64,
    /// When a handshake last finished.
    pub last_established: Nanos,
    /// When an answer last began.
    pub last_answer: Nanos,
    /// Time to connect.
    pub connect: Vec<u64>,
    /// Time to first byte.
    pub first_byte: Vec<u64>,
}

/// Events that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// When it was noticed.
    pub at: Nanos,
    /// How many since `since`.
    pub count: u64,
    /// `ring-buffer`, `connection-map`, `events`, `upstream-table`, `origin-table`.
    pub place: String,
    /// Since when.
    pub since: Nanos,
}
