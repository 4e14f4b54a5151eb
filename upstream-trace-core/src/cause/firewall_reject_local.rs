//! A firewall rule on this host rejected the connection.

use super::firewall_drop_local::place;
use super::{Cause, Finding, Signal, rule};
use crate::case::{Case, Direction};
use crate::errno::{self, EACCES, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH};
use crate::event::{MS, SECOND};
use crate::icmp;

pub(super) const CAUSE: Cause = Cause {
    id: "firewall-reject-local",
    reason: Some(3),
    title: "a firewall rule on this host rejected the connection",
    means: "A REJECT rule of iptables or nftables on the nginx host dropped the packet and answered in the \
            upstream's name, with RST or an ICMP error. nginx logs \"Connection refused\" or \"No route to \
            host\" although no packet left the host.",
    told_apart: "The kernel dropped nginx's own packet in netfilter, and the reject was made on this host. In \
                 `port-refused` and `firewall-reject-remote` the packet leaves and the answer comes from \
                 outside. A neighbour that does not answer is `neighbour-unreachable`.",
    fix: "`nft list ruleset` or `iptables -S; ip6tables -S` (in nginx's network namespace): look for a reject \
          that matches the upstream's address and port.",
    rivals: &["port-refused", "firewall-reject-remote", "neighbour-unreachable", "firewall-drop-local"],
    needs: &[Signal::Drops, Signal::Icmp, Signal::Resets],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let target = case.target();
    let fix = format!(
        "`nft list ruleset | grep -n reject`: look for a rule that matches {} port {}.",
        case.host(),
        case.port()
    );
    let rejected = case.drop_where(|packet| {
        packet.reason == "NETFILTER_DROP"
            && case.direction(packet) == Direction::Out
            && answered_at_once(case, packet.at)
    });
    if let Some(packet) = rejected {
        let place = place(packet) + &rule::who(case, packet);
        let fix = rule::fix(case, packet).unwrap_or(fix);
        let error =
            case.errno().map(|errno| format!(": nginx got {}", errno::text(errno))).unwrap_or_default();
        return Some(
            Finding::proven(format!(
                "A firewall rule on this host rejected the connection to {target}{place}{error}."
            ))
            .fix(fix),
        );
    }
    let icmp = case.icmp().filter(|icmp| icmp.local && icmp.kind == 3 && case.connecting())?;
    let summary = format!(
        "This host itself answered with {}: a firewall rule here rejects {target}.",
        icmp::text(icmp.kind, icmp.code)
    );
    match icmp.code {
        3 | 9 | 10 | 13 => Some(Finding::proven(summary).fix(fix)),
        // A neighbour that does not answer gives 3/1 as well, but only after three seconds.
        _ if case.duration() < SECOND && !case.dropped_for("NEIGH_FAILED") && !case.neighbour_failed() => {
            Some(Finding::likely(summary).fix(fix))
        }
        _ => None,
    }
}

/// An error followed a packet's drop that only a rejection explains.
fn answered_at_once(case: &Case<'_>, dropped: u64) -> bool {
    let reset =
        case.reset_at().is_some_and(|at| at.abs_diff(dropped) <= if at < dropped { MS } else { 20 * MS });
    let local_icmp = case.icmp().is_some_and(|icmp| icmp.local);
    let error = case.connecting()
        && matches!(case.errno(), Some(ECONNREFUSED | EHOSTUNREACH | ENETUNREACH | EACCES | ECONNRESET));
    reset || local_icmp || error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, icmp, netfilter_drop, refused, stuck_syn};
    use crate::verdict::Confidence;

    #[test]
    fn a_drop_in_output_and_a_reset_at_once() {
        let (attempt, packet) = (refused(), netfilter_drop("output", "nft"));
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "firewall-reject-local", Confidence::Proven);
    }

    #[test]
    fn without_the_drop_the_same_reset_is_the_origins() {
        expect(&Case::of_attempt(&refused()), "port-refused", Confidence::Likely);
    }

    #[test]
    fn a_drop_that_nobody_answers_is_no_rejection() {
        let (attempt, packet) = (stuck_syn(), netfilter_drop("output", "nft"));
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "firewall-drop-local", Confidence::Proven);
    }

    #[test]
    fn icmp_made_by_this_host() {
        let attempt = icmp(3, 13, "10.0.0.1", true, EHOSTUNREACH);
        expect(&Case::of_attempt(&attempt), "firewall-reject-local", Confidence::Proven);
        let attempt = icmp(3, 13, "10.0.0.254", false, EHOSTUNREACH);
        expect(&Case::of_attempt(&attempt), "firewall-reject-remote", Confidence::Proven);
    }
}
