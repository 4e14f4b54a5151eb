//! The process of the runtime that watches over a container.

use std::fs::File;
use std::io::Read;

use super::{ids, is_id};
use crate::host::{CommandLine, executable, stat};

/// Generations that are looked at: a container may have an init, a supervisor and a shell above nginx.
const GENERATIONS: usize = 32;

/// Bytes of `/proc/PID/cgroup` that are looked at.
const MAX_CGROUP: u64 = 8_192;

/// What kind of process it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `conmon`, of podman and CRI-O, with its arguments: one for each container.
    Conmon(Vec<String>),
    /// `containerd-shim`: one for each container or pod.
    Shim,
}

/// A process of a runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Monitor {
    pub(super) pid: u32,
    pub(super) kind: Kind,
    /// The id that it was started with: of the container, or of the pod's sandbox.
    id: Option<String>,
}

impl Monitor {
    /// The nearest one above a process.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let mut above = stat(pid)?.parent;
        for _ in 0..GENERATIONS {
            if above <= 1 {
                return None;
            }
            if let Some(monitor) = Self::read(above) {
                return Some(monitor);
            }
            above = stat(above)?.parent;
        }
        None
    }

    fn read(pid: u32) -> Option<Self> {
        let program = executable(pid)?;
        let name = program.name();
        if name != "conmon" && !name.starts_with("containerd-shim") {
            return None;
        }
        let arguments = CommandLine::read(pid)?.arguments().to_vec();
        let id = option(&arguments, if name == "conmon" { "-c" } else { "-id" });
        let id = id.filter(|id| is_id(id)).map(str::to_owned);
        let kind = if name == "conmon" { Kind::Conmon(arguments) } else { Kind::Shim };
        Some(Self { pid, kind, id })
    }

    /// The id of the container that a process below it runs in: of a pod the shim has another.
    pub(super) fn container_id(&self, pid: u32) -> Option<String> {
        let mut text = String::new();
        File::open(format!("/proc/{pid}/cgroup")).ok()?.take(MAX_CGROUP).read_to_string(&mut text).ok()?;
        let found = text.lines().find_map(|line| ids(line.splitn(3, ':').nth(2)?).next_back());
        found.map(str::to_owned).or_else(|| self.id.clone())
    }
}

/// The value of an option, `-x VALUE`.
pub(super) fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut values = arguments.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1].as_str());
    values.next()
}
