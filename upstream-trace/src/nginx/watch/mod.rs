//! Which processes are watched, and what becomes of them. Events of the kernel side say it at once; since events may be
//! lost, what they say is compared with `/proc` each second.

mod newcomers;
mod reconcile;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};
use upstream_trace_common::{EventKind, ProcessEvent};
use upstream_trace_core::event::{Event, Nanos, Process, ProcessChange, RunsIn, Workload};

use crate::host::WatchedPids;
use crate::host::{self, Identity};
use crate::nginx::wordsize::is_32_bit;
use crate::nginx::{self, Role, Target};
use newcomers::Newcomers;

/// Where the kernel side is told which processes to watch.
pub trait WatchTable {
    /// Watches this process; of a master only its children. One that is watched already stays as it is.
    ///
    /// # Errors
    /// If there is no room.
    fn watch(&mut self, pid: u32, master: bool) -> Result<()>;

    /// This process turned out to serve requests itself (`master_process off`).
    fn serves(&mut self, pid: u32);

    /// Stops watching this process.
    fn forget(&mut self, pid: u32);

    /// Connections on this local port are those of clients.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn listening(&mut self, port: u16) -> Result<()>;
}

/// What was asked for, and the masters that it led to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Selector {
    target: Target,
    masters: BTreeSet<u32>,
}

/// The watched processes.
#[derive(Debug, Default)]
pub struct WatchedNginx {
    selectors: Vec<Selector>,
    /// Masters.
    pub masters: BTreeSet<u32>,
    /// Workers, and whether each is draining.
    pub workers: BTreeMap<u32, bool>,
    /// Cache managers and the like, and children whose role is not known yet.
    others: BTreeSet<u32>,
    /// When each of them started, in clock ticks from boot: a pid may be given to another process.
    started: BTreeMap<u32, u64>,
    /// Children of masters that are no nginx, with their start.
    strangers: BTreeMap<u32, u64>,
    /// Processes that were not there the last time, whose end may still be told by an event.
    missing: BTreeSet<u32>,
    /// Where processes run, as far as it was told.
    placed: BTreeMap<u32, Option<Workload>>,
    /// The last worker whose title was looked at.
    last_titled: u32,
    /// When nginx may be looked for again.
    next_search: Nanos,
    /// When a process was last found that may have no title yet, if one was.
    last_fork: Option<Nanos>,
    /// When a master ended last, if one did.
    master_ended: Option<Nanos>,
    /// What was started since a master ended, while another one is looked for.
    newcomers: Option<Newcomers>,
    /// When they may be looked at again.
    next_look: Nanos,
    /// What was said of the last search that found nothing.
    search_failed: Option<String>,
}

impl WatchedNginx {
    /// Finds what was asked for, and makes sure that it can be looked at.
    ///
    /// # Errors
    /// With what is wrong and what to do about it.
    pub fn find(targets: &[Target]) -> Result<Self> {
        let found = Self::look_for(targets)?;
        nginx::reach(&found.all().collect::<Vec<_>>())?;
        Ok(found)
    }

    /// Finds what was asked for.
    ///
    /// # Errors
    /// With what is wrong and what to do about it.
    pub fn look_for(targets: &[Target]) -> Result<Self> {
        let mut found = Self::default();
        for target in targets {
            let masters = found.search(target)?;
            found.selectors.push(Selector { target: target.clone(), masters });
        }
        Ok(found)
    }

    /// Looks for processes that are not known yet; returns the masters of them all.
    fn search(&mut self, target: &Target) -> Result<BTreeSet<u32>> {
        let mut masters = BTreeSet::new();
        for found in nginx::find(target).map_err(|error| anyhow!("{error}"))? {
            if !found.left_out.is_empty() {
                log::warn!(
                    "not watched, though they look like what {target} means: {}; --pid PID watches one",
                    nginx::list(&found.left_out)
                );
            }
            if let Some(master) = found.master.filter(|pid| !self.masters.contains(pid) && is_32_bit(*pid)) {
                log::warn!(
                    "nginx {master} is a 32-bit program: what it sends and receives is not looked at, so that statuses, \
                     TLS handshakes and lookups are known from error.log alone"
                );
            }
            masters.extend(found.master);
            for worker in found.workers {
                let draining = nginx::role_of(worker) == Some(Role::Draining);
                self.workers.entry(worker).or_insert(draining);
            }
            let new = found.other.into_iter().filter(|pid| !self.knows(*pid)).collect::<Vec<_>>();
            self.others.extend(new);
        }
        self.masters.extend(&masters);
        let all: Vec<u32> = self.all().collect();
        for pid in all {
            if let Some(identity) = Identity::of(pid) {
                self.started.entry(pid).or_insert(identity.started);
            }
        }
        Ok(masters)
    }

    /// Where processes run of which that was not told yet.
    pub fn workloads(&mut self, at: Nanos) -> Vec<Event> {
        let Self { masters, workers, placed, .. } = self;
        placed.retain(|pid, _| masters.contains(pid) || workers.contains_key(pid));
        let mut events = Vec::new();
        for pid in self.masters.iter().chain(self.workers.keys()) {
            if self.placed.contains_key(pid) {
                continue;
            }
            // A worker runs where its master does.
            let parent = nginx::parent_of(*pid).and_then(|parent| self.placed.get(&parent)).cloned();
            let workload = parent.unwrap_or_else(|| host::workload(*pid));
            self.placed.insert(*pid, workload.clone());
            if let Some(workload) = workload {
                events.push(Event::RunsIn(RunsIn { at, pid: *pid, workload }));
            }
        }
        events
    }

    /// All watched processes.
    pub fn all(&self) -> impl Iterator<Item = u32> + '_ {
        self.masters.iter().chain(self.workers.keys()).chain(&self.others).copied()
    }

    fn knows(&self, pid: u32) -> bool {
        self.masters.contains(&pid) || self.workers.contains_key(&pid) || self.others.contains(&pid)
    }

    /// All of them, for reading their logs.
    #[must_use]
    pub fn watched(&self) -> WatchedPids {
        WatchedPids {
            masters: self.masters.iter().copied().collect(),
            workers: self.worker_pids(),
            others: self.others.iter().copied().collect(),
            ..WatchedPids::default()
        }
    }

    /// The workers' pids.
    #[must_use]
    pub fn worker_pids(&self) -> Vec<u32> {
        self.workers.keys().copied().collect()
    }

    /// Tells the kernel side which processes to watch and on which ports clients come in.
    ///
    /// # Errors
    /// If there is no room for them, or the kernel refuses.
    pub fn watch(&self, tables: &mut impl WatchTable) -> Result<()> {
        let all: Vec<u32> = self.all().collect();
        for pid in &all {
            // With `master_process off` the master is the worker, too.
            let master = self.masters.contains(pid) && !self.workers.contains_key(pid);
            tables.watch(*pid, master)?;
        }
        for port in nginx::listening_ports(&all) {
            tables.listening(port)?;
        }
        Ok(())
    }

    /// A watched process forked, called exec or ended.
    pub fn changed(
        &mut self,
        kind: EventKind,
        event: &ProcessEvent,
        tables: &mut impl WatchTable,
    ) -> Vec<Event> {
        let (pid, at) = (event.header.tgid, event.header.now_ns);
        match kind {
            EventKind::Fork => self.forked(event.child, at),
            EventKind::Exit => return self.ended(pid, at, Some(event.exit_code), tables),
            _ => {}
        }
        Vec::new()
    }

    /// What it is for shows in its title, which it sets a little later: see `settle`.
    fn forked(&mut self, child: u32, at: Nanos) {
        self.last_fork = Some(at);
        if !self.knows(child) {
            self.others.insert(child);
            self.started.extend(Identity::of(child).map(|identity| (child, identity.started)));
        }
    }

    /// `code` is the kernel's exit code, if it is known.
    fn ended(&mut self, pid: u32, at: Nanos, code: Option<u32>, tables: &mut impl WatchTable) -> Vec<Event> {
        tables.forget(pid);
        self.others.remove(&pid);
        self.started.remove(&pid);
        self.missing.remove(&pid);
        let (status, signal) = code.map_or((None, None), exit_status);
        let worker = self.workers.remove(&pid).is_some();
        let master = self.masters.remove(&pid);
        if master {
            self.master_ended = Some(at);
        }
        let change = match (worker, master) {
            (true, _) => ProcessChange::WorkerExited { status, signal },
            (false, true) => ProcessChange::MasterExited,
            (false, false) => return Vec::new(),
        };
        vec![Event::Process(Process { at, pid, change })]
    }
}

/// Exit status, or the signal, in the kernel's exit code of a process.
#[must_use]
pub fn exit_status(code: u32) -> (Option<i32>, Option<i32>) {
    let signal = i32::try_from(code & 0x7f).ok().filter(|signal| *signal != 0);
    let status = if signal.is_none() { i32::try_from(code >> 8 & 0xff).ok() } else { None };
    (status, signal)
}
