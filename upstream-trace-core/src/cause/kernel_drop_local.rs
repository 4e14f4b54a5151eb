//! This kernel dropped the packets, and no firewall did.

use super::{Cause, Finding, Signal};
use crate::case::{Case, Direction};
use crate::event::{MS, PacketDrop, Step};

pub(super) const CAUSE: Cause = Cause {
    id: "kernel-drop-local",
    reason: Some(4),
    title: "this kernel dropped the packets, and no firewall did",
    means: "The kernel dropped packets of the connection outside of any firewall: the reverse-path filter \
            (asymmetric routing), a source address that cannot be (hairpin traffic, a wrong address), a bad \
            checksum, an IPsec policy, a packet that is not addressed to this host. nginx waits until its \
            timeout.",
    told_apart: "The kernel gives the reason of the drop, and it is none of a firewall: rules are \
                 `firewall-drop-local`, a neighbour that does not answer is `neighbour-unreachable`, a refusing \
                 route `no-route`. If no drop is seen, packets are lost elsewhere (`firewall-drop-remote`, \
                 `path-lost`).",
    fix: "`nstat -az | grep -i -e drop -e err -e filter`, `ip route get ADDRESS`, `sysctl \
          net.ipv4.conf.all.rp_filter net.ipv4.conf.all.log_martians`, `ip xfrm policy`, `ethtool -k IFACE | \
          grep checksum`.",
    rivals: &[
        "firewall-drop-local",
        "neighbour-unreachable",
        "no-route",
        "firewall-drop-remote",
        "path-lost",
    ],
    needs: &[Signal::Drops],
    judge,
    ..Cause::BLANK
};

/// Why, and what to do about it.
fn known(reason: &str) -> Option<(&'static str, &'static str)> {
    Some(match reason {
        "IP_RPFILTER" => (
            "the reverse-path filter dropped it, because the route back uses another interface",
            "`ip route get ADDRESS`; fix the asymmetric route, or set `sysctl net.ipv4.conf.IFACE.rp_filter=2`.",
        ),
        "IP_LOCAL_SOURCE" | "IP_INVALID_SOURCE" | "IP_LOCALNET" | "IP_INADDRERRORS" => (
            "its source address is not valid on that interface (martian)",
            "`sysctl net.ipv4.conf.all.log_martians=1` logs them; for hairpin traffic translate the source address too.",
        ),
        "IP_INVALID_DEST" | "IP_INNOROUTES" => (
            "it has no route for it",
            "`ip route get ADDRESS from SOURCE iif IFACE` shows the refusal; `ip route show table all`, `ip rule`.",
        ),
        "TCP_CSUM" | "SKB_CSUM" | "IP_CSUM" => (
            "its checksum is wrong",
            "`nstat -az TcpInCsumErrors`; checksum offload of a virtual interface: `ethtool -K IFACE tx off`.",
        ),
        "XFRM_POLICY" => (
            "an IPsec policy does not allow it unencrypted",
            "`ip xfrm policy` and `ip xfrm state`: which policy matches, and whether its tunnel is up.",
        ),
        "OTHERHOST" | "UNHANDLED_PROTO" => (
            "it is not addressed to this host",
            "`ip neigh show ADDRESS` on the sender: its neighbour entry has the wrong link address.",
        ),
        _ => return None,
    })
}

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.answered_or_refused() || !(case.connecting() || case.awaiting()) {
        return None;
    }
    let since = case.attempt.since();
    let all = case.drops.iter().map(|packet| (packet, false));
    let all = all.chain(case.drops_elsewhere.iter().map(|packet| (packet, true)));
    let fits = |packet: &PacketDrop| known(&packet.reason).is_some() && packet.at + 5 * MS >= since;
    let mut found = all.filter(|(packet, _)| fits(packet));
    if let Some((packet, elsewhere)) = found.next() {
        let way = match case.direction(packet) {
            Direction::Out => format!("a packet to {}", case.target()),
            Direction::In => format!("the answer of {}", case.target()),
        };
        let place = if elsewhere { " in another network namespace" } else { "" };
        let one_bad_sum = packet.reason.ends_with("CSUM") && found.next().is_none();
        return finding(case, &packet.reason, &format!("{way}{place}"), one_bad_sum);
    }
    let noted = case.attempt.trail.iter().find_map(|moment| match &moment.step {
        Step::Dropped { reason } if known(reason).is_some() => Some(reason),
        _ => None,
    })?;
    finding(case, noted, &format!("a packet of the connection to {}", case.target()), noted.ends_with("CSUM"))
}

fn finding(case: &Case<'_>, reason: &str, what: &str, one_bad_sum: bool) -> Option<Finding> {
    let (why, fix) = known(reason)?;
    let fix = if case.ip().is_some() { fix.replace("ADDRESS", &case.host()) } else { fix.to_owned() };
    let summary = format!("This kernel dropped {what}: {why} ({reason}).");
    // A single damaged packet is retransmitted.
    let finding =
        if one_bad_sum { Finding::likely(summary).or(&["path-lost"]) } else { Finding::proven(summary) };
    Some(finding.fix(fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, netfilter_drop, unanswered_syn, verdict};
    use crate::verdict::Confidence::{Likely, Proven};

    fn dropped(reason: &str) -> PacketDrop {
        PacketDrop { reason: reason.to_owned(), netfilter: None, ..netfilter_drop("input", "other") }
    }

    #[test]
    fn each_reason_is_named() {
        let attempt = unanswered_syn();
        for reason in ["IP_RPFILTER", "IP_LOCAL_SOURCE", "XFRM_POLICY", "OTHERHOST", "IP_INNOROUTES"] {
            let packet = dropped(reason);
            let mut case = Case::of_attempt(&attempt);
            case.drops.push(&packet);
            expect(&case, "kernel-drop-local", Proven);
            let (_, finding) = crate::cause::judge(&case);
            assert!(finding.summary.contains(reason) && !finding.fix.unwrap_or_default().contains("ADDRESS"));
        }
    }

    #[test]
    fn one_bad_checksum_may_be_chance_and_two_are_not() {
        let (attempt, packet) = (unanswered_syn(), dropped("TCP_CSUM"));
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        assert_eq!((verdict(&case).0, verdict(&case).1), ("kernel-drop-local", Likely));
        case.drops.push(&packet);
        expect(&case, "kernel-drop-local", Proven);
    }

    #[test]
    fn a_drop_in_another_namespace_and_one_in_the_trail_count() {
        let (mut attempt, packet) = (unanswered_syn(), dropped("IP_RPFILTER"));
        let mut case = Case::of_attempt(&attempt);
        case.drops_elsewhere.push(&packet);
        expect(&case, "kernel-drop-local", Proven);
        attempt.trail.push(crate::testkit::moment(1, Step::Dropped { reason: "IP_RPFILTER".to_owned() }));
        expect(&Case::of_attempt(&attempt), "kernel-drop-local", Proven);
    }

    #[test]
    fn drops_of_a_firewall_and_before_the_request_are_others() {
        let attempt = unanswered_syn();
        let mut packet = dropped("NETFILTER_DROP");
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        assert_ne!(verdict(&case).0, "kernel-drop-local");
        packet = PacketDrop { at: 1, ..dropped("IP_RPFILTER") };
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        assert_ne!(verdict(&case).0, "kernel-drop-local");
    }
}
