//! Which processes serve the upstreams on this host, so that their end can explain what becomes of connections.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use upstream_trace_common::OriginExit;
use upstream_trace_core::event::{self, Event, Nanos, Upstream, Workload};

use super::Live;
use crate::host::netns;
use crate::kernel::tables::Tables;
use crate::netcontext::{self, SocketOwnerScan, Sockets};
use crate::nginx::exit_status as exit;

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

/// An upstream, seen from a network namespace.
type Key = (u32, Upstream);

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
#[derive(Debug, Default)]
pub struct Origins {
    looked: Nanos,
    swept: Nanos,
    searched: Nanos,
    /// A worker in each network namespace.
    namespaces: BTreeMap<u32, u32>,
    upstreams: HashMap<Key, Watched>,
    /// By the process that was named to the kernel side.
    processes: HashMap<u32, Served>,
    search: Option<SocketOwnerScan>,
    /// Processes for which the table had no room.
    pub lost: u64,
}

impl Origins {
    /// Whether all upstreams of that time were looked at.
    pub fn looked_since(&self, time: Nanos) -> bool {
        self.looked >= time && self.search.is_none()
    }

    /// The upstreams that this process, or the one that forked it, served; one event for each.
    pub fn ended(&mut self, ended: &OriginExit, tables: &Tables) -> Vec<Event> {
        let Some(served) = self.processes.get(&ended.origin) else { return Vec::new() };
        let (pid, at) = (ended.header.tgid, ended.header.now_ns);
        let left = tables.serving();
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
    fn found(&mut self, holders: BTreeMap<u32, Sockets>, now: Nanos, tables: &mut Tables) {
        for (pid, served) in &mut self.processes {
            if !holders.contains_key(pid) && now.saturating_sub(served.last) < REMEMBERED && alive(*pid) {
                tables.serves_no_more(*pid);
            }
        }
        for (pid, sockets) in holders {
            let holds = |known: &Watched| known.listeners.iter().any(|inode| sockets.contains_key(inode));
            let upstreams: BTreeSet<Key> =
                self.upstreams.iter().filter(|(_, known)| holds(known)).map(|(key, _)| key.clone()).collect();
            if upstreams.is_empty() {
                continue;
            }
            if tables.serve(pid) && alive(pid) {
                let (command, home) = (netcontext::command(pid), netcontext::home(pid));
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
}

impl Live {
    /// Looks for the processes behind upstreams on this host, a little at a time.
    pub fn look_for_origins(&mut self, now: Nanos) {
        if now.saturating_sub(self.origins.looked) >= LOOK {
            self.origins.looked = now;
            self.look_at_upstreams(now);
        }
        let done = self.origins.search.as_mut().and_then(SocketOwnerScan::step);
        if let Some(holders) = done {
            self.origins.search = None;
            self.origins.searched = now;
            for (pid, sockets) in &holders {
                for (inode, descriptor) in sockets {
                    self.enricher.learn(*inode, *pid, *descriptor);
                }
            }
            self.origins.found(holders, now, &mut self.tables);
        }
    }

    fn look_at_upstreams(&mut self, now: Nanos) {
        if now.saturating_sub(self.origins.swept) >= LOOK_AGAIN || self.origins.namespaces.is_empty() {
            self.origins.swept = now;
            self.origins.sweep(now, &self.tables);
            self.origins.namespaces.clear();
            for pid in self.nginx.worker_pids().into_iter().take(WORKERS) {
                if let Some(inode) = netns::inode_of(pid)
                    && self.origins.namespaces.len() < NAMESPACES
                {
                    self.origins.namespaces.entry(inode).or_insert(pid);
                }
            }
        }
        let mut news = false;
        let mut seen = HashSet::new();
        for address in self.tables.upstream_addresses(UPSTREAMS) {
            let Some(upstream) = self.name(&address) else { continue };
            for (netns, worker) in self.origins.namespaces.clone() {
                let key = (netns, upstream.clone());
                seen.insert(key.clone());
                let known = self.origins.upstreams.entry(key).or_default();
                if known.looked != 0 && now.saturating_sub(known.looked) < LOOK_AGAIN {
                    continue;
                }
                known.looked = now;
                let mut listeners = self.enricher.listening(worker, netns, &upstream, now);
                listeners.sort_unstable();
                if listeners != known.listeners {
                    known.complete = listeners.is_empty();
                    news |= !listeners.is_empty();
                    known.listeners = listeners;
                }
            }
        }
        self.origins.upstreams.retain(|key, _| seen.contains(key));
        let old = now.saturating_sub(self.origins.searched) >= SEARCH_AGAIN && self.origins.search.is_none();
        if news || old {
            let wanted = self.origins.wanted();
            self.origins.search = (!wanted.is_empty()).then(|| SocketOwnerScan::of(wanted));
        }
    }
}

fn alive(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}
