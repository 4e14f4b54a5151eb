//! The watched processes of nginx, by what they do.

use std::collections::BTreeMap;
use std::sync::Arc;

use upstream_trace_core::event::Outputs;

/// The processes of one or several nginx, by what they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchedPids {
    /// Masters: they have the logs open as well, but write nothing about upstreams.
    pub masters: Vec<u32>,
    /// Workers.
    pub workers: Vec<u32>,
    /// Processes whose role is not known yet.
    pub others: Vec<u32>,
    /// Servers of syslog to which workers send lines that go to no file, by worker; as far as is known.
    pub syslog: Arc<BTreeMap<u32, Vec<String>>>,
    /// Where the logs of workers go, as far as is known.
    pub outputs: Arc<BTreeMap<u32, Arc<Outputs>>>,
    /// Whether the kernel shows what workers write to logs that are read nowhere else; `None` if that was not tried.
    pub writes: Option<bool>,
}

impl WatchedPids {
    /// All of them, whatever their role.
    #[must_use]
    pub fn all(&self) -> Vec<u32> {
        [&self.masters[..], &self.workers, &self.others].concat()
    }
}
