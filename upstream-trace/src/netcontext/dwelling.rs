//! The container on this host that an address belongs to, and on which ports it listens: nginx's own network namespace
//! does not show what is in another one.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use upstream_trace_core::event::{Fact, Nanos, Route, Workload};

use super::elsewhere::namespaces;
use crate::host::{netns, workload};
use crate::netlink::Error;
use crate::netlink::diag::{Diag, Family, States};
use crate::netlink::route::Routes;

/// What was found of an address is not looked for again for so long.
const AGAIN: Nanos = 5_000_000_000;
/// Network namespaces that are looked into: a node of Kubernetes runs up to 110 pods, or a few more.
const NAMESPACES: usize = 256;
/// Addresses that are remembered.
const REMEMBERED: usize = 256;
/// Listeners that are told of a container.
const LISTENERS: usize = 8;

/// Whose addresses are, by nginx's namespace and the address.
#[derive(Debug, Default)]
pub(super) struct Dwellings {
    known: HashMap<(u32, IpAddr), (Nanos, Option<Dwelling>)>,
}

/// A container with a network namespace of its own.
#[derive(Clone, Debug)]
struct Dwelling {
    /// A process there.
    pid: u32,
    home: Workload,
}

impl Dwellings {
    /// The container, in a network namespace other than `netns`, that this address belongs to. `None` if there is none,
    /// or several: networks of different containers may have the same addresses.
    pub(super) fn fact(&mut self, netns: u32, address: SocketAddr, now: Nanos) -> Option<Fact> {
        let key = (netns, address.ip().to_canonical());
        self.known.retain(|_, (looked, _)| now.saturating_sub(*looked) < AGAIN);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let (_, found) = self.known.entry(key).or_insert_with(|| (now, dwelling(netns, key.1)));
        let Dwelling { pid, home } = found.clone()?;
        let listeners = netns::run_in(pid, || listeners(address.port())).ok()?.ok()?;
        let listens = listeners.iter().filter(|socket| is_told(**socket, address.port())).copied();
        Some(Fact::ContainerAddress { home, listens: listens.take(LISTENERS).collect() })
    }
}

fn dwelling(netns: u32, ip: IpAddr) -> Option<Dwelling> {
    let there = namespaces(netns, NAMESPACES).into_values().filter(|pid| has(*pid, ip));
    let mut found = there.filter_map(|pid| Some(Dwelling { pid, home: workload(pid)? }));
    let one = found.next().filter(|one| one.home.is_container())?;
    found.next().is_none().then_some(one)
}

/// The address is one of the network namespace of a process.
fn has(pid: u32, ip: IpAddr) -> bool {
    let route = netns::run_in(pid, || Routes::open().ok()?.route_to(ip, 0).ok()).ok().flatten();
    route.is_some_and(|found| matches!(found.route, Route::Found { local: true, .. }))
}

/// Listeners of the calling thread's namespace, those on this port first.
fn listeners(port: u16) -> Result<Vec<SocketAddr>, Error> {
    let mut diag = Diag::open().map_err(Error::from)?;
    let mut found = Vec::new();
    for family in [Family::V4, Family::V6] {
        let sockets = diag.tcp_sockets(family, States::LISTEN, |_| true)?;
        found.extend(sockets.into_iter().map(|socket| socket.local));
    }
    found.sort_by_key(|local| (local.port() != port, *local));
    found.dedup();
    Ok(found)
}

/// Nobody outside reaches what listens on a loopback address, such as the name server that Docker puts into a container;
/// on the very port it is the mistake itself.
fn is_told(local: SocketAddr, port: u16) -> bool {
    local.port() == port || !local.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn own_listeners_are_found_and_loopback_counts_on_the_very_port_only() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        assert_eq!(listeners(local.port()).unwrap().first(), Some(&local));
        assert!(is_told(local, local.port()) && !is_told(local, local.port() ^ 1));
        assert!(is_told("0.0.0.0:80".parse().unwrap(), 8080));
        assert!(!is_told("[::1]:80".parse().unwrap(), 8080));
    }

    #[test]
    fn an_address_of_nobody_is_not_looked_for_at_once_again() {
        let mut dwellings = Dwellings::default();
        let nobodys = "192.0.2.77:80".parse().unwrap();
        let own = netns::own_inode().unwrap();
        assert_eq!(dwellings.fact(own, nobodys, 1), None);
        assert_eq!(dwellings.known.len(), 1);
        assert!(has(std::process::id(), "127.0.0.1".parse().unwrap()));
        assert!(!has(std::process::id(), nobodys.ip()));
    }
}
