//! Looking at the network from where nginx is: its network namespace, which in a container is not the tool's.
//!
//! A socket belongs for ever to the namespace in which it was made, so entering a namespace once, on a thread that
//! ends straight after, is enough to talk to its kernel from anywhere. No other thread ever changes its namespace.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Inode number of the network namespace of a process; `None` if the process is gone or may not be looked at.
#[must_use]
pub fn inode_of(pid: u32) -> Option<u32> {
    inode(&format!("/proc/{pid}/ns/net"))
}

/// Inode number of the network namespace of the calling thread.
#[must_use]
pub fn own_inode() -> Option<u32> {
    inode("/proc/thread-self/ns/net")
}

/// Where `ip netns` keeps the names of network namespaces.
const NAMED: &str = "/run/netns";
/// Processes that are looked at for one that lives in a namespace.
const PROCESSES: usize = 8_192;

/// How a network namespace is entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A process lives there.
    Process(u32),
    /// It has a name.
    Named(String),
}

impl Way {
    /// A way into the network namespace with this inode number, if some process lives there or it has a name.
    #[must_use]
    pub fn find(inode: u32) -> Option<Self> {
        Self::into(inode).next()
    }

    /// All ways into the network namespace with this inode number. A program that this one runs to look at a namespace does
    /// not live there.
    fn into(inode: u32) -> impl Iterator<Item = Self> {
        let processes = super::pids().into_iter().take(PROCESSES);
        let there = processes.map(Self::Process).chain(Self::named());
        there.filter(move |way| way.inode() == Some(inode) && !way.is_own_child())
    }

    fn is_own_child(&self) -> bool {
        let parent = self.process().and_then(super::stat).map(|stat| stat.parent);
        parent == Some(std::process::id())
    }

    /// A way into each network namespace that some process lives in or that has a name; of so many namespaces at most.
    #[must_use]
    pub fn all(most: usize) -> BTreeMap<u32, Self> {
        let mut found = BTreeMap::new();
        let processes = super::pids().into_iter().take(PROCESSES).map(Self::Process);
        for way in processes.chain(Self::named()) {
            if found.len() == most {
                break;
            }
            if let Some(inode) = way.inode() {
                found.entry(inode).or_insert(way);
            }
        }
        found
    }

    fn named() -> impl Iterator<Item = Self> {
        let files = fs::read_dir(NAMED).into_iter().flatten().flatten();
        let names = files.filter_map(|entry| entry.file_name().into_string().ok());
        names.take(PROCESSES).map(Self::Named)
    }

    /// The process that lives there, if that is the way.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        match self {
            Self::Process(pid) => Some(*pid),
            Self::Named(_) => None,
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Process(pid) => format!("/proc/{pid}/ns/net"),
            Self::Named(name) => format!("{NAMED}/{name}"),
        }
    }

    fn inode(&self) -> Option<u32> {
        inode(&self.path())
    }
}

/// A network namespace held open: it stays when the process through which it was found has ended, even if nobody lives
/// there any more.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// The one with this inode number; 0 for wherever `first` leads. `first` is tried before all other ways: its process may
    /// have ended, and its number have been given to another one.
    #[must_use]
    pub fn open(inode: u32, first: Option<&Way>) -> Option<Self> {
        let is_it = |namespace: &Self| inode == 0 || namespace.inode() == Some(inode);
        let found = first.and_then(|way| Self::through(way).ok()).filter(is_it);
        if found.is_some() || inode == 0 {
            return found;
        }
        Way::into(inode).find_map(|way| Self::through(&way).ok().filter(is_it))
    }

    /// Wherever this way leads now.
    ///
    /// # Errors
    /// If it leads nowhere, or may not be looked at.
    pub fn through(way: &Way) -> io::Result<Self> {
        File::open(way.path()).map(Self)
    }

    fn inode(&self) -> Option<u32> {
        u32::try_from(self.0.metadata().ok()?.ino()).ok()
    }

    /// Runs `work` there, on a thread of its own, and waits for it.
    ///
    /// # Errors
    /// If it may not be entered, no thread could be started, or `work` panicked.
    pub fn run<T, F>(&self, work: F) -> io::Result<T>
    where
        T: Send,
        F: FnOnce() -> T + Send,
    {
        thread::scope(|scope| {
            thread::Builder::new()
                .name("netns".to_owned())
                .spawn_scoped(scope, move || {
                    enter(&self.0)?;
                    Ok(work())
                })?
                .join()
                .map_err(|_| io::Error::other("the thread in that network namespace panicked"))?
        })
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn inode(path: &str) -> Option<u32> {
    u32::try_from(fs::metadata(path).ok()?.ino()).ok()
}

/// Runs `work` in the network namespace of process `pid`, on a thread of its own, and waits for it.
///
/// # Errors
/// If the process is gone, the namespace may not be entered, no thread could be started, or `work` panicked.
pub fn run_in<T, F>(pid: u32, work: F) -> io::Result<T>
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    run_through(&Way::Process(pid), work)
}

/// The same by whatever way.
///
/// # Errors
/// As [`run_in`].
pub fn run_through<T, F>(way: &Way, work: F) -> io::Result<T>
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    Namespace::through(way)?.run(work)
}

/// Enters `namespace`, unless the calling thread is there already, which needs no rights.
fn enter(namespace: &File) -> io::Result<()> {
    let target = u32::try_from(namespace.metadata()?.ino()).ok();
    if target.is_some() && target == own_inode() {
        return Ok(());
    }
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn own_namespace_needs_no_rights() {
        let pid = std::process::id();
        assert_eq!(run_in(pid, own_inode).unwrap(), inode_of(pid));
        assert_eq!(own_inode(), inode_of(pid));
    }

    #[test]
    fn a_way_into_the_own_namespace() {
        let own = own_inode().unwrap();
        assert_eq!(Way::find(own).and_then(|way| way.inode()), Some(own));
        assert_eq!(Way::find(0), None);
    }

    #[test]
    fn a_namespace_stays_open_without_the_process_through_which_it_was_found() {
        let own = own_inode().unwrap();
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let way = Way::Process(child.id());
        assert!(way.is_own_child() && Way::into(own).all(|other| other != way));
        let namespace = Namespace::open(own, Some(&way)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(run_through(&way, || ()).is_err());
        assert_eq!(namespace.run(own_inode).unwrap(), Some(own));
        // Another process leads there, and none to a namespace that is none.
        assert_eq!(Namespace::open(own, Some(&way)).and_then(|found| found.inode()), Some(own));
        assert!(Namespace::open(0, Some(&way)).is_none() && Namespace::open(1, None).is_none());
    }

    #[test]
    fn a_missing_process_is_an_error() {
        assert_eq!(inode_of(u32::MAX), None);
        assert!(run_in(u32::MAX, || ()).is_err());
    }

    #[test]
    fn a_panic_stays_on_its_thread() {
        assert!(run_in(std::process::id(), || panic!("expected by this test")).is_err());
    }
}
