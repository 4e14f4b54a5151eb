//! What the routing table may say of an address: the kinds of routes, `RTN_*` of `linux/rtnetlink.h`, and the errnos of a
//! lookup.

use crate::errno::{EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH};

/// What a kind of route means for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Packets leave this host.
    Away,
    /// The address is one of this host.
    Here,
    /// `connect()` fails with this errno.
    Refused(i32),
}

/// All of them, by number.
const KINDS: &[RouteKind] = &[
    // Nothing is known: of an answer to a lookup that is none.
    RouteKind::Away,
    RouteKind::Away,
    RouteKind::Here,
    // TCP connects to no broadcast or multicast address.
    RouteKind::Refused(ENETUNREACH),
    RouteKind::Away,
    RouteKind::Refused(ENETUNREACH),
    RouteKind::Refused(EINVAL),
    RouteKind::Refused(EHOSTUNREACH),
    RouteKind::Refused(EACCES),
    // In a table by itself it means that the next one decides; at the end nobody has.
    RouteKind::Refused(ENETUNREACH),
];

/// What a kind of route means. Those that no kernel makes (`RTN_NAT`, `RTN_XRESOLVE`, numbers to come) are ways.
#[must_use]
pub fn route_kind(number: u8) -> RouteKind {
    KINDS.get(usize::from(number)).copied().unwrap_or(RouteKind::Away)
}

/// errnos with which a lookup is refused, and whether the routes of this host are why.
pub const ROUTE_ERRNOS: &[i32] = &[EACCES, EINVAL, ENETUNREACH, EHOSTUNREACH];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::event::{Fact, Route};
    use crate::testkit::{connect_error, enrichment, verdict};

    #[test]
    fn every_kind_that_refuses_does_so_with_an_errno_of_the_list() {
        for number in 0..=u8::MAX {
            let refused = matches!(route_kind(number), RouteKind::Refused(_));
            assert_eq!(refused, matches!(number, 3 | 5..=9), "{number}");
            if let RouteKind::Refused(errno) = route_kind(number) {
                assert!(ROUTE_ERRNOS.contains(&errno), "{number}");
            }
        }
        assert_eq!((route_kind(1), route_kind(2)), (RouteKind::Away, RouteKind::Here));
    }

    #[test]
    fn only_these_errnos_of_a_lookup_are_the_routes() {
        for errno in 1..=133 {
            let (error, found) =
                (connect_error(errno), enrichment(vec![Fact::Route(Route::Refused { errno })]));
            let mut case = Case::of_connect_error(&error);
            case.enrichment = Some(&found);
            let (id, ..) = verdict(&case);
            let known = ROUTE_ERRNOS.contains(&errno) || errno == crate::errno::ENETDOWN;
            assert_eq!(id == "no-route", known, "{errno}: {id}");
        }
    }
}
