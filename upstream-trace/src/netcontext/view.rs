//! One network namespace, held open: its netlink sockets and its files below `/proc`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use upstream_trace_core::event::{Conntrack, Nanos};

use crate::host::netns::{self, Namespace, Way};
use crate::netlink::diag::Diag;
use crate::netlink::route::Routes;

/// Connection tracking may be loaded later; so often it is looked for.
const LOOK_AGAIN: Nanos = 5_000_000_000;

/// What is held of a namespace. Files of `/proc/net` and `/proc/sys/net` that were opened there go on showing it.
#[derive(Debug)]
pub(super) struct View {
    /// The namespace that was really entered.
    pub(super) netns: Option<u32>,
    pub(super) namespace: Namespace,
    pub(super) diag: Diag,
    pub(super) routes: Routes,
    /// When something was last looked up here.
    pub(super) used: Nanos,
    netstat: Option<File>,
    conntrack: Option<(File, File)>,
    conntrack_looked: Nanos,
}

impl View {
    /// Of this namespace, into which `way` leads if its process still lives.
    pub(super) fn open(inode: u32, way: &Way) -> io::Result<Self> {
        let namespace = Namespace::open(inode, Some(way)).ok_or(io::ErrorKind::NotFound)?;
        let (netns, opened, netstat, conntrack) = namespace.run(|| {
            let opened = Diag::open().and_then(|diag| Ok((diag, Routes::open()?)));
            let netstat = File::open("/proc/thread-self/net/netstat").ok();
            (netns::own_inode(), opened, netstat, open_conntrack())
        })?;
        let (diag, routes) = opened?;
        Ok(Self { netns, namespace, diag, routes, used: 0, netstat, conntrack, conntrack_looked: 0 })
    }

    /// Looks for connection tracking again, through a process of this namespace.
    pub(super) fn refresh(&mut self, pid: u32, now: Nanos) {
        if self.conntrack.is_some() || now.saturating_sub(self.conntrack_looked) < LOOK_AGAIN {
            return;
        }
        let first = self.conntrack_looked == 0;
        self.conntrack_looked = now;
        if !first && netns::inode_of(pid) == self.netns {
            self.conntrack = netns::run_in(pid, open_conntrack).ok().flatten();
        }
    }

    /// Usage of the connection-tracking table, if there is one.
    pub(super) fn conntrack(&self) -> Option<Conntrack> {
        let (count, max) = self.conntrack.as_ref()?;
        let number = |file| read(file)?.trim().parse().ok();
        Some(Conntrack { count: number(count)?, max: number(max)? })
    }

    /// Connections that found a full accept queue.
    pub(super) fn listen_overflows(&self) -> Option<u64> {
        counter(&read(self.netstat.as_ref()?)?, "TcpExt:", "ListenOverflows")
    }
}

fn open_conntrack() -> Option<(File, File)> {
    let open = |name| File::open(format!("/proc/sys/net/netfilter/nf_conntrack_{name}")).ok();
    Some((open("count")?, open("max")?))
}

/// A small file from its beginning.
fn read(file: &File) -> Option<String> {
    let mut bytes = vec![0; 16 * 1024];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], u64::try_from(length).ok()?) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).ok()
}

/// A number of `/proc/net/netstat`, where each group is a line of names and a line of numbers.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|word| word == name)?;
    numbers.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\nIpExt: InNoRoutes\nIpExt: 4\n";
        assert_eq!(counter(text, "TcpExt:", "ListenOverflows"), Some(22));
        assert_eq!(counter(text, "IpExt:", "InNoRoutes"), Some(4));
        assert_eq!(counter(text, "TcpExt:", "Missing"), None);
        assert_eq!(counter("TcpExt: A B\nTcpExt: 1\n", "TcpExt:", "B"), None);
        assert_eq!(counter("TcpExt: A\n", "TcpExt:", "A"), None);
        assert_eq!(counter("", "TcpExt:", "A"), None);
    }

    #[test]
    fn a_view_reads_its_namespace() {
        let view = View::open(0, &Way::Process(std::process::id())).unwrap();
        assert_eq!(view.netns, netns::own_inode());
        assert!(view.listen_overflows().is_some());
        assert_eq!(view.listen_overflows(), view.listen_overflows());
    }
}
