//! nginx's configuration: read at the start, and again when workers appear that may have another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use upstream_trace_core::event::{Config, Event};

use super::{Live, now};
use crate::nginx::{self, Role, WatchedNginx};

/// A failure that is there at once has the names, too, if reading takes no longer than this.
const PATIENCE: Duration = Duration::from_millis(50);

type Read = Result<Config, String>;

/// What is read on a thread of its own.
#[derive(Debug)]
pub struct Configs {
    /// Workers that were asked about.
    asked: BTreeSet<u32>,
    send: Sender<Read>,
    answers: Receiver<Read>,
    awaited: usize,
}

impl Configs {
    /// Begins to read.
    pub fn begin(nginx: &WatchedNginx) -> Self {
        let (send, answers) = channel();
        let mut configs = Self { asked: BTreeSet::new(), send, answers, awaited: 0 };
        configs.ask(&nginx.worker_pids());
        configs
    }

    /// Asks about workers that are new.
    fn ask(&mut self, workers: &[u32]) {
        self.asked.retain(|worker| workers.contains(worker));
        let mut by_master = BTreeMap::<u32, Vec<u32>>::new();
        for worker in workers {
            if self.asked.insert(*worker)
                && let Some(master) = master_of(*worker)
            {
                by_master.entry(master).or_default().push(*worker);
            }
        }
        for (master, workers) in by_master {
            let send = self.send.clone();
            self.awaited += 1;
            thread::spawn(move || drop(send.send(nginx::read_config(master, &workers, now()))));
        }
    }

    fn heard(&mut self, read: Read) -> Option<Event> {
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
                Some(Event::Config(Box::new(config)))
            }
            Err(why) => {
                log::info!("nginx's configuration could not be read, upstreams have no names: {why}");
                None
            }
        }
    }
}

impl Live {
    /// Waits a moment for what is being read.
    pub(super) fn wait_for_config(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.configs.awaited > 0 {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(read) = self.configs.answers.recv_timeout(left) else { break };
            if let Some(event) = self.configs.heard(read) {
                self.feed(event);
            }
        }
    }

    /// Takes in what was read.
    pub(super) fn poll_config(&mut self) {
        while let Ok(read) = self.configs.answers.try_recv() {
            if let Some(event) = self.configs.heard(read) {
                self.feed(event);
            }
        }
    }

    /// About once a second.
    pub(super) fn look_for_config(&mut self) {
        let workers = self.nginx.worker_pids();
        self.configs.ask(&workers);
    }
}

/// The process whose command line names the configuration.
fn master_of(worker: u32) -> Option<u32> {
    if nginx::role_of(worker) == Some(Role::Single) {
        return Some(worker);
    }
    nginx::parent_of(worker).filter(|parent| nginx::role_of(*parent) == Some(Role::Master))
}
