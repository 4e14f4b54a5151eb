//! A router said that the upstream cannot be reached.

use super::{Cause, Finding, Signal};
use crate::case::{Case, IcmpSeen};
use crate::errno::{self, EHOSTUNREACH, ENETUNREACH};
use crate::icmp;

pub(super) const CAUSE: Cause = Cause {
    id: "icmp-unreachable",
    reason: Some(4),
    title: "a router reported that the upstream cannot be reached",
    means: "A router between nginx and the upstream sent an ICMP error: it has no route, the host does not \
            answer on its link, or the packet was in a routing loop (time exceeded).",
    told_apart: "The error came from another host, with its address, type and code. If this host made it, it is \
                 `neighbour-unreachable` or `firewall-reject-local`; the codes of access rules are \
                 `firewall-reject-remote`.",
    fix: "Run `ip route get ADDRESS` here and `traceroute -T -p PORT ADDRESS`. Then check routes and neighbour \
          table of the router that sent the error.",
    rivals: &["neighbour-unreachable", "firewall-reject-local", "firewall-reject-remote"],
    needs: &[Signal::Icmp, Signal::Resets],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if !case.connecting() || case.reset_at().is_some() {
        return None;
    }
    let finding = match case.icmp() {
        Some(icmp) => of_icmp(case, icmp)?,
        None => of_errno(case)?,
    };
    Some(finding.fix(format!(
        "`traceroute -T -p {} {}`, then check the router at which it ends.",
        case.port(),
        case.host()
    )))
}

fn of_icmp(case: &Case<'_>, icmp: IcmpSeen) -> Option<Finding> {
    // A packet that runs in a circle may die on this host.
    if icmp.local && icmp.kind == 3 {
        return None;
    }
    let target = case.target();
    let from = icmp.from.map_or_else(|| "A router".to_owned(), |from| format!("The router {from}"));
    let what = match (icmp.kind, icmp.code) {
        (3, 0 | 6) => "has no route to the network of",
        (3, 1 | 7) => "cannot reach the host of",
        (3, 2) => "reports that TCP is not accepted at",
        (3, 5 | 8 | 11 | 12 | 14 | 15) => "reports that there is no usable route to",
        (11, _) => "reports a routing loop on the way to",
        (12, _) => "reports malformed packets to",
        _ => return None,
    };
    let summary = format!("{from} {what} {target} ({}).", icmp::text(icmp.kind, icmp.code));
    let firewall = icmp.from.is_none() || (icmp.kind, icmp.code) == (3, 2);
    let from_origin = icmp.from.is_some() && icmp.from == case.ip();
    match (firewall, from_origin) {
        (_, true) if icmp.kind == 3 && icmp.code <= 1 => None,
        (false, _) => Some(Finding::proven(summary)),
        (true, _) => Some(Finding::likely(summary).or(&["firewall-reject-remote"])),
    }
}

/// Without ICMP detail the errno is left; it came after a round trip, not from `connect()`.
fn of_errno(case: &Case<'_>) -> Option<Finding> {
    let errno = case.errno().filter(|errno| matches!(*errno, EHOSTUNREACH | ENETUNREACH))?;
    if case.neighbour_failed() || case.dropped_for("NEIGH_FAILED") {
        return None;
    }
    let summary =
        format!("The connection to {} failed with an ICMP error: {}.", case.target(), errno::text(errno));
    Some(if case.ipv6() {
        // Rejections of firewalls give EACCES or ECONNREFUSED for IPv6.
        Finding::likely(summary).or(&["neighbour-unreachable"])
    } else {
        Finding::possible(summary).or(&["firewall-reject-remote", "neighbour-unreachable"])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, icmp, unanswered_syn, verdict};
    use crate::verdict::Confidence;

    #[test]
    fn errors_of_a_router_prove_it() {
        for (kind, code) in [(3, 0), (3, 1), (3, 12), (11, 0)] {
            let attempt = icmp(kind, code, "10.0.0.254", false, 113);
            expect(&Case::of_attempt(&attempt), "icmp-unreachable", Confidence::Proven);
        }
    }

    #[test]
    fn a_code_of_access_rules_is_a_firewall() {
        let attempt = icmp(3, 13, "10.0.0.254", false, 113);
        expect(&Case::of_attempt(&attempt), "firewall-reject-remote", Confidence::Proven);
    }

    #[test]
    fn the_errno_alone_leaves_rivals() {
        let mut attempt = unanswered_syn();
        attempt.socket.error = EHOSTUNREACH;
        let (id, confidence, alternatives) = verdict(&Case::of_attempt(&attempt));
        assert_eq!((id, confidence), ("icmp-unreachable", Confidence::Possible));
        assert!(alternatives.contains(&"firewall-reject-remote"));
    }
}
