//! Finds nginx's processes by name or pid, and tells a worker from a master.

use std::collections::{HashMap, HashSet};
use std::fmt;

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
}

/// Why there is nothing to watch, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindError {
    /// No process of that name.
    NoSuchName {
        /// What was asked for.
        name: String,
        /// Processes that look like an nginx under another name: pid and title.
        like: Vec<(u32, String)>,
    },
    /// No such process.
    NoSuchPid(u32),
    /// Several masters of that name.
    Several(Vec<Master>),
    /// Another program.
    NotNginx {
        /// The process.
        pid: u32,
        /// What it is.
        what: String,
    },
    /// A process of nginx that makes no upstream connections.
    Helper {
        /// The process.
        pid: u32,
        /// Its title.
        what: String,
        /// Its master.
        master: u32,
    },
}

/// A master among several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Its pid.
    pub pid: u32,
    /// Seconds that it has been running.
    pub age_s: u64,
    /// Its configuration file, if given with `-c`.
    pub config: Option<String>,
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName { name, like } if like.is_empty() => {
                write!(
                    f,
                    "no process named '{name}': is nginx running? If it has another name or pid, pass that with --pid"
                )
            }
            Self::NoSuchName { name, like } => {
                let like: Vec<_> = like.iter().map(|(pid, title)| format!("{pid} ({title})")).collect();
                write!(
                    f,
                    "no process named '{name}'; these look like nginx, pass one with --pid: {}",
                    like.join(", ")
                )
            }
            Self::NoSuchPid(pid) => {
                write!(f, "no process {pid}: pass the pid of a running nginx, or --pid nginx")
            }
            Self::Several(masters) => {
                let list: Vec<_> = masters.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "{} nginx masters are running: {}; pass --pid with one of them",
                    list.len(),
                    list.join(", ")
                )
            }
            Self::NotNginx { pid, what } => {
                write!(
                    f,
                    "process {pid} is not an nginx but '{what}': pass the pid of nginx's master, or --pid nginx"
                )
            }
            Self::Helper { pid, what, master } => {
                write!(
                    f,
                    "process {pid} ('{what}') makes no upstream connections: pass its master, --pid {master}"
                )
            }
        }
    }
}

impl std::error::Error for FindError {}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.age_s / 3600, self.age_s / 60 % 60, self.age_s % 60);
        write!(f, "{} (up ", self.pid)?;
        match (hours, minutes) {
            (0, 0) => write!(f, "{seconds} s")?,
            (0, _) => write!(f, "{minutes} min")?,
            (1..48, _) => write!(f, "{hours} h {minutes} min")?,
            _ => write!(f, "{} days", hours / 24)?,
        }
        self.config.as_ref().map_or(Ok(()), |config| write!(f, ", -c {config}"))?;
        f.write_str(")")
    }
}

/// Finds what to watch by a name such as `nginx`, or a pid.
///
/// # Errors
/// With what is wrong and what to do about it.
pub fn find(selector: &str) -> Result<Found, FindError> {
    let all: Vec<Seen> = host::pids().into_iter().filter_map(Seen::read).collect();
    match selector.parse() {
        Ok(pid) => by_pid(pid, &all),
        Err(_) => by_name(selector, &all),
    }
}

fn by_name(name: &str, all: &[Seen]) -> Result<Found, FindError> {
    let named: Vec<&Seen> = all.iter().filter(|seen| seen.has_name(name)).collect();
    let set: Vec<&Seen> = named.iter().copied().filter(|seen| seen.role().is_some()).collect();
    let pids: HashSet<u32> = set.iter().map(|seen| seen.pid).collect();
    let masters: Vec<&Seen> = set
        .iter()
        .copied()
        .filter(|seen| {
            matches!(seen.role(), Some(Role::Master | Role::Single)) && !pids.contains(&seen.stat.parent)
        })
        .collect();
    match masters.as_slice() {
        [] if set.iter().any(|seen| seen.role().is_some_and(Role::serves)) => Ok(found(None, &set)),
        [] => Err(named.first().map_or_else(
            || no_such_name(name, all),
            |seen| FindError::NotNginx { pid: seen.pid, what: seen.describe() },
        )),
        // Workers whose own master died are watched as well: they go on serving.
        [master] => Ok(found(Some(master), &set)),
        several => Err(FindError::Several(several.iter().map(|seen| describe_master(seen)).collect())),
    }
}

fn no_such_name(name: &str, all: &[Seen]) -> FindError {
    let masters = all.iter().filter(|seen| matches!(seen.role(), Some(Role::Master | Role::Single)));
    let like = masters.take(8).map(|seen| (seen.pid, seen.describe())).collect();
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

/// A master and all that descends from it.
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
    all.iter().filter(|seen| seen.role().is_some() && descends(seen)).collect()
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
    Master { pid: seen.pid, age_s: age.as_secs(), config: seen.config() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::process::tests::seen;

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
        assert_eq!(found, Found { master: Some(10), workers: vec![11, 12], other: vec![13], version: None });
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
        assert_eq!(by_name("nginx", &orphans).unwrap(), Found { workers: vec![12], ..Found::default() });
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
            several.starts_with("2 nginx masters are running: 10 (") && several.contains("-c /etc/b.conf"),
            "{several}"
        );
        for text in [missing, none, other, helper, several] {
            assert!(!text.contains('\n'));
        }
    }

    #[test]
    fn ages_are_readable() {
        let age = |age_s| Master { pid: 7, age_s, config: None }.to_string();
        assert_eq!(age(59), "7 (up 59 s)");
        assert_eq!(age(3599), "7 (up 59 min)");
        assert_eq!(age(3600), "7 (up 1 h 0 min)");
        assert_eq!(age(48 * 3600), "7 (up 2 days)");
    }
}
