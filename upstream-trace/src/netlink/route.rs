//! The routing and neighbour tables of a network namespace, from the kernel's `rtnetlink`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use upstream_trace_core::event::{Neighbour, Route};
use upstream_trace_core::tables::{self, RouteKind};

use super::{Channel, Error};

/// A route together with what only the same host can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRoute {
    /// What the table says.
    pub route: Route,
    /// Index of the interface, 0 if there is none.
    pub ifindex: u32,
    /// Where neighbours are resolved: a link that is no loopback.
    pub real_link: bool,
}

/// Asks one network namespace for its routes.
#[derive(Debug)]
pub struct Routes(pub(super) Channel);

impl Routes {
    /// For the network namespace of the calling thread; may be used from any thread afterwards.
    pub fn open() -> io::Result<Self> {
        Channel::open(NETLINK_ROUTE).map(Self)
    }

    /// The way to `ip`; `scope` is the interface of a link-local address, else 0.
    pub fn route_to(&mut self, ip: IpAddr, scope: u32) -> Result<FoundRoute, Error> {
        let mut request = RouteMessage::default();
        request.header.address_family = family_of(ip);
        request.header.destination_prefix_length = if ip.is_ipv4() { 32 } else { 128 };
        request.attributes.push(RouteAttribute::Destination(ip.into()));
        if scope != 0 {
            request.attributes.push(RouteAttribute::Oif(scope));
        }
        match self.0.one(RouteNetlinkMessage::GetRoute(request)) {
            Ok(RouteNetlinkMessage::NewRoute(reply)) => Ok(self.understand(&reply)),
            Ok(_) => Err(Error::Malformed),
            Err(Error::Refused(errno)) => Ok(refused(errno)),
            Err(error) => Err(error),
        }
    }

    fn understand(&mut self, reply: &RouteMessage) -> FoundRoute {
        // For IPv6 the kernel describes a route that refuses instead of answering with its error.
        let kind = tables::route_kind(reply.header.kind.into());
        if let RouteKind::Refused(errno) = kind {
            return refused(errno);
        }
        let ifindex = reply.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        let gateway = gateway(reply);
        let local = kind == RouteKind::Here;
        let ifindex = ifindex.unwrap_or(0);
        let (interface, loopback) = self.link(ifindex).unwrap_or((None, false));
        let real_link = ifindex != 0 && !local && !loopback;
        FoundRoute { route: Route::Found { interface, gateway, local }, ifindex, real_link }
    }

    /// Name of an interface and whether it is a loopback.
    fn link(&mut self, ifindex: u32) -> Result<(Option<String>, bool), Error> {
        let reply = self.link_message(ifindex)?;
        let name = reply.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        Ok((name, reply.header.flags.contains(LinkFlags::Loopback)))
    }

    /// Link-layer address of `ip` on the link of an interface; `None` if it is not known, or is none of six bytes.
    pub fn link_address(&mut self, ip: IpAddr, ifindex: u32) -> Result<Option<[u8; 6]>, Error> {
        let reply = match self.0.one(neighbour_request(ip, ifindex)) {
            Ok(RouteNetlinkMessage::NewNeighbour(reply)) => reply,
            Ok(_) => return Err(Error::Malformed),
            Err(Error::Refused(libc::ENOENT)) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(reply.attributes.into_iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => bytes.try_into().ok(),
            _ => None,
        }))
    }

    /// What the neighbour table of an interface says about `ip`; `None` without an entry.
    pub fn neighbour(
        &mut self,
        ip: IpAddr,
        ifindex: u32,
        interface: Option<String>,
    ) -> Result<Option<Neighbour>, Error> {
        match self.0.one(neighbour_request(ip, ifindex)) {
            Ok(RouteNetlinkMessage::NewNeighbour(reply)) => Ok(Some(Neighbour {
                address: ip,
                state: tables::neighbour_name(reply.header.state.into()).into_owned(),
                interface,
            })),
            Ok(_) => Err(Error::Malformed),
            Err(Error::Refused(libc::ENOENT)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn neighbour_request(ip: IpAddr, ifindex: u32) -> RouteNetlinkMessage {
    let mut request = NeighbourMessage::default();
    request.header.family = family_of(ip);
    request.header.ifindex = ifindex;
    request.attributes.push(NeighbourAttribute::Destination(ip.into()));
    RouteNetlinkMessage::GetNeighbour(request)
}

fn refused(errno: i32) -> FoundRoute {
    FoundRoute { route: Route::Refused { errno }, ifindex: 0, real_link: false }
}

fn family_of(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// The next hop of a route, if it has one.
pub(super) fn gateway(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(gateway_of)
}

fn gateway_of(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(ip)) | RouteAttribute::Via(RouteVia::Inet(ip)) => {
            Some(IpAddr::V4(*ip)).filter(|ip| *ip != IpAddr::V4(Ipv4Addr::UNSPECIFIED))
        }
        RouteAttribute::Gateway(RouteAddress::Inet6(ip)) | RouteAttribute::Via(RouteVia::Inet6(ip)) => {
            Some(IpAddr::V6(*ip)).filter(|ip| *ip != IpAddr::V6(Ipv6Addr::UNSPECIFIED))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_local() {
        let found = Routes::open().unwrap().route_to(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        assert!(matches!(found.route, Route::Found { gateway: None, local: true, .. }), "{found:?}");
        assert!(!found.real_link);
    }

    #[test]
    fn a_missing_neighbour_is_none() {
        let mut routes = Routes::open().unwrap();
        assert_eq!(routes.neighbour(Ipv4Addr::new(192, 0, 2, 1).into(), 1, None).unwrap(), None);
    }

    #[test]
    fn an_unspecified_gateway_is_none() {
        let gateway = |ip: [u8; 4]| gateway_of(&RouteAttribute::Gateway(RouteAddress::Inet(ip.into())));
        assert_eq!(gateway([0; 4]), None);
        assert_eq!(gateway([10, 0, 0, 1]), Some(IpAddr::from([10, 0, 0, 1])));
    }
}
