//! nginx's configuration, by worker: one that is draining keeps the one it began with.

use std::collections::HashMap;
use std::sync::Arc;

use crate::case::servers;
use crate::engine::stores::overflow::Overflow;
use crate::event::{Config, Process, ProcessChange, Upstream};
use crate::verdict::Summary;

/// Workers that are remembered.
const WORKERS: usize = 4_096;

/// The store.
#[derive(Debug, Default)]
pub(in crate::engine) struct Configs {
    /// `None` for workers whose configuration is not known.
    by_worker: HashMap<u32, Option<Arc<Config>>>,
    /// Workers for which there was no room.
    pub(in crate::engine) lost: Overflow,
    /// For workers that began after it was read.
    latest: Option<Arc<Config>>,
}

impl Configs {
    pub(in crate::engine) fn read(&mut self, config: &Config) {
        let at = config.at;
        let config = Arc::new(config.clone());
        let room = WORKERS.saturating_sub(self.by_worker.len());
        for worker in config.workers.iter().take(room) {
            self.by_worker.insert(*worker, Some(Arc::clone(&config)));
        }
        for worker in config.older.iter().take(room.saturating_sub(config.workers.len())) {
            self.by_worker.entry(*worker).or_default();
        }
        for _ in room..config.workers.len().saturating_add(config.older.len()) {
            self.lost.note(at, at);
        }
        self.latest = Some(config);
    }

    pub(in crate::engine) fn process(&mut self, process: &Process) {
        if matches!(process.change, ProcessChange::WorkerExited { .. }) {
            self.by_worker.remove(&process.pid);
        }
    }

    /// The configuration of a worker.
    pub(in crate::engine) fn of(&self, worker: u32) -> Option<&Config> {
        self.by_worker.get(&worker).unwrap_or(&self.latest).as_deref()
    }

    /// Names the groups in a summary.
    pub(in crate::engine) fn name(&self, summary: &mut Summary) {
        let Some(config) = &self.latest else { return };
        for count in &mut summary.by_cause {
            count.group = group(config, count.upstream.as_ref());
        }
        for found in &mut summary.upstreams {
            found.group = group(config, found.upstream.as_ref());
        }
    }
}

/// The only group of an upstream.
fn group(config: &Config, upstream: Option<&Upstream>) -> Option<String> {
    let mut groups = servers(config, upstream?).into_iter().map(|(group, _)| &group.name);
    let first = groups.next()?;
    groups.all(|other| other == first).then(|| first.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{config, remote};

    #[test]
    fn a_worker_keeps_the_configuration_it_began_with() {
        let mut configs = Configs::default();
        assert!(configs.of(7).is_none());
        configs.read(&Config { workers: vec![7], ..config() });
        configs.read(&Config { workers: vec![8], groups: Vec::new(), ..config() });
        let groups = |configs: &Configs, worker| configs.of(worker).map(|read| read.groups.len());
        assert_eq!(
            (groups(&configs, 7), groups(&configs, 8), groups(&configs, 9)),
            (Some(1), Some(0), Some(0))
        );
        configs.read(&Config { workers: vec![8], older: vec![7, 10], ..config() });
        assert_eq!(
            (groups(&configs, 7), groups(&configs, 8), groups(&configs, 10)),
            (Some(1), Some(1), None)
        );
        let change = ProcessChange::WorkerExited { status: Some(0), signal: None };
        configs.process(&Process { at: 1, pid: 7, change });
        assert_eq!(groups(&configs, 7), Some(1), "as one that began later");
    }

    #[test]
    fn an_address_of_two_groups_has_no_name_of_its_own() {
        let mut read = config();
        let upstream = Upstream::Tcp(remote());
        assert_eq!(group(&read, Some(&upstream)).as_deref(), Some("backend"));
        assert_eq!(group(&read, None), None);
        let mut other = read.groups[0].clone();
        other.name = "other".to_owned();
        read.groups.push(other);
        assert_eq!(group(&read, Some(&upstream)), None);
    }
}
