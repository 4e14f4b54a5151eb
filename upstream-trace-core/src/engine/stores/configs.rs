//! nginx's configuration, by worker: one that is draining keeps the one it began with.

use std::sync::Arc;

use crate::bounded::Bounded;
use crate::case::only_group;
use crate::engine::stores::overflow::Overflow;
use crate::event::{Config, Nanos, Process, ProcessChange, Upstream, weigh_rare};
use crate::verdict::Summary;

/// Workers that are remembered; the one whose configuration was read first makes room.
const MAX_WORKERS: usize = 4_096;
/// Bytes of all configurations: that of a large nginx takes about one million.
const MAX_BYTES: usize = 64 << 20;

/// The store.
#[derive(Debug)]
pub(in crate::engine) struct Configs {
    /// `None` for workers whose configuration is not known.
    by_worker: Bounded<u32, Option<Share>>,
    /// Workers for which there was no room.
    pub(in crate::engine) lost: Overflow,
    /// For workers that began after it was read.
    latest: Option<Arc<Config>>,
}

/// A worker's part of the configuration that it shares with others.
#[derive(Debug)]
struct Share {
    config: Arc<Config>,
    bytes: usize,
}

impl Default for Configs {
    fn default() -> Self {
        let weigh = |share: &Option<Share>| share.as_ref().map_or(0, |share| share.bytes);
        let by_worker = Bounded::with_max_bytes(MAX_WORKERS, MAX_BYTES, weigh);
        Self { by_worker, lost: Overflow::default(), latest: None }
    }
}

impl Configs {
    pub(in crate::engine) fn read(&mut self, config: Box<Config>) {
        let at = config.at;
        let config: Arc<Config> = Arc::from(config);
        let bytes = weigh_rare(&*config) / config.workers.len().max(1);
        for worker in &config.workers {
            let share = Share { config: Arc::clone(&config), bytes };
            self.insert(*worker, Some(share), at);
        }
        for worker in &config.older {
            if !self.by_worker.contains_key(worker) {
                self.insert(*worker, None, at);
            }
        }
        self.latest = Some(config);
    }

    fn insert(&mut self, worker: u32, share: Option<Share>, at: Nanos) {
        self.lost.note_evicted(self.by_worker.insert(worker, share, at), Nanos::MAX, at);
    }

    pub(in crate::engine) fn process(&mut self, process: &Process) {
        if matches!(process.change, ProcessChange::WorkerExited { .. }) {
            self.by_worker.remove(&process.pid);
        }
    }

    /// The configuration of a worker.
    pub(in crate::engine) fn of(&self, worker: u32) -> Option<&Config> {
        match self.by_worker.get(&worker) {
            Some(share) => share.as_ref().map(|share| &*share.config),
            None => self.latest.as_deref(),
        }
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
    only_group(config, upstream?).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{config, remote};

    #[test]
    fn a_worker_keeps_the_configuration_it_began_with() {
        let mut configs = Configs::default();
        assert!(configs.of(7).is_none());
        configs.read(Box::new(Config { workers: vec![7], ..config() }));
        configs.read(Box::new(Config { workers: vec![8], groups: Vec::new(), ..config() }));
        let groups = |configs: &Configs, worker| configs.of(worker).map(|read| read.groups.len());
        assert_eq!(
            (groups(&configs, 7), groups(&configs, 8), groups(&configs, 9)),
            (Some(1), Some(0), Some(0))
        );
        configs.read(Box::new(Config { workers: vec![8], older: vec![7, 10], ..config() }));
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
