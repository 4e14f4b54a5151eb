//! Finds nginx's processes by name or pid, and tells a worker from a master.
//!
//! Whoever can start a program can give it any name and title. By name only a master counts whose program file is an
//! nginx and that root, or the user of this tool, has started; its workers are its descendants. A pid counts as it is.

mod error;
mod select;

use std::collections::{HashMap, HashSet};

pub(in crate::nginx) use error::list;
pub use error::{FindError, LeftOut, Master, WhyLeftOut};

use super::Target;
use super::process::{Role, Seen};
use crate::host;

/// The processes to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The master; `None` if one worker was asked for or the master is gone.
    pub master: Option<u32>,
    /// Workers, draining ones included, in order of their pids.
    pub workers: Vec<u32>,
    /// Helpers, and the new master while a binary upgrade is under way.
    pub other: Vec<u32>,
    /// Version, if the path of the program names it.
    pub version: Option<String>,
    /// Processes of the same name that are not watched.
    pub left_out: Vec<LeftOut>,
}

/// Finds what to watch: one master with its workers, or several of a pod, a unit or the whole host.
///
/// # Errors
/// With what is wrong and what to do about it.
pub fn find(target: &Target) -> Result<Vec<Found>, FindError> {
    let with_user = |seen: Seen| if seen.role().is_some() { seen.with_uid() } else { seen };
    let all: Vec<Seen> = host::pids().into_iter().filter_map(Seen::read).map(with_user).collect();
    let user = nix::unistd::getuid().as_raw();
    match target {
        Target::Pid(pid) => by_pid(*pid, &all).map(|found| vec![found]),
        Target::Name(name) => by_name(name, &all, user).map(|found| vec![found]),
        target => select::by_workload(target, &all, user, &select::Places),
    }
}

/// The processes of a name, as far as `user` may rely on it.
fn by_name(name: &str, all: &[Seen], user: u32) -> Result<Found, FindError> {
    let mut named: Vec<&Seen> = all.iter().filter(|seen| seen.has_name(name)).collect();
    if name == "nginx" && named.iter().all(|seen| seen.role().is_none()) {
        // What is made of nginx may have another name, such as angie.
        named.extend(all.iter().filter(|seen| seen.runs_nginx()));
    }
    let acting: Vec<&Seen> = named.iter().copied().filter(|seen| seen.role().is_some()).collect();
    let is_genuine = |seen: &Seen| seen.runs_nginx() || !name.is_empty() && seen.program() == name;
    let genuine: Vec<&Seen> = acting.iter().copied().filter(|seen| is_genuine(seen)).collect();
    let pids: HashSet<u32> = genuine.iter().map(|seen| seen.pid).collect();
    let masters = genuine.iter().copied().filter(|seen| leads(seen) && !pids.contains(&seen.stat.parent));
    let (chosen, others): (Vec<&Seen>, Vec<&Seen>) =
        masters.partition(|seen| seen.uid == Some(0) || seen.uid == Some(user));
    if let [_, _, ..] = chosen[..] {
        return Err(FindError::Several(chosen.iter().map(|seen| describe_master(seen)).collect()));
    }
    let mut set = chosen.first().map(|master| family(master, all)).unwrap_or_default();
    set.extend(orphans(chosen.first().copied(), &set, &genuine));
    let left_out = left_out(&acting, &set, &others, all, is_genuine);
    match chosen.first() {
        Some(master) => Ok(Found { left_out, ..found(Some(master), &set) }),
        None if !left_out.is_empty() => Err(FindError::NoneChosen { name: name.to_owned(), left_out }),
        None => Err(named.first().map_or_else(
            || no_such_name(name, all),
            |seen| FindError::NotNginx { pid: seen.pid, what: seen.describe() },
        )),
    }
}

fn leads(seen: &Seen) -> bool {
    matches!(seen.role(), Some(Role::Master | Role::Single))
}

/// Workers of an earlier master, which died: they go on serving. They run the same file, for a user that the workers
/// of this one have.
fn orphans<'a>(master: Option<&Seen>, set: &[&'a Seen], genuine: &[&'a Seen]) -> Vec<&'a Seen> {
    let Some(master) = master else { return Vec::new() };
    let uids: HashSet<Option<u32>> = set.iter().map(|seen| seen.uid).chain([master.uid]).collect();
    let parents: HashSet<u32> = genuine.iter().map(|seen| seen.pid).collect();
    let is_orphan = |seen: &&Seen| {
        let serves = matches!(seen.role(), Some(Role::Worker | Role::Draining));
        serves
            && !parents.contains(&seen.stat.parent)
            && set.iter().all(|known| known.pid != seen.pid)
            && seen.runs_same(master)
            && seen.uid.is_some()
            && uids.contains(&seen.uid)
    };
    genuine.iter().copied().filter(is_orphan).collect()
}

/// Processes that look like nginx and are not watched: without those that descend from another nginx, for which their
/// master stands.
fn left_out(
    acting: &[&Seen],
    set: &[&Seen],
    masters: &[&Seen],
    all: &[Seen],
    is_genuine: impl Fn(&Seen) -> bool,
) -> Vec<LeftOut> {
    let mut known: HashSet<u32> = set.iter().map(|seen| seen.pid).collect();
    for master in masters {
        known.extend(family(master, all).iter().map(|seen| seen.pid));
    }
    let why = |seen: &&Seen| {
        if masters.iter().any(|master| master.pid == seen.pid) {
            return Some(WhyLeftOut::Uid(seen.uid));
        }
        if known.contains(&seen.pid) {
            return None;
        }
        let path = seen.executable.as_ref().map_or("", |executable| executable.path.as_str());
        Some(if is_genuine(seen) { WhyLeftOut::Orphan } else { WhyLeftOut::Runs(path.to_owned()) })
    };
    acting.iter().filter_map(|seen| Some(LeftOut { pid: seen.pid, why: why(seen)? })).collect()
}

fn no_such_name(name: &str, all: &[Seen]) -> FindError {
    let masters = all.iter().filter(|seen| leads(seen) && seen.runs_nginx());
    let like = masters.map(|seen| (seen.pid, seen.describe())).collect();
    FindError::NoSuchName { name: name.to_owned(), like }
}

fn by_pid(pid: u32, all: &[Seen]) -> Result<Found, FindError> {
    let seen = all.iter().find(|seen| seen.pid == pid).ok_or(FindError::NoSuchPid(pid))?;
    match seen.role() {
        None => Err(FindError::NotNginx { pid, what: seen.describe() }),
        Some(Role::Worker | Role::Draining) => Ok(found(None, &[seen])),
        Some(Role::Helper) => Err(FindError::Helper { pid, what: seen.describe(), master: seen.stat.parent }),
        Some(Role::Master | Role::Single) => {
            let set = family(seen, all);
            Ok(found(Some(seen), &set))
        }
    }
}

/// A master and all of nginx that descends from it. What else it started (a piped log, a script) may call itself what
/// it likes: its program is another.
fn family<'a>(master: &'a Seen, all: &'a [Seen]) -> Vec<&'a Seen> {
    let parents: HashMap<u32, u32> = all.iter().map(|seen| (seen.pid, seen.stat.parent)).collect();
    let descends = |seen: &Seen| {
        let mut pid = seen.pid;
        // As deep as upgrades of upgrades go.
        for _ in 0..8 {
            if pid == master.pid {
                return true;
            }
            let Some(parent) = parents.get(&pid) else { return false };
            pid = *parent;
        }
        false
    };
    all.iter().filter(|seen| seen.role().is_some() && descends(seen) && seen.belongs_to(master)).collect()
}

fn found(master: Option<&Seen>, set: &[&Seen]) -> Found {
    let mut found = Found { master: master.map(|seen| seen.pid), ..Found::default() };
    found.version = master.or(set.first().copied()).and_then(Seen::version);
    for seen in set {
        match seen.role() {
            Some(Role::Single) if Some(seen.pid) != found.master => {}
            Some(role) if role.serves() => found.workers.push(seen.pid),
            Some(_) if Some(seen.pid) != found.master => found.other.push(seen.pid),
            _ => {}
        }
    }
    found.workers.sort_unstable();
    found.other.sort_unstable();
    found
}

fn describe_master(seen: &Seen) -> Master {
    let age = host::age(seen.stat.started).unwrap_or_default();
    Master {
        pid: seen.pid,
        age_s: age.as_secs(),
        uid: seen.uid,
        workload: host::workload(seen.pid),
        config: seen.config(),
    }
}

#[cfg(test)]
mod tests;
