//! Processes of nginx and of origins on this host.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::bounds::{optional_text, text};
use super::{Nanos, Upstream};

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
    MasterStarted {
        /// The master that started it, in a binary upgrade. Recordings of version 0.1 do not say so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upgrades: Option<u32>,
    },
    /// A master ended.
    MasterExited,
}

/// A process event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// When, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// Its process id, in the tracing host's numbering.
    pub pid: u32,
    /// What became of it.
    #[serde(flatten)]
    pub change: ProcessChange,
}

/// Where a process runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum Workload {
    /// A unit of systemd.
    Unit(#[serde(deserialize_with = "text")] String),
    /// A container of Docker: its short number.
    Docker(#[serde(deserialize_with = "text")] String),
    /// A container of Podman: its short number.
    Podman(#[serde(deserialize_with = "text")] String),
    /// A container of Kubernetes: its short number.
    Kubernetes(#[serde(deserialize_with = "text")] String),
    /// A container of LXC or LXD: its name.
    Lxc(#[serde(deserialize_with = "text")] String),
    /// Another control group: its path.
    Cgroup(#[serde(deserialize_with = "text")] String),
    /// A container whose runtime told its name.
    Container(Box<NamedContainer>),
}

/// Who runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd, by itself or for Kubernetes.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
}

/// A container by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NamedContainer {
    /// Who runs it.
    pub runtime: Runtime,
    /// Its short id.
    #[serde(deserialize_with = "text")]
    pub id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub name: Option<String>,
    /// What it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub image: Option<String>,
    /// Namespace of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub namespace: Option<String>,
    /// Name of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub pod: Option<String>,
}

impl Runtime {
    /// As JSON has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
        }
    }
}

impl Workload {
    /// It is a container of whatever kind.
    #[must_use]
    pub fn is_container(&self) -> bool {
        !matches!(self, Self::Unit(_) | Self::Cgroup(_))
    }

    /// As it is shown, with what a container was made from.
    #[must_use]
    pub fn with_image(&self) -> String {
        match self {
            Self::Unit(name) => format!("unit {name}"),
            Self::Container(container) => match &container.image {
                Some(image) => format!("{self} ({image})"),
                None => self.to_string(),
            },
            _ => self.to_string(),
        }
    }

    /// Who runs it, as JSON has it; `None` of what is neither a container nor a unit.
    #[must_use]
    pub fn runtime(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unit(_) => "systemd",
            Self::Docker(_) => "docker",
            Self::Podman(_) => "podman",
            Self::Kubernetes(_) => "containerd",
            Self::Container(container) => container.runtime.name(),
            Self::Lxc(_) | Self::Cgroup(_) => return None,
        })
    }
}

impl fmt::Display for NamedContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or(&self.id);
        match (&self.namespace, &self.pod) {
            (Some(namespace), Some(pod)) => write!(f, "container {name} of pod {namespace}/{pod}"),
            _ => write!(f, "{} container {name}", self.runtime.name()),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(name) => f.write_str(name),
            Self::Docker(name) => write!(f, "Docker container {name}"),
            Self::Podman(name) => write!(f, "Podman container {name}"),
            Self::Kubernetes(name) => write!(f, "Kubernetes container {name}"),
            Self::Lxc(name) => write!(f, "LXC container {name}"),
            Self::Cgroup(path) => write!(f, "control group {path}"),
            Self::Container(container) => container.fmt(f),
        }
    }
}

/// Where a process of nginx runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsIn {
    /// When that was found out.
    pub at: Nanos,
    /// The process.
    pub pid: u32,
    /// Where it runs.
    pub workload: Workload,
}

/// The end of a process that serves an upstream on this host: it listens there, or was forked by one that does. Its
/// connections are closed after this moment, unless it closed them itself before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginExit {
    /// When it ended, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// Its process id, in the tracing host's numbering.
    pub pid: u32,
    /// Its name (`comm`), at most 15 bytes.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// What it ran, in short: program and script.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub command: Option<String>,
    /// Where it ran: a unit of systemd, a container, a control group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Workload>,
    /// The kernel had chosen it to free memory; `None` if this kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_memory: Option<bool>,
    /// Network namespace of nginx, 0 if not known.
    pub netns: u32,
    /// Address or path of the upstream that it served.
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

/// A process of this kernel, in whatever network namespace, ended its side of a connection to an upstream: its FIN or RST
/// left straight afterwards. Of processes that go on it is told only if they owed an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginClosed {
    /// When, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// Its process id, in the tracing host's numbering.
    pub pid: u32,
    /// Its name (`comm`), at most 15 bytes.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Workload>,
    /// Network namespace of the origin, 0 if not known.
    pub netns: u32,
    /// The origin's end, as its own socket has it: behind a translation another than nginx asked for.
    pub origin: SocketAddr,
    /// nginx's end, as the origin's socket has it.
    pub peer: SocketAddr,
    /// Sequence number of the next byte that the origin expected of nginx, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u32>,
    /// The process was exiting: the kernel closed the connection for it.
    #[serde(default)]
    pub exiting: bool,
    /// Signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Exit status, if it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// The kernel had chosen it to free memory; `None` if this kernel does not tell, or it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_memory: Option<bool>,
}

impl OriginClosed {
    /// The end of the process, as seen from nginx's network namespace; `None` of one that goes on.
    #[must_use]
    pub fn exit(&self, netns: u32, upstream: Upstream) -> Option<OriginExit> {
        self.exiting.then(|| OriginExit {
            at: self.at,
            pid: self.pid,
            name: self.name.clone(),
            command: None,
            home: self.home.clone(),
            out_of_memory: self.out_of_memory,
            netns,
            upstream,
            signal: self.signal,
            status: self.status,
            alone: true,
        })
    }
}
