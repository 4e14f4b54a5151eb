//! Listeners of unix sockets in other network namespaces: containers that share a volume reach each other by socket
//! files, and the kernel shows such a socket only in the namespace in which it was made.

use std::collections::{BTreeMap, HashMap};

use upstream_trace_core::event::Nanos;

use super::unix_path;
use crate::host::{netns, pids};
use crate::netlink::diag::{Diag, UnixSocket};

/// A socket that was found nowhere is not looked for again for so long.
const AGAIN: Nanos = 5_000_000_000;
/// Network namespaces that are looked into.
const NAMESPACES: usize = 32;
/// Processes whose namespace is looked at.
const PROCESSES: usize = 8_192;
/// Sockets that are remembered.
const REMEMBERED: usize = 256;
/// A namespace is held open for so long after it was last needed.
const HELD: Nanos = 60_000_000_000;

/// Where a socket was found.
#[derive(Debug)]
enum Place {
    Nowhere { looked: Nanos },
    There { diag: Diag, used: Nanos },
}

/// Where the sockets were found, by nginx's namespace and path.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    places: HashMap<(u32, String), Place>,
}

impl Elsewhere {
    /// The socket that listens at this path of process `pid`, in a network namespace other than `netns`. Only the
    /// number of the file tells: paths mean something else in other containers.
    pub(super) fn listener(&mut self, pid: u32, netns: u32, path: &str, now: Nanos) -> Option<UnixSocket> {
        let file = unix_path::look(pid, path)?.id?;
        self.tidy(now);
        let key = (netns, path.to_owned());
        match self.places.get_mut(&key) {
            Some(Place::Nowhere { .. }) => return None,
            Some(Place::There { diag, used }) => {
                *used = now;
                if let Some(found) = listening(diag, file) {
                    return Some(found);
                }
            }
            None => {}
        }
        let found = namespaces(netns, NAMESPACES).into_values().find_map(|pid| {
            let mut diag = netns::run_in(pid, Diag::open).and_then(|diag| diag).ok()?;
            listening(&mut diag, file).map(|socket| (diag, socket))
        });
        if self.places.len() >= REMEMBERED {
            self.places.clear();
        }
        let (place, socket) = match found {
            Some((diag, socket)) => (Place::There { diag, used: now }, Some(socket)),
            None => (Place::Nowhere { looked: now }, None),
        };
        self.places.insert(key, place);
        socket
    }

    /// Lets go what has not been needed for a while.
    pub(super) fn tidy(&mut self, now: Nanos) {
        self.places.retain(|_, place| match place {
            Place::Nowhere { looked } => now.saturating_sub(*looked) < AGAIN,
            Place::There { used, .. } => now.saturating_sub(*used) < HELD,
        });
    }
}

fn listening(diag: &mut Diag, file: (u32, u32)) -> Option<UnixSocket> {
    diag.unix_sockets(true).ok()?.into_iter().find(|socket| socket.stream && socket.file == Some(file))
}

/// A process in each network namespace but this one, of so many namespaces.
pub(super) fn namespaces(but: u32, most: usize) -> BTreeMap<u32, u32> {
    let mut found = BTreeMap::new();
    for pid in pids().into_iter().take(PROCESSES) {
        if found.len() == most {
            break;
        }
        if let Some(inode) = netns::inode_of(pid).filter(|inode| *inode != but) {
            found.entry(inode).or_insert(pid);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_socket_that_nobody_listens_on_is_looked_for_now_and_then() {
        let path = std::env::temp_dir().join(format!("elsewhere-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        drop(listener);
        let (pid, text) = (std::process::id(), path.to_str().unwrap());
        let own = netns::own_inode().unwrap();
        let mut elsewhere = Elsewhere::default();
        assert_eq!(elsewhere.listener(pid, own, text, AGAIN), None);
        assert_eq!(elsewhere.places.len(), 1);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(elsewhere.listener(pid, own, text, AGAIN), None);
        assert!(!namespaces(own, NAMESPACES).contains_key(&own));
    }

    #[test]
    fn a_listener_of_another_namespace_is_found_by_its_file() {
        let path = std::env::temp_dir().join(format!("elsewhere-{}-there", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let text = path.to_str().unwrap();
        // For whoever is in another namespace than this one, this one is elsewhere.
        let found = Elsewhere::default().listener(std::process::id(), 0, text, 1);
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found.and_then(|socket| socket.name).as_deref(), Some(text));
    }
}
