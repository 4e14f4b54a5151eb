//! A firewall rule on this host rejected the connection.

use super::firewall_drop_local::place;
use super::{Cause, Finding, Signal, rule};
use crate::case::{Case, Direction};
use crate::errno::{self, EACCES, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH};
use crate::event::{MS, PacketDrop, SECOND};
use crate::icmp;

pub(super) const CAUSE: Cause = Cause {
    id: "firewall-reject-local",
    reason: Some(3),
    title: "a firewall rule on this host rejected the connection",
    means: "A REJECT rule of iptables or nftables on the nginx host, in whatever network namespace (a container's, \
            a router's), dropped the packet and answered in the upstream's name, with RST or an ICMP error. nginx \
            logs \"Connection refused\" or \"No route to host\" although no packet left the host.",
    told_apart: "This kernel dropped nginx's own packet in netfilter, and an error came back before another one \
                 was sent. In `port-refused` and `firewall-reject-remote` the packet leaves and the answer comes \
                 from outside. A neighbour that does not answer is `neighbour-unreachable`.",
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
    let rejected = case.all_drops().find(|packet| {
        packet.reason == "NETFILTER_DROP"
            && case.direction(packet) == Direction::Out
            && answered_at_once(case, packet)
    });
    if let Some(packet) = rejected {
        let whose = rule::whose(case, packet);
        let whose = if whose.is_empty() { " on this host" } else { &whose };
        let place = place(packet) + &rule::who(case, packet);
        let search = || if case.elsewhere(packet) { rule::search(case, packet) } else { fix };
        let fix = rule::fix(case, packet).unwrap_or_else(search);
        let error =
            case.errno().map(|errno| format!(": nginx got {}", errno::text(errno))).unwrap_or_default();
        return Some(
            Finding::proven(format!(
                "A firewall rule{whose} rejected the connection to {target}{place}{error}."
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
fn answered_at_once(case: &Case<'_>, packet: &PacketDrop) -> bool {
    let (dropped, elsewhere) = (packet.at, case.elsewhere(packet));
    // In another namespace the answer comes after the drop, and no socket of this kernel has sent it.
    let before = if elsewhere { 0 } else { MS };
    let reset = case.reset_at().is_some_and(|at| at + before >= dropped && at <= dropped + 20 * MS)
        && (!elsewhere || case.resets.is_empty());
    let local_icmp = !elsewhere && case.icmp().is_some_and(|icmp| icmp.local);
    // What was sent later may have been let through, and answered by somebody else.
    let error = case.connecting()
        && case.reset_at().is_none()
        && matches!(case.errno(), Some(ECONNREFUSED | EHOSTUNREACH | ENETUNREACH | EACCES | ECONNRESET))
        && !case.sent_again_after(dropped)
        && !(elsewhere && case.lacks(Signal::Retransmits));
    reset || local_icmp || error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Step;
    use crate::testkit::{expect, icmp, moment, netfilter_drop, refused, reset_sent, stuck_syn, verdict};
    use crate::verdict::Confidence;

    #[test]
    fn a_drop_in_output_and_a_reset_at_once() {
        let (attempt, packet) = (refused(), netfilter_drop("output", "nft"));
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "firewall-reject-local", Confidence::Proven);
    }

    #[test]
    fn a_rule_in_another_namespace_is_this_kernels_too() {
        let mut packet = netfilter_drop("output", "nft");
        for attempt in [refused(), icmp(3, 13, "10.0.0.254", false, EHOSTUNREACH)] {
            let mut case = Case::of_attempt(&attempt);
            case.drops_elsewhere.push(&packet);
            expect(&case, "firewall-reject-local", Confidence::Proven);
            let (_, finding) = crate::cause::judge(&case);
            assert!(finding.summary.contains("another network namespace"), "{}", finding.summary);
        }
        // This kernel sent the reset itself, to a SYN that was let through.
        let (mut attempt, sent) = (refused(), reset_sent("NO_SOCKET", None));
        let mut case = Case::of_attempt(&attempt);
        case.drops_elsewhere.push(&packet);
        case.resets.push(&sent);
        assert_ne!(verdict(&case).0, "firewall-reject-local");
        attempt.trail.push(moment(200, Step::Retransmit { errno: 0 }));
        let mut case = Case::of_attempt(&attempt);
        case.drops_elsewhere.push(&packet);
        case.resets.push(&sent);
        expect(&case, "port-refused", Confidence::Proven);
        // The reset answers a later SYN.
        packet.at = attempt.reset_at().expect("a reset") - SECOND;
        let mut case = Case::of_attempt(&attempt);
        case.drops_elsewhere.push(&packet);
        assert_ne!(verdict(&case).0, "firewall-reject-local");
    }

    #[test]
    fn an_error_that_answers_a_later_syn_is_not_the_rules() {
        let mut attempt = icmp(3, 13, "10.0.0.254", false, EHOSTUNREACH);
        let packet = netfilter_drop("output", "nft");
        attempt.trail.push(moment(1_000, Step::Retransmit { errno: 0 }));
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "firewall-reject-remote", Confidence::Proven);
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
