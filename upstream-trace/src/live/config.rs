//! nginx's configuration: read at the start, and again when workers appear that may have another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use upstream_trace_core::event::{Config, Event};

use super::context::Batch;
use super::now;
use crate::host::privileges;
use crate::nginx::{self, Role, WatchedNginx};

/// A failure that is there at once has the names, too, if reading takes no longer than this.
const PATIENCE: Duration = Duration::from_millis(50);

/// Threads that read at a time. Those on a file system that does not answer count for ever.
const READERS: usize = 8;

type Read = Result<Config, String>;

/// What is read on threads of their own.
pub(super) struct Configs {
    /// Workers that were asked about.
    asked: BTreeSet<u32>,
    send: Sender<Read>,
    answers: Receiver<Read>,
    awaited: usize,
    wake: Arc<Notify>,
}

impl Configs {
    /// Begins to read.
    pub(super) fn begin(nginx: &WatchedNginx, wake: &Arc<Notify>) -> Self {
        let (send, answers) = channel();
        let mut configs = Self { asked: BTreeSet::new(), send, answers, awaited: 0, wake: Arc::clone(wake) };
        configs.ask(nginx);
        configs
    }

    /// Asks about workers that are new; once a second.
    pub(super) fn ask(&mut self, nginx: &WatchedNginx) {
        let workers = nginx.worker_pids();
        self.asked.retain(|worker| workers.contains(worker));
        let mut by_master = BTreeMap::<u32, Vec<u32>>::new();
        for worker in workers {
            if self.awaited < READERS
                && self.asked.insert(worker)
                && let Some(master) = master_of(worker)
            {
                by_master.entry(master).or_default().push(worker);
            }
        }
        for (master, workers) in by_master {
            self.awaited += 1;
            self.read(master, workers);
        }
    }

    fn read(&self, master: u32, workers: Vec<u32>) {
        let (send, wake) = (self.send.clone(), Arc::clone(&self.wake));
        thread::spawn(move || {
            if let Err(error) = privileges::drop_capabilities() {
                log::debug!("capabilities: {error:#}");
            }
            let _trace_is_over = send.send(nginx::read_config(master, &workers, now()));
            wake.notify_one();
        });
    }

    /// Waits a moment for what is being read at the start.
    pub(super) fn wait(&mut self, to: &mut Batch) {
        let until = Instant::now() + PATIENCE;
        while self.awaited > 0 {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(read) = self.answers.recv_timeout(left) else { break };
            self.take(read, to);
        }
    }

    /// What was read since the last time.
    pub(super) fn poll(&mut self, to: &mut Batch) {
        while let Ok(read) = self.answers.try_recv() {
            self.take(read, to);
        }
    }

    fn take(&mut self, read: Read, to: &mut Batch) {
        self.awaited = self.awaited.saturating_sub(1);
        match read {
            Ok(config) => {
                match &config.unread {
                    Some(unread) => log::info!("not all of nginx's configuration could be read: {unread}"),
                    None => log::info!(
                        "nginx's configuration, {}: {} blocks upstream{{}}, {} places that send requests to one",
                        config.file,
                        config.groups.len(),
                        config.passes.len()
                    ),
                }
                to.event(Event::Config(Box::new(config)));
            }
            Err(why) => {
                log::info!("nginx's configuration could not be read, upstreams have no names: {why}");
            }
        }
    }
}

/// The process whose command line names the configuration.
fn master_of(worker: u32) -> Option<u32> {
    if nginx::role_of(worker) == Some(Role::Single) {
        return Some(worker);
    }
    nginx::parent_of(worker).filter(|parent| nginx::role_of(*parent) == Some(Role::Master))
}
