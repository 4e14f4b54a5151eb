//! What is known of the watched processes, compared with `/proc` each second: an event may have been lost, and what a
//! process is for shows in its title only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use upstream_trace_core::event::{Event, Nanos, Process, ProcessChange};

use super::newcomers::Newcomers;
use super::{WatchTable, WatchedNginx};
use crate::host::{self, Identity};
use crate::nginx::process::Seen;
use crate::nginx::{Role, Target, role_of};

/// Workers whose title is looked at each second.
const TITLES: usize = 256;
/// Searching all processes for nginx may take this part of the time.
const PART: u32 = 50;
/// Looking at new processes may take this part of the time while nginx is expected: with docker, 30 ms pass from its start to
/// its first request, and what fails before it is found is not seen.
const PART_SOON: u32 = 10;
/// A process has a title so long after its fork, on a busy machine; later it is looked at each second.
const SETTLES: Nanos = 1_000_000_000;
/// One that ended is expected again for so long: docker gives a container ten seconds to stop.
const SOON: Nanos = 30_000_000_000;

impl WatchedNginx {
    /// Compares what is known with `/proc`. To be called about once a second; nginx that was restarted under another
    /// master is found again by its name, whatever events were lost.
    pub fn tick(&mut self, at: Nanos, tables: &mut impl WatchTable) -> Vec<Event> {
        let children = self.children();
        let mut events = self.remove_gone(&children, at, tables);
        self.add_children(&children, at, tables);
        self.assign_roles(at, tables, &mut events);
        self.look_for_draining(at, &mut events);
        self.find_restarted(at, tables, &mut events);
        events.extend(self.workloads(at));
        events
    }

    /// Between two ticks: what cannot wait for the next one.
    pub fn turn(&mut self, at: Nanos, tables: &mut impl WatchTable) -> Vec<Event> {
        let mut events = self.settle(at, tables);
        events.extend(self.find_again(at, tables));
        events
    }

    /// Looks at processes that have just been forked, until they have a title: where a worker runs must be known before its
    /// first failure is told.
    fn settle(&mut self, at: Nanos, tables: &mut impl WatchTable) -> Vec<Event> {
        let mut events = Vec::new();
        if self.last_fork.is_some_and(|last| at.saturating_sub(last) < SETTLES) {
            self.assign_roles(at, tables, &mut events);
        }
        if !events.is_empty() {
            events.extend(self.workloads(at));
        }
        events
    }

    /// Looks for nginx that was started again: more often than each second, since what fails before it is found is not
    /// seen.
    fn find_again(&mut self, at: Nanos, tables: &mut impl WatchTable) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.may_come_again(at) {
            self.newcomers = None;
            return events;
        }
        if self.has_come(at) {
            self.next_search = at;
        }
        let known = self.masters.len();
        self.find_restarted(at, tables, &mut events);
        if self.masters.len() > known {
            // Forked after the search had passed them, and before the kernel side knew their master.
            let children = self.children();
            self.add_children(&children, at, tables);
            self.last_fork = Some(at);
            // A worker among them is told of with the others, before where they run.
            self.assign_roles(at, tables, &mut events);
        }
        events.extend(self.workloads(at));
        events
    }

    /// All masters of what was asked for are gone; or one of several has ended not long ago.
    fn may_come_again(&self, at: Nanos) -> bool {
        let soon = self.is_expected(at);
        self.selectors.iter().any(|selector| {
            let lives = selector.masters.iter().any(|master| self.masters.contains(master));
            let grows = soon && selector.target.may_grow();
            (!lives || grows) && !matches!(selector.target, Target::Pid(_))
        })
    }

    fn is_expected(&self, at: Nanos) -> bool {
        self.master_ended.is_some_and(|ended| at.saturating_sub(ended) < SOON)
    }

    /// A master has been started that is not known.
    fn has_come(&mut self, at: Nanos) -> bool {
        if at < self.next_look {
            return false;
        }
        let begun = processor_time();
        let newcomers = self.newcomers.get_or_insert_with(Newcomers::from_now);
        let come = newcomers.any_master(&self.masters);
        let part = if self.is_expected(at) { PART_SOON } else { PART };
        self.next_look = at.saturating_add(nanos(processor_time().saturating_sub(begun) * part));
        come
    }

    /// The children of all masters, with the master of each.
    fn children(&self) -> BTreeMap<u32, u32> {
        let of = |master: &u32| {
            let master = *master;
            host::children(master).into_iter().map(move |child| (child, master))
        };
        self.masters.iter().flat_map(of).collect()
    }

    /// Processes whose end was not told, and pids that have been given to another process.
    fn remove_gone(
        &mut self,
        children: &BTreeMap<u32, u32>,
        at: Nanos,
        tables: &mut impl WatchTable,
    ) -> Vec<Event> {
        let mut gone = BTreeSet::new();
        let all: Vec<u32> = self.all().collect();
        for pid in all {
            let known = self.started.get(&pid).copied();
            if known.is_some() && children.contains_key(&pid) {
                self.missing.remove(&pid);
                continue;
            }
            match (Identity::of(pid), known) {
                (Some(now), Some(known)) if now.started != known => drop(gone.insert(pid)),
                (Some(now), _) => {
                    self.missing.remove(&pid);
                    self.started.insert(pid, now.started);
                }
                // The event that tells its exit status may be on its way: not before the second time.
                (None, _) if !self.missing.insert(pid) => drop(gone.insert(pid)),
                (None, _) => {}
            }
        }
        gone.into_iter().flat_map(|pid| self.ended(pid, at, None, tables)).collect()
    }

    /// Children whose fork was not told. They may have no title yet.
    fn add_children(&mut self, children: &BTreeMap<u32, u32>, at: Nanos, tables: &mut impl WatchTable) {
        self.strangers.retain(|pid, _| children.contains_key(pid));
        for pid in children.keys() {
            if self.knows(*pid) {
                continue;
            }
            let Some(identity) = Identity::of(*pid) else { continue };
            if self.strangers.get(pid) == Some(&identity.started) {
                continue;
            }
            self.others.insert(*pid);
            self.started.insert(*pid, identity.started);
            self.last_fork = Some(at);
            if let Err(error) = tables.watch(*pid, false) {
                log::warn!("cannot watch process {pid}: {error:#}");
            }
        }
    }

    /// Looks at processes whose role may have become clear.
    fn assign_roles(&mut self, at: Nanos, tables: &mut impl WatchTable, events: &mut Vec<Event>) {
        for pid in self.others.clone() {
            let seen = Seen::read(pid);
            let parent = seen.as_ref().map(|seen| seen.stat.parent).filter(|pid| self.masters.contains(pid));
            let master = parent.and_then(Seen::read);
            // What a master runs may call itself what it likes: its program is another.
            let ours = seen.as_ref().filter(|seen| master.as_ref().is_none_or(|m| seen.belongs_to(m)));
            let change = match (ours.and_then(Seen::role), master.as_ref()) {
                (Some(Role::Worker | Role::Draining), _) => ProcessChange::WorkerStarted,
                (Some(Role::Single), None) => {
                    tables.serves(pid);
                    ProcessChange::WorkerStarted
                }
                // A child that has not set its own title yet.
                (Some(Role::Master), Some(master)) if is_starting(ours, master) => continue,
                (Some(Role::Master), _) => ProcessChange::MasterStarted { upgrades: parent },
                // Or the new program of a binary upgrade, before it has a title.
                (Some(Role::Helper), _) | (Some(Role::Single), Some(_)) => continue,
                (None, _) => {
                    // A program that nginx started (a piped log, a script), or gone.
                    let started = self.started.remove(&pid);
                    self.strangers.extend(started.filter(|_| seen.is_some()).map(|started| (pid, started)));
                    self.others.remove(&pid);
                    self.missing.remove(&pid);
                    tables.forget(pid);
                    continue;
                }
            };
            self.others.remove(&pid);
            if matches!(change, ProcessChange::MasterStarted { .. }) {
                self.masters.insert(pid);
                for selector in &mut self.selectors {
                    if parent.is_some_and(|parent| selector.masters.contains(&parent)) {
                        selector.masters.insert(pid);
                    }
                }
            } else {
                self.workers.insert(pid, false);
            }
            events.push(Event::Process(Process { at, pid, change }));
        }
    }

    /// Workers that drain say so in their title. Some are looked at each time, one after the other.
    fn look_for_draining(&mut self, at: Nanos, events: &mut Vec<Event>) {
        let after = self.workers.range(self.last_titled.saturating_add(1)..);
        let due: Vec<u32> =
            after.chain(self.workers.range(..=self.last_titled)).map(|(pid, _)| *pid).take(TITLES).collect();
        self.last_titled = due.last().copied().unwrap_or(0);
        for pid in due {
            let role = role_of(pid);
            if role == Some(Role::Master) && self.masters.contains(&pid) {
                // It was found before it had a title.
                self.workers.remove(&pid);
            } else if let Some(draining) = self.workers.get_mut(&pid)
                && !*draining
                && role == Some(Role::Draining)
            {
                *draining = true;
                events.push(Event::Process(Process { at, pid, change: ProcessChange::WorkerDraining }));
            }
        }
    }

    /// Looks for nginx by the names whose masters are all gone, and for more of what may grow. A pid is not looked for: it
    /// may be another process's.
    fn find_restarted(&mut self, at: Nanos, tables: &mut impl WatchTable, events: &mut Vec<Event>) {
        if at < self.next_search {
            return;
        }
        let begun = Instant::now();
        let before: BTreeSet<u32> = self.all().collect();
        for index in 0..self.selectors.len() {
            let selector = &self.selectors[index];
            let lives = selector.masters.iter().any(|master| self.masters.contains(master));
            if lives && !selector.target.may_grow() || matches!(selector.target, Target::Pid(_)) {
                continue;
            }
            match self.search(&selector.target.clone()) {
                Ok(masters) => {
                    self.selectors[index].masters.extend(masters);
                    self.search_failed = None;
                }
                Err(error) => self.note(&error.to_string()),
            }
        }
        let took = begun.elapsed();
        self.next_search = at.saturating_add(nanos(took * PART));
        let new: Vec<u32> = self.all().filter(|pid| !before.contains(pid)).collect();
        for pid in &new {
            let change = match (self.masters.contains(pid), self.workers.contains_key(pid)) {
                (true, _) => ProcessChange::MasterStarted { upgrades: None },
                (false, true) => ProcessChange::WorkerStarted,
                (false, false) => continue,
            };
            events.push(Event::Process(Process { at, pid: *pid, change }));
        }
        if !new.is_empty()
            && let Err(error) = self.watch(tables)
        {
            log::warn!("cannot watch the new nginx: {error:#}");
        }
    }

    fn note(&mut self, why: &str) {
        if self.search_failed.as_deref() != Some(why) {
            log::info!("nginx is gone and not found again yet: {why}");
            self.search_failed = Some(why.to_owned());
        }
    }
}

/// A fork of this master without a title of its own: unless it has children, as the master of a binary upgrade has.
fn is_starting(seen: Option<&Seen>, master: &Seen) -> bool {
    let has_workers = |pid| host::children(pid).into_iter().any(|child| role_of(child).is_some());
    seen.is_some_and(|seen| seen.is_fork_of(master) && !has_workers(seen.pid))
}

/// What this thread has used so far. On a busy machine more time has passed, and that would put off the next look.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX)
}
