//! The routing table of this host refuses.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errno::{self, EACCES, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH};

pub(super) const CAUSE: Cause = Cause {
    id: "no-route",
    reason: Some(4),
    title: "this host's routing table has no route to the upstream",
    means: "No packet was sent: this host has no route to the upstream, or a route of type blackhole, prohibit \
            or unreachable. Such routes are often left over from a VPN, Kubernetes, BGP or fail2ban; for an \
            IPv6 address the usual reason is that this host has no IPv6 connectivity.",
    told_apart: "connect() fails within microseconds. `neighbour-unreachable` gives the same EHOSTUNREACH after \
                 about three seconds, `firewall-reject-remote` and `icmp-unreachable` after a round trip. \
                 EACCES with a usable route is `connect-denied`.",
    fix: "`ip route get ADDRESS` (in nginx's network namespace) shows the refusal; add the route or delete the \
          blackhole. For IPv6 without connectivity: `resolver ... ipv6=off;`.",
    rivals: &["neighbour-unreachable", "firewall-reject-remote", "icmp-unreachable", "connect-denied"],
    needs: &[Signal::ConnectErrors],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let errno = case.tcp_connect_errno()?;
    let kind = match errno {
        ENETUNREACH => "has no route",
        EHOSTUNREACH => "has an \"unreachable\" route",
        EINVAL => "has a \"blackhole\" route",
        EACCES => "has a \"prohibit\" route",
        ENETDOWN => "has a route over an interface that is down",
        _ => return None,
    };
    let refused = case.route_refused();
    if errno == EACCES && refused.is_none() {
        return None;
    }
    let (target, host) = (case.target(), case.host());
    let summary =
        format!("This host {kind} to {target}: connect() failed at once with {}.", errno::text(errno));
    let finding = if refused.is_some() {
        Finding::proven(summary)
    } else if case.route_found() {
        Finding::possible(format!("{summary} It has a route now.")).or(&["connect-denied"])
    } else {
        Finding::likely(summary)
    };
    Some(finding.fix(format!(
        "`ip route get {host}` shows it; add the missing route, or delete the one that refuses. If it says \
         `broadcast`, no TCP connection can go to that address."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Fact, Route};
    use crate::testkit::{connect_error, enrichment, expect};
    use crate::verdict::Confidence;

    #[test]
    fn the_routing_table_agrees() {
        for errno in [ENETUNREACH, EHOSTUNREACH, EINVAL, EACCES] {
            let error = connect_error(errno);
            let found = enrichment(vec![Fact::Route(Route::Refused { errno })]);
            let mut case = Case::of_connect_error(&error);
            case.enrichment = Some(&found);
            expect(&case, "no-route", Confidence::Proven);
        }
    }

    #[test]
    fn without_the_routing_table_the_errno_speaks() {
        expect(&Case::of_connect_error(&connect_error(ENETUNREACH)), "no-route", Confidence::Likely);
    }

    #[test]
    fn a_route_that_exists_makes_denied_of_eacces() {
        let error = connect_error(EACCES);
        let found =
            enrichment(vec![Fact::Route(Route::Found { interface: None, gateway: None, local: false })]);
        let mut case = Case::of_connect_error(&error);
        case.enrichment = Some(&found);
        expect(&case, "connect-denied", Confidence::Proven);
    }
}
