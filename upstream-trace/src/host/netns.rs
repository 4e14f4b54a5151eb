//! Looking at the network from where nginx is: its network namespace, which in a container is not the tool's.
//!
//! A socket belongs for ever to the namespace in which it was made, so entering a namespace once, on a thread that
//! ends straight after, is enough to talk to its kernel from anywhere. No other thread ever changes its namespace.

use std::fs::{self, File};
use std::io;
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
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    thread::scope(|scope| {
        thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, move || {
                enter(&namespace)?;
                Ok(work())
            })?
            .join()
            .map_err(|_| io::Error::other("the thread in that network namespace panicked"))?
    })
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

    #[test]
    fn own_namespace_needs_no_rights() {
        let pid = std::process::id();
        assert_eq!(run_in(pid, own_inode).unwrap(), inode_of(pid));
        assert_eq!(own_inode(), inode_of(pid));
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
