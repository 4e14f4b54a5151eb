//! Which network namespace of this kernel an address belongs to: nginx's own does not show what is in another one.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::LinkAddr;
use upstream_trace_core::event::Nanos;

use crate::host::netns::{self, Way};

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

/// A network namespace, and a way into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) netns: u32,
    pub(super) way: Way,
}

/// Addresses of all network namespaces.
#[derive(Debug, Default)]
pub(super) struct HostMap {
    made: Nanos,
    took: Duration,
    places: HashMap<u32, Place>,
    /// Namespaces by the addresses of their interfaces.
    by_ip: HashMap<IpAddr, HashSet<u32>>,
    by_link: HashMap<[u8; 6], HashSet<u32>>,
}

impl HostMap {
    /// The one namespace, but for that of number `but`, that has this address; `None` if there are several: networks of
    /// different containers may have the same addresses.
    pub(super) fn of_ip(&mut self, ip: IpAddr, but: u32, now: Nanos) -> Option<Place> {
        self.refresh(|map| !map.by_ip.contains_key(&ip), now);
        self.only(self.by_ip.get(&ip)?, but)
    }

    /// The one namespace, but for that of number `but`, whose interface has this link-layer address.
    pub(super) fn of_link(&mut self, link: [u8; 6], but: u32, now: Nanos) -> Option<Place> {
        self.refresh(|map| !map.by_link.contains_key(&link), now);
        self.only(self.by_link.get(&link)?, but)
    }

    /// All namespaces.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.values()
    }

    fn only(&self, all: &HashSet<u32>, but: u32) -> Option<Place> {
        let mut others = all.iter().filter(|inode| **inode != but);
        let found = others.next()?;
        others.next().is_none().then(|| self.places.get(found).cloned())?
    }

    fn refresh(&mut self, misses: impl Fn(&Self) -> bool, now: Nanos) {
        let age = now.saturating_sub(self.made);
        let soon = age >= FRESH_FOR_MISSES && self.took <= QUICK;
        if self.made == 0 || age >= FRESH || (soon && misses(self)) {
            *self = Self::make(now);
        }
    }

    fn make(now: Nanos) -> Self {
        let begun = Instant::now();
        let mut map = Self { made: now.max(1), ..Self::default() };
        for (inode, way) in Way::all(NAMESPACES) {
            let Ok((ips, links)) = netns::run_through(&way, addresses) else { continue };
            for ip in ips {
                map.by_ip.entry(ip).or_default().insert(inode);
            }
            for link in links {
                map.by_link.entry(link).or_default().insert(inode);
            }
            map.places.insert(inode, Place { netns: inode, way });
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
        } else if let Some(link) = address.as_link_addr().and_then(LinkAddr::addr) {
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
        map.refresh(|_| true, FRESH);
        let (ips, links) = addresses();
        assert!(ips.iter().all(|ip| map.by_ip[ip].contains(&own)));
        assert!(links.iter().all(|link| map.by_link[link].contains(&own)));
        assert!(!map.by_ip.contains_key(&IpAddr::from([127, 0, 0, 1])) && !map.by_link.contains_key(&[0; 6]));
    }

    #[test]
    fn of_several_namespaces_none_is_chosen() {
        let mut map = HostMap { made: FRESH, ..HostMap::default() };
        let ip = IpAddr::from([192, 0, 2, 77]);
        for netns in [7, 8, 9] {
            map.places.insert(netns, Place { netns, way: Way::Process(netns) });
        }
        map.by_ip.insert(ip, HashSet::from([7, 8]));
        assert_eq!(map.of_ip(ip, 7, FRESH).map(|place| place.netns), Some(8));
        assert_eq!(map.of_ip(ip, 9, FRESH), None);
        map.by_link.insert([2; 6], HashSet::from([9]));
        assert_eq!(map.of_link([2; 6], 7, FRESH).map(|place| place.netns), Some(9));
        assert_eq!(map.of_link([2; 6], 9, FRESH), None);
    }

    #[test]
    fn an_address_of_nobody_is_not_looked_for_at_once_again() {
        let mut map = HostMap::default();
        let nobodys = IpAddr::from([192, 0, 2, 77]);
        assert_eq!(map.of_ip(nobodys, 0, FRESH), None);
        assert_eq!(map.made, FRESH);
        assert_eq!(map.of_ip(nobodys, 0, FRESH + FRESH_FOR_MISSES - 1), None);
        assert_eq!(map.made, FRESH);
        assert_eq!(map.of_ip(nobodys, 0, 2 * FRESH), None);
        assert_eq!(map.made, 2 * FRESH);
    }
}
