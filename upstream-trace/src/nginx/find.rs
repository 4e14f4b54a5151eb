//! Finds nginx's processes by name or pid, and tells a worker from a master.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io::Read;

use procfs::process::Process;

/// Longest command line that is looked at.
const CMDLINE: u64 = 4096;

/// What a process of nginx is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Starts and supervises the others.
    Master,
    /// Serves requests.
    Worker,
    /// A worker that finishes its requests after a reload or upgrade.
    Draining,
    /// Master and worker in one: `master_process off`.
    Single,
    /// Cache manager, cache loader or another helper; makes no upstream connections.
    Helper,
}

impl Role {
    /// It makes upstream connections.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, Self::Worker | Self::Draining | Self::Single)
    }
}

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

/// A process, as far as finding nginx needs it.
#[derive(Clone, Debug, Default)]
struct Seen {
    pid: u32,
    parent: u32,
    started: u64,
    comm: String,
    /// Base name of the program file.
    program: String,
    program_path: String,
    arguments: Vec<String>,
}

impl Seen {
    fn read(pid: u32) -> Option<Self> {
        let process = Process::new(i32::try_from(pid).ok()?).ok()?;
        let stat = process.stat().ok()?;
        let path = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let path = path.to_string_lossy();
        let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
        let mut cmdline = Vec::new();
        File::open(format!("/proc/{pid}/cmdline")).ok()?.take(CMDLINE).read_to_end(&mut cmdline).ok()?;
        Some(Self {
            pid,
            parent: u32::try_from(stat.ppid).unwrap_or(0),
            started: stat.starttime,
            comm: stat.comm,
            program: path.rsplit('/').next().unwrap_or_default().to_owned(),
            program_path: path.to_owned(),
            arguments: split_arguments(&cmdline),
        })
    }

    fn role(&self) -> Option<Role> {
        role_of_title(self.title()).or_else(|| {
            let runs = is_nginx(&self.program) && !self.arguments.iter().any(|argument| is_command(argument));
            runs.then_some(Role::Single)
        })
    }

    fn title(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }

    fn has_name(&self, name: &str) -> bool {
        self.comm == name
            || self.program == name
            || self.title().split_once(": ").is_some_and(|(program, _)| program == name)
            || self.title().split(' ').next().and_then(|path| path.rsplit('/').next()) == Some(name)
    }

    /// The command line in one line; of a kernel thread its name.
    fn describe(&self) -> String {
        let line = if self.arguments.is_empty() { self.comm.clone() } else { self.arguments.join(" ") };
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect()
    }

    /// The argument of `-c`, also where the title of a master holds all arguments in one.
    fn config(&self) -> Option<String> {
        let words: Vec<&str> =
            self.arguments.iter().flat_map(|argument| argument.split_whitespace()).collect();
        let at = words.iter().position(|word| word.starts_with("-c"))?;
        let attached = words[at].trim_start_matches("-c");
        let path = if attached.is_empty() { words.get(at + 1).copied()? } else { attached };
        Some(path.to_owned())
    }

    fn version(&self) -> Option<String> {
        let titled =
            self.title().split_whitespace().find_map(|word| word.strip_prefix('v').filter(|v| is_version(v)));
        let in_path = || {
            let mut parts = self.program_path.split('/').flat_map(|part| part.split('-'));
            parts.find(|part| is_version(part))
        };
        titled.or_else(in_path).map(str::to_owned)
    }
}

/// `1.25.3`: three numbers.
fn is_version(text: &str) -> bool {
    let mut numbers = text.split('.');
    numbers
        .by_ref()
        .take(3)
        .filter(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        .count()
        == 3
        && numbers.next().is_none()
}

/// nginx and what is made of it, by the name of the program file.
fn is_nginx(program: &str) -> bool {
    ["nginx", "nginx-debug", "openresty", "tengine", "angie", "freenginx"].contains(&program)
        || program.strip_prefix("nginx-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Options with which the program only checks something or signals another one.
fn is_command(argument: &str) -> bool {
    ["-s", "-t", "-T", "-v", "-V", "-h", "-?"].iter().any(|option| argument.starts_with(option))
}

fn split_arguments(cmdline: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(cmdline);
    let text = text.trim_end_matches(['\0', ' ']);
    if text.is_empty() {
        return Vec::new();
    }
    text.split('\0').map(|argument| argument.trim_end().to_owned()).collect()
}

/// What a process says of itself: `nginx: worker process`, and the same with another program's name.
fn role_of_title(title: &str) -> Option<Role> {
    let (program, rest) = title.split_once(": ")?;
    if program.contains(' ') {
        return None;
    }
    if rest.starts_with("master process") {
        Some(Role::Master)
    } else if rest.starts_with("worker process") {
        Some(if rest.contains("is shutting down") { Role::Draining } else { Role::Worker })
    } else if ["cache manager", "cache loader", "privileged agent"].iter().any(|name| rest.starts_with(name))
    {
        Some(Role::Helper)
    } else {
        None
    }
}

/// What process `pid` is for; `None` if it is gone or no nginx.
#[must_use]
pub fn role_of(pid: u32) -> Option<Role> {
    Seen::read(pid)?.role()
}

/// Finds what to watch by a name such as `nginx`, or a pid.
///
/// # Errors
/// With what is wrong and what to do about it.
pub fn find(selector: &str) -> Result<Found, FindError> {
    let all: Vec<Seen> = procfs::process::all_processes().map_or_else(
        |_| Vec::new(),
        |processes| processes.flatten().filter_map(|p| Seen::read(u32::try_from(p.pid()).ok()?)).collect(),
    );
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
            matches!(seen.role(), Some(Role::Master | Role::Single)) && !pids.contains(&seen.parent)
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
        Some(Role::Helper) => Err(FindError::Helper { pid, what: seen.describe(), master: seen.parent }),
        Some(Role::Master | Role::Single) => {
            let set = family(seen, all);
            Ok(found(Some(seen), &set))
        }
    }
}

/// A master and all that descends from it.
fn family<'a>(master: &'a Seen, all: &'a [Seen]) -> Vec<&'a Seen> {
    let parents: HashMap<u32, u32> = all.iter().map(|seen| (seen.pid, seen.parent)).collect();
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
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime: f64 = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0);
    let started = seen.started as f64 / procfs::ticks_per_second() as f64;
    let age = std::time::Duration::try_from_secs_f64((uptime - started).max(0.0)).unwrap_or_default();
    Master { pid: seen.pid, age_s: age.as_secs(), config: seen.config() }
}
