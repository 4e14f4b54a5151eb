//! Whether an interface of one network namespace reaches another namespace. Link-layer addresses do not tell: whoever has a
//! namespace of its own gives its interfaces any. What the kernel says of pairs, bridges and lower interfaces does.

use std::os::fd::AsFd;

use upstream_trace_core::event::Nanos;

use super::Enricher;
use super::host_map::Place;
use crate::host::netns::Namespace;
use crate::netlink::link::Link;

/// The way out of a namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    /// The namespace, whose view is open.
    pub(super) netns: u32,
    /// Index of the interface.
    pub(super) ifindex: u32,
    /// Link-layer address of the next hop.
    pub(super) link: [u8; 6],
}

impl Enricher {
    /// Whether what leaves by this exit may get to `next`, whose view is open.
    pub(super) fn reaches(&mut self, exit: Exit, next: &Place, now: Nanos) -> bool {
        self.try_reaches(exit, next, now).unwrap_or(false)
    }

    fn try_reaches(&mut self, exit: Exit, next: &Place, now: Nanos) -> Option<bool> {
        let (here, there) = (exit.netns, next.netns);
        let out = self.views.get_mut(&here)?.routes.link_of(exit.ifindex).ok()?;
        if out.beyond_in.is_some() && out.beyond_in == self.number(here, there) {
            return Some(true);
        }
        let arrivals = self.views.get_mut(&there)?.routes.links_to_others(exit.link).ok()?;
        let back = self.number(there, here);
        if arrivals.iter().any(|arrival| back.is_some() && arrival.beyond_in == back) {
            let views = &mut self.views.get_mut(&here)?.routes;
            let ports = arrivals.iter().filter(|arrival| arrival.beyond_in == back);
            let mut ports = ports.filter_map(|arrival| views.link_of(arrival.beyond?).ok());
            return Some(ports.any(|port| leads_to(out, port)));
        }
        if out.beyond_in.is_none() || arrivals.is_empty() {
            return Some(false);
        }
        self.meet(here, out, there, &arrivals, now)
    }

    /// Whether the other ends of both are joined in a third namespace, that of a host between two containers.
    fn meet(&mut self, here: u32, out: Link, there: u32, arrivals: &[Link], now: Nanos) -> Option<bool> {
        let places: Vec<Place> = self.map.places().cloned().collect();
        for between in places.into_iter().filter(|place| ![here, there].contains(&place.netns)) {
            let Ok(namespace) = Namespace::through(&between.way) else { continue };
            if self.views.get_mut(&here)?.routes.number_of(namespace.as_fd()).ok()? != out.beyond_in {
                continue;
            }
            let number = self.views.get_mut(&there)?.routes.number_of(namespace.as_fd()).ok()?;
            let view = &mut self.view_by(&between.way, between.netns, now)?.routes;
            let one = view.link_of(out.beyond?).ok()?;
            let ends = arrivals.iter().filter(|arrival| number.is_some() && arrival.beyond_in == number);
            let mut ends = ends.filter_map(|arrival| view.link_of(arrival.beyond?).ok());
            return Some(ends.any(|other| joined(one, other)));
        }
        Some(false)
    }

    /// The number that the one namespace has for the other; the views of both are open.
    fn number(&mut self, of: u32, namespace: u32) -> Option<i32> {
        let descriptor = self.views.get(&namespace)?.namespace.as_fd().try_clone_to_owned().ok()?;
        self.views.get_mut(&of)?.routes.number_of(descriptor.as_fd()).ok()?
    }
}

/// Whether what leaves by `out` gets to `port` of the same namespace: itself, a port of the bridge that it is, or of the one
/// below it.
fn leads_to(out: Link, port: Link) -> bool {
    let below = out.beyond.filter(|_| out.beyond_in.is_none());
    let reached = [Some(out.index), below];
    reached.contains(&Some(port.index)) || port.controller.is_some() && reached.contains(&port.controller)
}

/// Whether two interfaces of one namespace are the same, or ports of one bridge.
fn joined(one: Link, other: Link) -> bool {
    one.index == other.index || one.controller.is_some() && one.controller == other.controller
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reached_by_itself_and_by_its_bridge_and_by_what_is_on_that() {
        let port = Link { index: 5, controller: Some(2), ..Link::default() };
        let bridge = Link { index: 2, ..Link::default() };
        let vlan = Link { index: 9, beyond: Some(2), ..Link::default() };
        let other = Link { index: 3, ..Link::default() };
        for (out, reached) in [(port, true), (bridge, true), (vlan, true), (other, false)] {
            assert_eq!(leads_to(out, port), reached, "{out:?}");
        }
        let away = Link { beyond_in: Some(0), ..vlan };
        assert!(!leads_to(away, port), "the index below is that of another namespace");
        assert!(!leads_to(other, Link { controller: None, ..port }));
    }

    #[test]
    fn ports_of_one_bridge_are_joined() {
        let port = |index, controller| Link { index, controller, ..Link::default() };
        assert!(joined(port(5, Some(2)), port(6, Some(2))));
        assert!(joined(port(5, None), port(5, None)));
        assert!(!joined(port(5, Some(2)), port(6, Some(3))));
        assert!(!joined(port(5, None), port(6, None)));
    }
}
