//! This kernel dropped the packets, and no firewall did.

use super::{Cause, Finding, Signal, rule};
use crate::case::{Case, Direction};
use crate::event::{MS, PacketDrop, Step};
use crate::tables::{self, DropReason};
use crate::text::sentence;

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

/// Why, and what to do about it; whether one alone says little.
fn known(packet: &PacketDrop) -> Option<(String, String, bool)> {
    let own = |text: &str| text.to_owned();
    match tables::drop_reason(&packet.reason) {
        Some(DropReason::Kernel(why, fix)) => Some((own(why), own(fix), false)),
        Some(DropReason::Loss(why, fix)) => Some((own(why), own(fix), true)),
        Some(DropReason::Unnamed)
            if matches!(packet.function.as_deref(), Some("ip_forward" | "ip6_forward")) =>
        {
            Some((
                own("it belongs to a socket of this host and may not be forwarded"),
                own(
                    "Transparent proxying (`proxy_bind ... transparent`) needs its own routing: `ip rule` and a local \
                     route for the marked answers, as in nginx's documentation.",
                ),
                false,
            ))
        }
        Some(_) => None,
        // Told as what it is.
        None => Some((
            own("for a reason that this release does not know"),
            format!(
                "Look the reason {} up in the kernel's include/net/dropreason-core.h.",
                sentence(&packet.reason)
            ),
            true,
        )),
    }
}

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.answered_or_refused() || !(case.connecting() || case.awaiting()) {
        return None;
    }
    let since = case.attempt.since();
    let sent = case.attempt.last_send.unwrap_or(since);
    // What was acknowledged arrived in the end, and an answer can only follow on the request.
    let matters = |packet: &PacketDrop| {
        let acked = case.awaiting() && case.request_acked();
        packet.at + 5 * MS >= since
            && (!acked || (case.direction(packet) == Direction::In && packet.at >= sent))
    };
    let mut found = case.all_drops().filter(|packet| known(packet).is_some() && matters(packet));
    if let Some(packet) = found.next() {
        let way = match case.direction(packet) {
            Direction::Out => format!("a packet to {}", case.target()),
            Direction::In => format!("the answer of {}", case.target()),
        };
        let place = rule::whose(case, packet);
        let again = found.next().is_some();
        return finding(case, packet, &format!("{way}{place}"), again);
    }
    let noted = case.attempt.trail.iter().find_map(|moment| match &moment.step {
        Step::Dropped { reason } => Some((reason, moment)),
        _ => None,
    });
    let (reason, moment) = noted?;
    let packet = PacketDrop {
        numbers: None,
        at: moment.at,
        attempt: None,
        tuple: None,
        asked: None,
        tcp_flags: 0,
        reason: reason.clone(),
        netns: case.attempt.netns,
        function: None,
        netfilter: None,
    };
    if !matters(&packet) {
        return None;
    }
    finding(case, &packet, &format!("a packet of the connection to {}", case.target()), moment.count > 1)
}

fn finding(case: &Case<'_>, packet: &PacketDrop, what: &str, again: bool) -> Option<Finding> {
    let (why, fix, weak) = known(packet)?;
    let fix = if case.ip().is_some() { fix.replace("ADDRESS", &case.host()) } else { fix };
    let summary = format!("This kernel dropped {what}: {why} ({}).", sentence(&packet.reason));
    // A single damaged packet is retransmitted.
    let finding = if !again && (weak || case.awaiting()) {
        Finding::likely(summary).or(&["path-lost"])
    } else {
        Finding::proven(summary)
    };
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
