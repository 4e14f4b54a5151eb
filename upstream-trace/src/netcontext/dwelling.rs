//! The container on this host that an address belongs to, and on which ports it listens.

use std::net::SocketAddr;

use upstream_trace_core::event::{Fact, Nanos, Workload};

use super::host_map::HostMap;
use crate::host::{netns, workload};
use crate::netlink::Error;
use crate::netlink::diag::{Diag, Family, States};

/// Listeners that are told of a container.
const LISTENERS: usize = 8;

/// The container, in a network namespace other than `netns`, that this address belongs to. `None` if there is none, or
/// several.
pub(super) fn fact(map: &mut HostMap, netns: u32, address: SocketAddr, now: Nanos) -> Option<Fact> {
    let pid = map.of_ip(address.ip().to_canonical(), netns, now)?.way.process()?;
    let home = workload(pid).filter(Workload::is_container)?;
    let listeners = netns::run_in(pid, || listeners(address.port())).ok()?.ok()?;
    let listens = listeners.iter().filter(|socket| is_told(**socket, address.port())).copied();
    Some(Fact::ContainerAddress { home, listens: listens.take(LISTENERS).collect() })
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
}
