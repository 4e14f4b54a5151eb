//! Where the processes of nginx run.

use std::collections::HashMap;

use crate::event::{RunsIn, Workload};

/// Processes that are remembered; of more it is not told.
const MOST: usize = 4_096;

/// Where each process runs, by its number. One that ended is known until another has its number: its last failures are
/// told later.
#[derive(Debug, Default)]
pub(in crate::engine) struct Workloads(HashMap<u32, Workload>);

impl Workloads {
    pub(in crate::engine) fn keep(&mut self, runs: &RunsIn) {
        if self.0.len() < MOST || self.0.contains_key(&runs.pid) {
            self.0.insert(runs.pid, runs.workload.clone());
        }
    }

    /// Forgets a process that has just begun: its number was another's before.
    pub(in crate::engine) fn forget(&mut self, pid: u32) {
        self.0.remove(&pid);
    }

    pub(in crate::engine) fn of(&self, pid: u32) -> Option<&Workload> {
        self.0.get(&pid)
    }
}
