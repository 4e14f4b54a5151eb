//! Where the processes of nginx run.

use std::collections::HashMap;

use crate::bounded::Bounded;
use crate::event::{Nanos, RunsIn, Workload};

/// Processes that are remembered; of more it is not told.
const MOST: usize = 4_096;
/// Of those that ended; the one that ended first makes room.
const MOST_ENDED: usize = 1_024;

/// Where each process runs, by its number.
#[derive(Debug)]
pub(in crate::engine) struct Workloads {
    running: HashMap<u32, Workload>,
    /// Their last failures are told after their end.
    ended: Bounded<u32, Workload>,
}

impl Default for Workloads {
    fn default() -> Self {
        Self { running: HashMap::new(), ended: Bounded::new(MOST_ENDED) }
    }
}

impl Workloads {
    pub(in crate::engine) fn keep(&mut self, runs: &RunsIn) {
        if self.running.len() < MOST || self.running.contains_key(&runs.pid) {
            self.running.insert(runs.pid, runs.workload.clone());
        }
    }

    /// Forgets a process that has just begun: its number was another's before.
    pub(in crate::engine) fn forget(&mut self, pid: u32) {
        self.running.remove(&pid);
        self.ended.remove(&pid);
    }

    /// A process ended: it is known for a while, or until another has its number.
    pub(in crate::engine) fn end(&mut self, pid: u32, at: Nanos) {
        if let Some(workload) = self.running.remove(&pid) {
            self.ended.insert(pid, workload, at);
        }
    }

    pub(in crate::engine) fn of(&self, pid: u32) -> Option<&Workload> {
        self.running.get(&pid).or_else(|| self.ended.get(&pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_processes_that_come_and_go_the_last_ones_are_known() {
        let mut workloads = Workloads::default();
        let workload = Workload::Unit("nginx.service".to_owned());
        let last = 3 * MOST as u32;
        for pid in 1..=last {
            workloads.keep(&RunsIn { at: u64::from(pid), pid, workload: workload.clone() });
            assert_eq!(workloads.of(pid), Some(&workload), "{pid}");
            workloads.end(pid, u64::from(pid));
        }
        assert_eq!((workloads.of(last), workloads.of(1)), (Some(&workload), None));
        workloads.forget(last);
        assert_eq!(workloads.of(last), None);
    }
}
