//! The next hop on the link does not answer ARP or NDP.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errno::{EBUSY, EHOSTUNREACH, ETIMEDOUT};
use crate::text::shell;

pub(super) const CAUSE: Cause = Cause {
    id: "neighbour-unreachable",
    reason: Some(4),
    title: "no answer to ARP or NDP on the link",
    means: "The packet could not leave because nobody answers for the next hop's address on the link: the host \
            is off, its address is wrong or moved, or it is the wrong link (VLAN, bridge, cable).",
    told_apart: "The kernel gives up after three seconds with \"No route to host\", drops the queued packet as \
                 NEIGH_FAILED and refuses retransmissions with EBUSY. A firewall that rejects gives the same \
                 errno within a round trip (`firewall-reject-remote`, `firewall-reject-local`), a router's ICMP \
                 error is `icmp-unreachable`, and a refusing routing table answers within microseconds \
                 (`no-route`).",
    fix: "`ip neigh show ADDRESS` (FAILED), `arping -I IFACE ADDRESS`. Check that the host is up and that \
          address and VLAN are right.",
    rivals: &["firewall-reject-remote", "firewall-reject-local", "icmp-unreachable", "no-route"],
    needs: &[Signal::Drops, Signal::Icmp, Signal::Retransmits],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if !case.connecting() || case.reset_at().is_some() {
        return None;
    }
    let icmp = case.icmp();
    if icmp.is_some_and(|icmp| !icmp.local) {
        return None;
    }
    let dropped = case.dropped_for("NEIGH_FAILED");
    // A link that is only slow holds the first SYN back, and then something comes back after all.
    let other_error = case.errno().is_some_and(|errno| ![EHOSTUNREACH, ETIMEDOUT].contains(&errno));
    if !dropped && other_error {
        return None;
    }
    let failed = case.neighbour_failed();
    let waiting = case.retransmit_refused(EBUSY);
    // 3/1 made by this host: arp_error_report. Without it, only the errno is left (IPv6).
    let reported =
        icmp.is_some_and(|icmp| icmp.kind == 3 && icmp.code == 1) || case.errno() == Some(EHOSTUNREACH);
    let neighbour = case.neighbour();
    let who = neighbour.as_ref().map_or_else(|| case.host(), |found| found.address.to_string());
    let summary = if Some(&who) == case.ip().map(|ip| ip.to_string()).as_ref() {
        format!("{who} does not answer on its link: no packet to {} could leave.", case.target())
    } else {
        format!("The gateway {who} does not answer on its link: no packet to {} could leave.", case.target())
    };
    let interface = neighbour.and_then(|found| found.interface).unwrap_or_default();
    let interface = shell::word(&interface, "IFACE");
    let fix = format!(
        "`ip neigh show {who}`, `arping -I {interface} {who}`: check that the host is up and the address is right."
    );
    let finding = if dropped || (failed && (waiting || reported)) {
        Finding::proven(summary)
    } else if waiting
        || (failed && case.retransmits_left() == 0)
        || (reported && icmp.is_some() && case.slow_failure())
    {
        Finding::likely(summary)
    } else {
        return None;
    };
    Some(finding.fix(fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SECOND;
    use crate::event::{Fact, Neighbour, Step};
    use crate::testkit::{BEGUN, enrichment, expect, icmp, moment, unanswered_syn};
    use crate::verdict::Confidence;

    #[test]
    fn a_slow_link_that_answers_after_all_is_not_it() {
        let mut attempt = unanswered_syn();
        attempt.trail.push(moment(1_000, Step::Retransmit { errno: -EBUSY }));
        attempt.trail.push(moment(2_000, Step::Error { errno: crate::errno::ECONNREFUSED }));
        assert!(judge(&Case::of_attempt(&attempt)).is_none());
    }

    fn dead() -> crate::event::Attempt {
        let mut attempt = icmp(3, 1, "10.0.0.1", true, EHOSTUNREACH);
        attempt.seen = BEGUN + 3 * SECOND;
        attempt.trail.push(moment(1_000, Step::Retransmit { errno: -EBUSY }));
        attempt
    }

    #[test]
    fn the_dropped_packet_proves_it() {
        let mut attempt = dead();
        attempt.trail.push(moment(3_000, Step::Dropped { reason: "NEIGH_FAILED".to_owned() }));
        expect(&Case::of_attempt(&attempt), "neighbour-unreachable", Confidence::Proven);
    }

    #[test]
    fn a_failed_entry_and_a_waiting_packet_prove_it() {
        let attempt = dead();
        let found = enrichment(vec![Fact::Neighbour(Neighbour {
            address: "10.0.0.2".parse().expect("an address"),
            state: "failed".to_owned(),
            interface: Some("eth0".to_owned()),
        })]);
        let mut case = Case::of_attempt(&attempt);
        expect(&case, "neighbour-unreachable", Confidence::Likely);
        case.enrichment = Some(&found);
        expect(&case, "neighbour-unreachable", Confidence::Proven);
        assert!(
            judge(&case)
                .and_then(|found| found.fix)
                .is_some_and(|fix| fix.contains("arping -I eth0 10.0.0.2"))
        );
    }

    #[test]
    fn the_same_icmp_from_a_router_is_not_our_link() {
        let mut attempt = dead();
        attempt.trail.truncate(2);
        attempt.icmp = icmp(3, 1, "10.9.9.9", false, EHOSTUNREACH).icmp;
        expect(&Case::of_attempt(&attempt), "icmp-unreachable", Confidence::Proven);
    }

    #[test]
    fn silence_alone_is_not_the_link() {
        assert_eq!(judge(&Case::of_attempt(&unanswered_syn())), None);
    }
}
