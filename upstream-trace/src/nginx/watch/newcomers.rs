//! Processes that have appeared since a master ended: one that is started again is among them. To look at these alone
//! costs so little that it is done at each turn; of a search of all processes the same cannot be said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::host;
use crate::nginx::{Role, role_of};

/// What runs for longer than this was there before.
const YOUNG: Duration = Duration::from_secs(5);

/// So many are looked at in one turn, the last ones of the list.
const MOST: usize = 256;

/// So often one of them is worth a search: its runtime's files, or its title, may come a moment after it.
const TRIES: u8 = 5;

/// They, and what was made of each.
#[derive(Debug)]
pub(super) struct Newcomers {
    before: BTreeSet<u32>,
    tried: BTreeMap<u32, u8>,
}

impl Newcomers {
    /// Those that have just been started, and all that will be.
    pub(super) fn from_now() -> Self {
        let is_old = |pid: &u32| {
            let age = host::stat(*pid).and_then(|stat| host::age(stat.started));
            age.is_none_or(|age| age > YOUNG)
        };
        Self { before: host::pids().into_iter().filter(is_old).collect(), tried: BTreeMap::new() }
    }

    /// One of them has become a master that is not among these: a search may find what was asked for.
    pub(super) fn any_master(&mut self, known: &BTreeSet<u32>) -> bool {
        let all: BTreeSet<u32> = host::pids().into_iter().collect();
        // A pid may be given to another process.
        self.before.retain(|pid| all.contains(pid));
        self.tried.retain(|pid, _| all.contains(pid));
        let new = all.iter().rev().filter(|pid| !self.before.contains(pid) && !known.contains(pid));
        let mut any = false;
        for pid in new.take(MOST) {
            let tries = self.tried.get(pid).copied().unwrap_or(0);
            if tries < TRIES && matches!(role_of(*pid), Some(Role::Master | Role::Single)) {
                self.tried.insert(*pid, tries + 1);
                any = true;
            }
        }
        any
    }
}
