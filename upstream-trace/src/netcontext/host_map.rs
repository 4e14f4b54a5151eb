//! Which network namespace of this kernel an address belongs to: nginx's own does not show what is in another one.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use upstream_trace_core::event::Nanos;

use super::elsewhere::namespaces;
use crate::host::netns;

/// The map is good for so long.
const FRESH: Nanos = 5_000_000_000;
/// What is not on it may have come since: then it is made anew after this time already, if that is quick.
const FRESH_FOR_MISSES: Nanos = 1_000_000_000;
/// To make it is quick.
const QUICK: Duration = Duration::from_millis(10);
/// Network namespaces that are looked into: a node of Kubernetes runs up to 110 pods, or a few more.
const NAMESPACES: usize = 256;
/// Addresses of one namespace that are kept.
const ADDRESSES: usize = 256;
/// No namespace has this number: all are looked into.
const NONE: u32 = 0;

/// A network namespace, by its number and a process there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) netns: u32,
    pub(super) pid: u32,
}

/// Addresses of all network namespaces.
#[derive(Debug, Default)]
pub(super) struct HostMap {
    made: Nanos,
    took: Duration,
    by_ip: HashMap<IpAddr, Vec<Place>>,
    links: HashSet<[u8; 6]>,
}

impl HostMap {
    /// The namespaces, but for that of number `but`, that have this address.
    pub(super) fn of(&mut self, ip: IpAddr, but: u32, now: Nanos) -> Vec<Place> {
        let age = now.saturating_sub(self.made);
        let missed = !self.by_ip.contains_key(&ip) && age >= FRESH_FOR_MISSES && self.took <= QUICK;
        if self.made == 0 || age >= FRESH || missed {
            *self = Self::make(now);
        }
        let all = self.by_ip.get(&ip).into_iter().flatten().copied();
        all.filter(|place| place.netns != but).collect()
    }

    /// The one namespace, but for that of number `but`, that has this address; `None` if there are several: networks of
    /// different containers may have the same addresses.
    pub(super) fn only(&mut self, ip: IpAddr, but: u32, now: Nanos) -> Option<Place> {
        match self.of(ip, but, now)[..] {
            [place] => Some(place),
            _ => None,
        }
    }

    /// Whether an interface of this kernel has this link-layer address. To be asked after [`Self::only`].
    pub(super) fn has_link(&self, address: [u8; 6]) -> bool {
        self.links.contains(&address)
    }

    fn make(now: Nanos) -> Self {
        let begun = Instant::now();
        let mut map = Self { made: now.max(1), ..Self::default() };
        for (inode, pid) in namespaces(NONE, NAMESPACES) {
            let Ok((ips, links)) = netns::run_in(pid, addresses) else { continue };
            for ip in ips {
                map.by_ip.entry(ip).or_default().push(Place { netns: inode, pid });
            }
            map.links.extend(links);
        }
        map.took = begun.elapsed();
        map
    }
}

/// Addresses of the calling thread's namespace that others reach, and link-layer addresses.
fn addresses() -> (HashSet<IpAddr>, HashSet<[u8; 6]>) {
    let (mut ips, mut links) = (HashSet::new(), HashSet::new());
    let Ok(found) = getifaddrs() else { return (ips, links) };
    for address in found.filter_map(|interface| interface.address) {
        if let Some(v4) = address.as_sockaddr_in() {
            ips.insert(IpAddr::V4(v4.ip()));
        } else if let Some(v6) = address.as_sockaddr_in6() {
            ips.insert(IpAddr::V6(v6.ip()));
        } else if let Some(link) = address.as_link_addr().and_then(nix::sys::socket::LinkAddr::addr) {
            links.insert(link);
        }
        if ips.len() >= ADDRESSES {
            break;
        }
    }
    ips.retain(|ip| !ip.is_loopback());
    links.remove(&[0; 6]);
    (ips, links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_namespace_are_on_the_map_and_no_loopback() {
        let own = netns::own_inode().unwrap();
        let mut map = HostMap::default();
        let (ips, links) = addresses();
        for ip in ips {
            assert!(map.of(ip, NONE, FRESH).iter().any(|place| place.netns == own), "{ip}");
            assert!(map.of(ip, own, FRESH).iter().all(|place| place.netns != own), "{ip}");
        }
        assert!(map.of("127.0.0.1".parse().unwrap(), NONE, FRESH).is_empty());
        assert!(links.iter().all(|link| map.has_link(*link)));
        assert!(!map.has_link([0; 6]));
    }

    #[test]
    fn an_address_of_nobody_is_not_looked_for_at_once_again() {
        let mut map = HostMap::default();
        let nobodys = "192.0.2.77".parse().unwrap();
        assert_eq!(map.only(nobodys, NONE, FRESH), None);
        assert_eq!(map.made, FRESH);
        assert_eq!(map.only(nobodys, NONE, FRESH + FRESH_FOR_MISSES - 1), None);
        assert_eq!(map.made, FRESH);
        assert_eq!(map.only(nobodys, NONE, 2 * FRESH), None);
        assert_eq!(map.made, 2 * FRESH);
    }
}
