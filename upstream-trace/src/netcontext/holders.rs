//! All processes that hold given sockets, found little by little: a host may have thousands of processes.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::owner::DESCRIPTORS;
use crate::host::{first_sockets, pids};

/// Longest time of one step.
const BUDGET: Duration = Duration::from_millis(1);
/// Holds the sockets of services that it starts on demand, and never ends.
const INIT: u32 = 1;

/// Sockets of a process: the descriptor of each.
pub type Sockets = BTreeMap<u32, i32>;

/// A search under way.
#[derive(Debug)]
pub struct SocketOwnerScan {
    wanted: HashSet<u32>,
    left: VecDeque<u32>,
    found: BTreeMap<u32, Sockets>,
}

impl SocketOwnerScan {
    /// Begins to search for the holders of these sockets.
    #[must_use]
    pub fn of(wanted: HashSet<u32>) -> Self {
        let own = std::process::id();
        let mut left = VecDeque::from(pids());
        left.retain(|pid| *pid != INIT && *pid != own);
        Self { wanted, left, found: BTreeMap::new() }
    }

    /// Searches for a millisecond. At the end of the search: processes with the sockets that they hold.
    pub fn step(&mut self) -> Option<BTreeMap<u32, Sockets>> {
        let start = Instant::now();
        while let Some(pid) = self.left.pop_front() {
            for (inode, descriptor) in first_sockets(pid, DESCRIPTORS) {
                if self.wanted.contains(&inode) {
                    self.found.entry(pid).or_default().insert(inode, descriptor);
                }
            }
            if start.elapsed() > BUDGET && !self.left.is_empty() {
                return None;
            }
        }
        Some(std::mem::take(&mut self.found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_that_holds_the_socket_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = listener.as_raw_fd();
        let (inode, _) =
            crate::host::sockets(std::process::id()).into_iter().find(|(_, found)| *found == fd).unwrap();
        let mut child =
            Command::new("sleep").arg("10").stdin(Stdio::from(OwnedFd::from(listener))).spawn().unwrap();
        let mut holders = SocketOwnerScan::of(HashSet::from([inode]));
        let found = (0..10_000).find_map(|_| holders.step()).unwrap();
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(found, BTreeMap::from([(child.id(), BTreeMap::from([(inode, 0)]))]));
    }
}
