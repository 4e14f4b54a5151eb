//! The container that a process runs in, without asking a daemon: its id stands in the control group, and the process of
//! the runtime that watches over it (`containerd-shim`, `conmon`) is an ancestor of all that runs in it. What that
//! process was started with leads to the runtime's files, which have names, image and log.
//!
//! The files are read as the runtime's process sees them, so that neither a private mount namespace of the runtime nor
//! one of this program matters.

mod bundle;
mod conmon;
mod docker;
mod files;
mod monitor;
mod pods;

use std::path::PathBuf;
use std::time::Duration;

use upstream_trace_core::event::{NamedContainer, Runtime};

pub use files::Files;
use monitor::Monitor;

use super::patience::within;

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Name of the container within the pod.
    pub container: String,
}

/// Where what a container writes to its stdout and stderr goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ContainerLog {
    /// To a file, by its path as the runtime knows it; several after a rotation, the last one is written to.
    File(PathBuf),
    /// To the journal.
    Journal,
    /// Somewhere by this driver, from where it cannot be read.
    Driver(String),
    /// Not known.
    #[default]
    Unknown,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Who runs it.
    pub runtime: Runtime,
    /// Its full id: 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// What it was made from.
    pub image: Option<String>,
    /// The pod that it belongs to.
    pub pod: Option<Pod>,
    /// Where its output goes.
    pub log: ContainerLog,
    /// The runtime's process that watches over it, as whose the runtime's files are read.
    pub monitor: u32,
}

/// Files of a runtime are waited for so long: whoever calls itself one may have them where nothing answers.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest name, in characters; Kubernetes allows 253.
const MAX_NAME: usize = 256;

/// Digits of an id, as the runtimes' own tools show them.
const SHORT_ID: usize = 12;

impl Container {
    /// That of a process; `None` if it is gone, in none, in one of a runtime that is not known, or in one whose files do not
    /// answer.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let monitor = Monitor::of(pid)?;
        within(PATIENCE, move || Self::watched_by(&monitor, pid)).flatten()
    }

    fn watched_by(monitor: &Monitor, pid: u32) -> Option<Self> {
        let id = monitor.container_id(pid)?;
        let files = Files::of(monitor.pid)?;
        Some(match &monitor.kind {
            monitor::Kind::Conmon(arguments) => conmon::container(id, monitor.pid, arguments, &files),
            monitor::Kind::Shim => {
                let bundle = bundle::Bundle::of_shim(monitor.pid, &id, &files);
                let docker = bundle.as_ref().and_then(|bundle| docker::container(&id, bundle, &files));
                match docker {
                    Some(docker) => Self { monitor: monitor.pid, ..docker },
                    None => pods::container(id, monitor.pid, bundle.as_ref(), &files),
                }
            }
        })
    }

    /// Its names.
    #[must_use]
    pub fn named(&self) -> NamedContainer {
        let of_pod = |text: fn(&Pod) -> &String| {
            self.pod.as_ref().map(|pod| text(pod).chars().take(MAX_NAME).collect())
        };
        let short = |text: &Option<String>| text.as_ref().map(|text| text.chars().take(MAX_NAME).collect());
        NamedContainer {
            runtime: self.runtime,
            id: self.short_id().to_owned(),
            name: short(&self.name),
            image: short(&self.image),
            namespace: of_pod(|pod| &pod.namespace),
            pod: of_pod(|pod| &pod.name),
        }
    }

    /// The id as the runtimes' own tools show it.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..SHORT_ID).unwrap_or(&self.id)
    }

    /// It is meant by this: its name, or the beginning of its id.
    #[must_use]
    pub fn is_meant_by(&self, text: &str) -> bool {
        let by_id = text.len() >= 4 && self.id.starts_with(&text.to_ascii_lowercase());
        let by_name = self.name.as_deref() == Some(text);
        by_id || by_name || self.pod.as_ref().is_some_and(|pod| pod.container == text)
    }
}

impl Pod {
    /// `NAMESPACE/NAME` means it; so does its name alone.
    #[must_use]
    pub fn is_meant_by(&self, text: &str) -> bool {
        match text.split_once('/') {
            Some((namespace, name)) => self.namespace == namespace && self.name == name,
            None => self.name == text,
        }
    }
}

/// The ids in a path of a control group: 64 hexadecimal digits, innermost last.
fn ids(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('/').map(|part| part.strip_suffix(".scope").unwrap_or(part));
    parts.filter_map(|part| part.rsplit(['-', ':']).next().filter(|id| is_id(id)))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
