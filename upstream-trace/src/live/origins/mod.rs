//! Which processes serve the upstreams on this host, so that their end can explain what becomes of connections.

mod allowance;
mod search;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use upstream_trace_common::OriginExit;
use upstream_trace_core::event::{self, Event, Nanos, Workload};

use super::context::Context;
use super::surroundings::Surroundings;
use super::worker::Worker;
use crate::host::netns;
use crate::kernel::tables::Tables;
use crate::netcontext;
use crate::nginx::exit_status as exit;
use allowance::Allowance;
use search::{Answer, Holder, Key, Question, searcher};

/// Upstreams that are looked at.
const UPSTREAMS: usize = 64;
/// Network namespaces of workers that are looked at.
const NAMESPACES: usize = 4;
/// Workers whose namespace is looked at; those of one nginx are all in one.
const WORKERS: usize = 32;
/// Between two looks at the upstreams, for new ones.
const LOOK: Nanos = 100_000_000;
/// Between two looks at the listeners of a known upstream: it may have been restarted.
const LOOK_AGAIN: Nanos = 1_000_000_000;
/// Between two searches for processes without a new listener. Children are noted by the kernel side meanwhile.
const SEARCH_AGAIN: Nanos = 30_000_000_000;
/// A process that ended is remembered for so long, since word of its end may still be on the way.
const REMEMBERED: Nanos = 3_000_000_000;

/// A search that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Watched {
    looked: Nanos,
    listeners: Vec<u32>,
    /// All holders of these listeners have been searched for.
    complete: bool,
}

#[derive(Debug, Default)]
struct Served {
    upstreams: BTreeSet<Key>,
    command: Option<String>,
    home: Option<Workload>,
    /// When it, or a child of it, was last there.
    last: Nanos,
}

/// The origins on this host.
pub(super) struct Origins {
    worker: Worker<Question, Answer>,
    /// When upstreams were last looked at, and when that was begun.
    looked: Nanos,
    began: Nanos,
    looking: bool,
    swept: Nanos,
    searched: Nanos,
    searching: bool,
    /// A worker in each network namespace.
    namespaces: BTreeMap<u32, u32>,
    upstreams: HashMap<Key, Watched>,
    /// By the process that was named to the kernel side.
    processes: HashMap<u32, Served>,
    /// Ends that may be looked at.
    allowance: Allowance,
    /// Processes for which the table had no room, and ends that were too many.
    lost: u64,
}

impl Origins {
    pub(super) fn new(wake: &Arc<Notify>) -> Self {
        Self {
            worker: Worker::new("origins", searcher, 2, LIMIT, wake),
            looked: 0,
            began: 0,
            looking: false,
            swept: 0,
            searched: 0,
            searching: false,
            namespaces: BTreeMap::new(),
            upstreams: HashMap::new(),
            processes: HashMap::new(),
            allowance: Allowance::default(),
            lost: 0,
        }
    }

    /// Whether all upstreams of that time were looked at.
    pub(super) fn looked_since(&self, time: Nanos) -> bool {
        self.looked >= time && !self.searching
    }

    /// Processes that are not watched for want of room, and ends that were not looked at.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// The upstreams that this process, or the one that forked it, served; one event for each.
    pub(super) fn ended(&mut self, ended: &OriginExit, tables: &Tables) -> Vec<Event> {
        let Some(served) = self.processes.get(&ended.origin) else { return Vec::new() };
        let (pid, at) = (ended.header.tgid, ended.header.now_ns);
        // One that forks and fails in a loop takes no more of the event loop than that.
        if !self.allowance.allows(at) {
            self.lost += 1;
            return Vec::new();
        }
        let left = tables.serving();
        self.allowance.take(left.len());
        let name = ended.comm.split(|byte| *byte == 0).next().unwrap_or_default();
        let (status, signal) = exit(ended.exit_code);
        // A process that has ended is still in its control group until its parent has asked how.
        let home = netcontext::home(pid).or_else(|| served.home.clone());
        let out_of_memory = match ended.oom {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        let exit = |key: &Key| {
            let is_there = |(other, origin): &(u32, u32)| {
                *other != pid
                    && self.processes.get(origin).is_some_and(|served| served.upstreams.contains(key))
            };
            Event::OriginExit(event::OriginExit {
                at,
                pid,
                name: String::from_utf8_lossy(name).into_owned(),
                command: served.command.clone(),
                home: home.clone(),
                out_of_memory,
                netns: key.0,
                upstream: key.1.clone(),
                signal,
                status,
                alone: self.upstreams.get(key).is_some_and(|known| known.complete)
                    && !left.iter().any(is_there),
            })
        };
        served.upstreams.iter().map(exit).collect()
    }

    /// What the search found is what counts from now on.
    fn found(&mut self, holders: BTreeMap<u32, Holder>, now: Nanos, tables: &mut Tables) {
        for (pid, served) in &mut self.processes {
            if !holders.contains_key(pid) && now.saturating_sub(served.last) < REMEMBERED && alive(*pid) {
                tables.serves_no_more(*pid);
            }
        }
        for (pid, Holder { sockets, command, home }) in holders {
            let holds = |known: &Watched| known.listeners.iter().any(|inode| sockets.contains_key(inode));
            let upstreams: BTreeSet<Key> =
                self.upstreams.iter().filter(|(_, known)| holds(known)).map(|(key, _)| key.clone()).collect();
            if upstreams.is_empty() {
                continue;
            }
            if tables.serve(pid) && alive(pid) {
                self.processes.insert(pid, Served { upstreams, command, home, last: now });
            } else if alive(pid) {
                self.lost += 1;
            } else {
                // It ended before it was watched.
                tables.serves_no_more(pid);
            }
        }
        for known in self.upstreams.values_mut() {
            known.complete = !known.listeners.is_empty();
        }
    }

    /// Forgets processes that are gone with all their children.
    fn sweep(&mut self, now: Nanos, tables: &Tables) {
        if self.processes.is_empty() {
            return;
        }
        for (_, origin) in tables.serving() {
            if let Some(served) = self.processes.get_mut(&origin) {
                served.last = now;
            }
        }
        self.processes.retain(|_, served| now.saturating_sub(served.last) < REMEMBERED);
    }

    fn wanted(&self) -> HashSet<u32> {
        self.upstreams.values().flat_map(|known| known.listeners.iter().copied()).collect()
    }

    /// Looks for the processes behind upstreams on this host, in small steps.
    pub(super) fn poll(&mut self, now: Nanos, context: &mut Context, surroundings: &mut Surroundings) {
        while let Some(answer) = self.worker.answer() {
            match answer {
                Answer::Listeners(found) => self.listeners(found, now),
                Answer::Holders(holders) => {
                    (self.searching, self.searched) = (false, now);
                    let owners = holders.iter().flat_map(|(pid, holder)| {
                        holder.sockets.iter().map(|(inode, descriptor)| (*inode, *pid, *descriptor))
                    });
                    surroundings.learn(owners.collect());
                    self.found(holders, now, &mut context.tables);
                }
            }
        }
        if self.worker.give_up().is_some() {
            (self.looking, self.searching) = (false, false);
        }
        if !self.looking && now.saturating_sub(self.began) >= LOOK {
            self.began = now;
            self.look(now, context);
        }
    }

    fn look(&mut self, now: Nanos, context: &mut Context) {
        if now.saturating_sub(self.swept) >= LOOK_AGAIN || self.namespaces.is_empty() {
            self.swept = now;
            self.sweep(now, &context.tables);
            self.look_at_namespaces(&context.nginx.worker_pids());
        }
        let (mut seen, mut due) = (HashSet::new(), Vec::new());
        for address in context.tables.upstream_addresses(UPSTREAMS) {
            let Some(upstream) = context.upstream(&address) else { continue };
            for (netns, worker) in &self.namespaces {
                let key = (*netns, upstream.clone());
                seen.insert(key.clone());
                let known = self.upstreams.entry(key.clone()).or_default();
                if known.looked == 0 || now.saturating_sub(known.looked) >= LOOK_AGAIN {
                    known.looked = now;
                    due.push((key, *worker));
                }
            }
        }
        self.upstreams.retain(|key, _| seen.contains(key));
        if due.is_empty() {
            self.looked = now;
            self.search_if(false, now);
        } else {
            self.looking = self.worker.ask(Question::Listeners(due, now));
        }
    }

    fn look_at_namespaces(&mut self, workers: &[u32]) {
        self.namespaces.clear();
        for pid in workers.iter().take(WORKERS) {
            if let Some(inode) = netns::inode_of(*pid)
                && self.namespaces.len() < NAMESPACES
            {
                self.namespaces.entry(inode).or_insert(*pid);
            }
        }
    }

    fn listeners(&mut self, found: Vec<(Key, Vec<u32>)>, now: Nanos) {
        (self.looking, self.looked) = (false, self.began);
        let mut news = false;
        for (key, listeners) in found {
            let Some(known) = self.upstreams.get_mut(&key) else { continue };
            if listeners != known.listeners {
                known.complete = listeners.is_empty();
                news |= !listeners.is_empty();
                known.listeners = listeners;
            }
        }
        self.search_if(news, now);
    }

    /// Searches for holders of the listeners if there are new ones, and now and then.
    fn search_if(&mut self, news: bool, now: Nanos) {
        let old = now.saturating_sub(self.searched) >= SEARCH_AGAIN && !self.searching;
        if news || old {
            let wanted = self.wanted();
            if !wanted.is_empty() {
                self.searching = self.worker.ask(Question::Holders(wanted));
            }
        }
    }
}

fn alive(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}
