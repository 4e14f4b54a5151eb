//! Which process holds a socket. `/proc` can only be searched process by process, so each question may look at a
//! part of it only; the next one goes on where that ended.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use upstream_trace_core::event::Nanos;

use crate::host::{first_sockets, holds_socket, pids};

/// Longest time of one search.
const BUDGET: Duration = Duration::from_millis(1);
/// Of one that may take longer, since there are few of them.
const PATIENT_BUDGET: Duration = Duration::from_millis(10);
/// Between two of those.
const PATIENT_AGAIN: Nanos = 1_000_000_000;
/// Listeners are among the first descriptors of a process.
pub(super) const DESCRIPTORS: usize = 64;
/// Sockets whose holder is remembered.
const REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct SocketOwnerCache {
    /// Holder of each socket that was seen on the way: process and descriptor.
    known: HashMap<u32, (u32, i32)>,
    unsearched: VecDeque<u32>,
    patient: Nanos,
}

impl SocketOwnerCache {
    /// A process that holds the socket, if it was found in time.
    pub(super) fn find(&mut self, inode: u32, now: Nanos) -> Option<u32> {
        if inode == 0 {
            return None;
        }
        let known = self.known.get(&inode).copied().filter(|(pid, fd)| holds_socket(*pid, *fd, inode));
        let mut budget = BUDGET;
        if known.is_none() && now.saturating_sub(self.patient) >= PATIENT_AGAIN {
            (self.patient, budget) = (now, PATIENT_BUDGET);
        }
        known.or_else(|| self.search(inode, budget)).map(|(pid, _)| pid)
    }

    /// Takes note of a holder that was found in another way.
    pub(super) fn learn(&mut self, inode: u32, holder: (u32, i32)) {
        if self.known.len() < REMEMBERED {
            self.known.insert(inode, holder);
        }
    }

    fn search(&mut self, inode: u32, budget: Duration) -> Option<(u32, i32)> {
        let start = Instant::now();
        if self.unsearched.is_empty() {
            self.unsearched = pids().into();
        }
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        // Services are younger than the kernel's own threads.
        while let Some(pid) = self.unsearched.pop_back() {
            let mut found = None;
            for (socket, fd) in first_sockets(pid, DESCRIPTORS) {
                self.known.insert(socket, (pid, fd));
                if socket == inode {
                    found = Some((pid, fd));
                }
            }
            if found.is_some() || start.elapsed() > budget {
                return found;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_holder_is_found_and_forgotten_with_its_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = std::process::id();
        let fd = listener.as_raw_fd();
        let (inode, _) = crate::host::sockets(own).into_iter().find(|(_, found)| *found == fd).unwrap();
        let mut owners = SocketOwnerCache::default();
        // Each question searches for a short time only.
        let found = (0..1000).find_map(|_| owners.find(inode, 1));
        assert_eq!(found, Some(own));
        drop(listener);
        owners.unsearched.clear();
        assert_eq!(owners.find(inode, 1), None);
        assert_eq!(owners.find(0, 1), None);
    }
}
