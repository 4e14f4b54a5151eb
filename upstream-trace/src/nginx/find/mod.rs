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
mod tests {
    use super::*;
    use crate::nginx::process::tests::seen;

    /// As root.
    fn by_name(name: &str, all: &[Seen]) -> Result<Found, FindError> {
        super::by_name(name, all, 0)
    }

    /// Who started it, and the inode of what it runs.
    fn made(mut seen: Seen, uid: u32, inode: u64) -> Seen {
        seen.uid = Some(uid);
        seen.executable.as_mut().unwrap().inode = inode;
        seen
    }

    fn host() -> Vec<Seen> {
        vec![
            seen(1, 0, "init", "init"),
            seen(10, 1, "nginx", "nginx: master process nginx"),
            seen(12, 10, "nginx", "nginx: worker process"),
            seen(11, 10, "nginx", "nginx: worker process is shutting down"),
            seen(13, 10, "nginx", "nginx: cache manager process"),
            seen(20, 1, "bash", "bash"),
        ]
    }

    #[test]
    fn a_name_finds_the_master_and_its_children() {
        let found = by_name("nginx", &host()).unwrap();
        let expected = Found { master: Some(10), workers: vec![11, 12], other: vec![13], ..Found::default() };
        assert_eq!(found, expected);
        assert_eq!(by_pid(10, &host()).unwrap(), found);
    }

    #[test]
    fn a_worker_is_watched_alone() {
        assert_eq!(by_pid(12, &host()).unwrap(), Found { workers: vec![12], ..Found::default() });
    }

    #[test]
    fn during_an_upgrade_the_old_master_leads() {
        let mut host = host();
        host.push(seen(30, 10, "nginx", "nginx: master process nginx"));
        host.push(seen(31, 30, "nginx", "nginx: worker process"));
        let found = by_name("nginx", &host).unwrap();
        assert_eq!((found.master, found.workers, found.other), (Some(10), vec![11, 12, 31], vec![13, 30]));
        assert_eq!(by_pid(30, &host).unwrap().workers, [31]);
    }

    #[test]
    fn without_a_master() {
        let orphans = [seen(12, 1, "nginx", "nginx: worker process")];
        let error = by_name("nginx", &orphans).unwrap_err().to_string();
        assert!(error.contains("12 (a worker without a master)") && error.contains("--pid 12"), "{error}");
        let single = [seen(5, 1, "nginx", "nginx|-g|master_process off;")];
        let found = Found { master: Some(5), workers: vec![5], ..Found::default() };
        assert_eq!(by_name("nginx", &single).unwrap(), found);
        assert_eq!(by_pid(5, &single).unwrap(), found);
    }

    #[test]
    fn errors_say_what_to_do() {
        let mut host = host();
        let message = |error: FindError| error.to_string();
        let missing = message(by_name("ngnix", &host).unwrap_err());
        assert!(
            missing.contains("'ngnix'") && missing.contains("10 (nginx: master process nginx)"),
            "{missing}"
        );
        let none = message(by_name("nginx", &host[..1]).unwrap_err());
        assert!(none.contains("is nginx running?"), "{none}");
        assert!(message(by_pid(99, &host).unwrap_err()).contains("no process 99"));
        let other = message(by_pid(20, &host).unwrap_err());
        assert!(other.contains("not an nginx but 'bash'"), "{other}");
        let helper = message(by_pid(13, &host).unwrap_err());
        assert!(helper.contains("--pid 10"), "{helper}");
        host.push(seen(40, 1, "nginx", "nginx: master process nginx -c /etc/b.conf"));
        let several = message(by_name("nginx", &host).unwrap_err());
        assert!(
            several.starts_with("2 nginx masters are running: 10 (")
                && several.contains("root, -c /etc/b.conf")
                && several.contains("--pid 10 or --pid 40"),
            "{several}"
        );
        for text in [missing, none, other, helper, several] {
            assert!(!text.contains('\n'));
        }
    }

    #[test]
    fn what_only_calls_itself_nginx_is_left_out() {
        let mut host = host();
        host.push(made(seen(50, 1, "sleep", "nginx: master process x"), 65_534, 9));
        host.push(made(seen(51, 1, "python3", "nginx: worker process"), 65_534, 9));
        let mut hidden = seen(52, 1, "nginx", "nginx: master process x");
        hidden.executable = None;
        host.push(hidden);
        // Below the master itself, such as a script that it runs.
        host.push(made(seen(53, 10, "perl", "nginx: worker process"), 33, 9));
        let found = by_name("nginx", &host).unwrap();
        assert_eq!(
            (found.master, &found.workers[..], &found.other[..]),
            (Some(10), &[11, 12][..], &[13][..])
        );
        assert_eq!(
            list(&found.left_out),
            "50 (runs /usr/sbin/sleep), 51 (runs /usr/sbin/python3), 52 (its program cannot be looked at), \
             53 (runs /usr/sbin/perl)"
        );
        assert_eq!(by_pid(10, &host).unwrap().workers, [11, 12]);
        let alone = by_name("nginx", &host[6..7]).unwrap_err().to_string();
        assert!(alone.contains("50 (runs /usr/sbin/sleep)") && alone.ends_with("--pid 50"), "{alone}");
    }

    #[test]
    fn an_nginx_of_another_user_has_to_be_named_by_its_pid() {
        let theirs = || {
            let master = made(seen(60, 1, "nginx", "nginx: master process nginx"), 1000, 1);
            vec![master, made(seen(61, 60, "nginx", "nginx: worker process"), 1000, 1)]
        };
        let mut all = host();
        all.extend(theirs());
        let found = by_name("nginx", &all).unwrap();
        assert_eq!((found.master, found.workers), (Some(10), vec![11, 12]));
        assert_eq!(list(&found.left_out), "60 (started by user 1000)");
        let alone = by_name("nginx", &theirs()).unwrap_err().to_string();
        assert!(alone.contains("60 (started by user 1000)") && alone.ends_with("--pid 60"), "{alone}");
        assert_eq!(super::by_name("nginx", &theirs(), 1000).unwrap().workers, [61]);
        assert_eq!(by_pid(60, &theirs()).unwrap().workers, [61]);
    }

    #[test]
    fn orphans_run_the_same_file_for_the_same_user() {
        let worker = |pid, uid, inode| made(seen(pid, 1, "nginx", "nginx: worker process"), uid, inode);
        let mut all = host();
        for one in &mut all[1..5] {
            *one = made(one.clone(), 33, 7);
        }
        all[1].uid = Some(0);
        all.extend([worker(70, 33, 7), worker(71, 34, 7), worker(72, 33, 8)]);
        let found = by_name("nginx", &all).unwrap();
        assert_eq!(found.workers, [11, 12, 70]);
        assert_eq!(list(&found.left_out), "71 (a worker without a master), 72 (a worker without a master)");
    }
}
