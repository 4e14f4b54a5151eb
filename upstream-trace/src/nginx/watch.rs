//! Which processes are watched, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};
use upstream_trace_common::{EventKind, ProcessEvent};
use upstream_trace_core::event::{Event, Nanos, Process, ProcessChange};

use crate::host::WatchedPids;
use crate::nginx::{self, Role, Target};

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

/// The watched processes.
#[derive(Debug, Default)]
pub struct WatchedNginx {
    selectors: Vec<String>,
    /// Masters.
    pub masters: BTreeSet<u32>,
    /// Workers, and whether each is draining.
    pub workers: BTreeMap<u32, bool>,
    /// Cache managers and the like, and children whose part is not known yet.
    others: BTreeSet<u32>,
}

impl WatchedNginx {
    /// Finds what was asked for, and makes sure that it can be looked at.
    pub fn find(targets: &[Target]) -> Result<Self> {
        let found = Self::look_for(targets)?;
        nginx::reach(&found.all().collect::<Vec<_>>())?;
        Ok(found)
    }

    /// Finds what was asked for.
    pub fn look_for(targets: &[Target]) -> Result<Self> {
        let selectors = targets.iter().map(|target| match target {
            Target::Pid(pid) => pid.to_string(),
            Target::Name(name) => name.clone(),
        });
        let mut found = Self { selectors: selectors.collect(), ..Self::default() };
        found.look()?;
        Ok(found)
    }

    /// Looks for processes that are not known yet, and returns their number.
    fn look(&mut self) -> Result<usize> {
        let before = self.masters.len() + self.workers.len() + self.others.len();
        for selector in &self.selectors {
            let found = nginx::find(selector).map_err(|error| anyhow!("{error}"))?;
            self.masters.extend(found.master);
            for worker in found.workers {
                let draining = nginx::role_of(worker) == Some(Role::Draining);
                self.workers.entry(worker).or_insert(draining);
            }
            self.others.extend(found.other);
        }
        Ok(self.masters.len() + self.workers.len() + self.others.len() - before)
    }

    /// All watched processes.
    pub fn all(&self) -> impl Iterator<Item = u32> + '_ {
        self.masters.iter().chain(self.workers.keys()).chain(&self.others).copied()
    }

    /// All of them, for reading their logs.
    pub fn watched(&self) -> WatchedPids {
        WatchedPids {
            masters: self.masters.iter().copied().collect(),
            workers: self.worker_pids(),
            others: self.others.iter().copied().collect(),
        }
    }

    /// The workers' pids.
    pub fn worker_pids(&self) -> Vec<u32> {
        self.workers.keys().copied().collect()
    }

    /// Tells the kernel side which processes to watch and on which ports clients come in.
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
            EventKind::Fork => {
                // What it is for shows in its title, which it sets a little later: see `tick`.
                self.others.insert(event.child);
                Vec::new()
            }
            EventKind::Exit => self.ended(pid, at, event.exit_code, tables),
            _ => Vec::new(),
        }
    }

    fn ended(&mut self, pid: u32, at: Nanos, code: u32, tables: &mut impl WatchTable) -> Vec<Event> {
        tables.forget(pid);
        self.others.remove(&pid);
        let (status, signal) = exit_status(code);
        let change = if self.workers.remove(&pid).is_some() {
            ProcessChange::WorkerExited { status, signal }
        } else if self.masters.remove(&pid) {
            ProcessChange::MasterExited
        } else {
            return Vec::new();
        };
        vec![Event::Process(Process { at, pid, change })]
    }

    /// Looks at processes whose part may have become clear, about once a second. nginx that was restarted under
    /// another master is found again by its name.
    pub fn tick(&mut self, at: Nanos, tables: &mut impl WatchTable) -> Vec<Event> {
        let mut events = Vec::new();
        let mut say = |pid, change| events.push(Event::Process(Process { at, pid, change }));
        for pid in self.others.clone() {
            match nginx::role_of(pid) {
                Some(role @ (Role::Worker | Role::Draining | Role::Single)) => {
                    if role == Role::Single {
                        tables.serves(pid);
                    }
                    self.others.remove(&pid);
                    self.workers.insert(pid, false);
                    say(pid, ProcessChange::WorkerStarted);
                }
                Some(Role::Master) => {
                    self.others.remove(&pid);
                    self.masters.insert(pid);
                    say(pid, ProcessChange::MasterStarted);
                }
                Some(Role::Helper) => {}
                None => {
                    // A program that nginx started (a piped log, a script), or gone.
                    self.others.remove(&pid);
                    tables.forget(pid);
                }
            }
        }
        for (pid, draining) in &mut self.workers {
            if !*draining && nginx::role_of(*pid) == Some(Role::Draining) {
                *draining = true;
                say(*pid, ProcessChange::WorkerDraining);
            }
        }
        if self.masters.is_empty() && self.workers.is_empty() && self.look().is_ok_and(|new| new > 0) {
            for pid in &self.masters {
                say(*pid, ProcessChange::MasterStarted);
            }
            for pid in self.workers.keys() {
                say(*pid, ProcessChange::WorkerStarted);
            }
            if let Err(error) = self.watch(tables) {
                log::warn!("cannot watch the new nginx: {error:#}");
            }
        }
        events
    }
}

/// Exit status, or the signal, in the kernel's exit code of a process.
pub fn exit_status(code: u32) -> (Option<i32>, Option<i32>) {
    let signal = i32::try_from(code & 0x7f).ok().filter(|signal| *signal != 0);
    let status = if signal.is_none() { i32::try_from(code >> 8 & 0xff).ok() } else { None };
    (status, signal)
}
