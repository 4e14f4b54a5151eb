//! Processes as `/proc` shows them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use procfs::Current;
use procfs::process::Process;

/// A process, and no other that got its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// Clock ticks from boot to its start.
    pub started: u64,
}

impl Identity {
    /// Of the process that has this number now; `None` if there is none, or only its remains (a zombie).
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        stat(pid).map(|stat| Self { pid, started: stat.started })
    }

    /// It still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// What `/proc/PID/stat` says of a process that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Its name, 15 bytes at most; it may be any text.
    pub comm: String,
    /// The process that started it, or took it over.
    pub parent: u32,
    /// Clock ticks from boot to its start.
    pub started: u64,
    /// Where its stack begins: `execve` chooses anew, `fork` keeps it. 0 if it may not be looked at.
    pub stack: u64,
    /// It is stopped, by a signal or a debugger.
    pub stopped: bool,
}

/// The state of a process; `None` if it is gone, or only its remains are there.
#[must_use]
pub fn stat(pid: u32) -> Option<Stat> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    let runs = !matches!(stat.state, 'Z' | 'X' | 'x');
    runs.then(|| Stat {
        comm: stat.comm,
        parent: u32::try_from(stat.ppid).unwrap_or(0),
        started: stat.starttime,
        stack: stat.startstack,
        stopped: matches!(stat.state, 'T' | 't'),
    })
}

/// The numbers of all processes.
#[must_use]
pub fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The children of a process. Where the kernel does not list them (without `CONFIG_PROC_CHILDREN`) all processes are
/// asked for their parent.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists: Option<Vec<String>> =
        threads.flatten().map(|thread| fs::read_to_string(thread.path().join("children")).ok()).collect();
    match lists {
        Some(lists) => lists.iter().flat_map(|list| list.split_whitespace()).flat_map(str::parse).collect(),
        None => pids().into_iter().filter(|child| stat(*child).is_some_and(|s| s.parent == pid)).collect(),
    }
}

/// The user who started the process: its real user id, as this process's user namespace counts.
#[must_use]
pub fn real_uid(pid: u32) -> Option<u32> {
    Process::new(i32::try_from(pid).ok()?).ok()?.status().ok().map(|status| status.ruid)
}

/// `name[pid]`.
#[must_use]
pub fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{}[{pid}]", name.trim_end()))
}

/// When a process started, to a clock tick.
#[must_use]
pub fn started_at(pid: u32) -> Option<SystemTime> {
    SystemTime::now().checked_sub(age(stat(pid)?.started)?)
}

/// How long ago that was: clock ticks from boot.
pub(crate) fn age(started: u64) -> Option<Duration> {
    let uptime = procfs::Uptime::current().ok()?.uptime;
    let began = started as f64 / procfs::ticks_per_second() as f64;
    Duration::try_from_secs_f64((uptime - began).max(0.0)).ok()
}

/// The file that a process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executable {
    /// Number of its device.
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
    /// Its path in the mount namespace of the process; the file may have been replaced or deleted since.
    pub path: String,
}

impl Executable {
    /// The last part of its path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// It is the same file, whatever its name.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// The file that a process runs; `None` if the process is gone, may not be looked at, or is the kernel's own.
#[must_use]
pub fn executable(pid: u32) -> Option<Executable> {
    let link = format!("/proc/{pid}/exe");
    let path = fs::read_link(&link).ok()?.to_string_lossy().into_owned();
    let metadata = fs::metadata(&link).ok()?;
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned();
    Some(Executable { device: metadata.dev(), inode: metadata.ino(), path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_known_by_its_number_and_start() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        assert!(!Identity { started: own.started + 1, ..own }.is_alive(), "another one of that number");
        assert_eq!(Identity::of(u32::MAX), None);
    }

    #[test]
    fn a_child_runs_its_own_program() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let (pid, own) = (child.id(), std::process::id());
        assert!(children(own).contains(&pid) && pids().contains(&pid));
        assert_eq!(stat(pid).unwrap().parent, own);
        assert_eq!(real_uid(pid), real_uid(own));
        let (theirs, ours) = (executable(pid).unwrap(), executable(own).unwrap());
        assert!(ours.is_same_file(&executable(own).unwrap()) && !theirs.is_same_file(&ours), "{theirs:?}");
        assert!(started_at(pid).unwrap() >= started_at(own).unwrap());
        child.kill().unwrap();
        // Its remains are there until they are waited for.
        while stat(pid).is_some() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(children(own).iter().all(|left| *left != pid));
    }
}
