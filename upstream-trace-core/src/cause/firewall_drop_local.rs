//! A firewall on this host dropped packets of the connection.

use super::{Cause, Finding, Signal, conntrack_full, nat_failed, rule};
use crate::case::{Case, Direction};
use crate::errno::EPERM;
use crate::event::{MS, SECOND};
use crate::event::{PacketDrop, Step};
use crate::tables::{self, DropReason};
use crate::text::sentence;

pub(super) const CAUSE: Cause = Cause {
    id: "firewall-drop-local",
    reason: Some(3),
    title: "a firewall on this host dropped the packets",
    means: "A rule on this machine dropped packets of the connection: packets from nginx, or the response. The \
            rule is in nginx's network namespace or in another one of this kernel (the host around a container, a \
            container beside it). nginx is not told and waits for its timeout. iptables, \
            nftables, or a policy on the interface or cgroup (tc, XDP, cgroup programs) can do this.",
    told_apart: "The kernel reports the drop with its reason and place. `firewall-drop-remote` looks the same \
                 to nginx, but every packet leaves this host. If the rule also sends a reject, it is \
                 `firewall-reject-local`. Drops that no firewall made are `kernel-drop-local`, \
                 `conntrack-full`, `nat-failed` or `neighbour-unreachable`.",
    fix: "`nft list ruleset` or `iptables -vnL` (in nginx's network namespace): the counter of the guilty rule \
          grows with every try. Allow the upstream's address and port, and responses of established \
          connections.",
    rivals: &[
        "firewall-drop-remote",
        "firewall-reject-local",
        "kernel-drop-local",
        "conntrack-full",
        "nat-failed",
        "neighbour-unreachable",
    ],
    needs: &[Signal::Drops, Signal::Retransmits, Signal::LocalPorts],
    judge,
    ..Cause::BLANK
};

/// The reason is the work of a policy on this host.
fn policy(reason: &str) -> bool {
    tables::drop_reason(reason) == Some(DropReason::Policy)
}

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.answered_or_refused() || !(case.connecting() || case.awaiting()) {
        return None;
    }
    let target = case.target();
    let since = case.attempt.since();
    let dropped = case.all_drops().find(|packet| policy(&packet.reason) && packet.at + 5 * MS >= since);
    if let Some(packet) = dropped {
        if nat_failed::dropped(case, packet) {
            return None;
        }
        return Some(of_packet(case, packet));
    }
    let noted = case.step(|step| matches!(step, Step::Dropped { reason } if policy(reason)));
    if noted.is_some() {
        return Some(Finding::proven(format!(
            "A policy of this host dropped packets of the connection to {target}."
        )));
    }
    if case.retransmit_refused(EPERM) {
        let summary = format!("This host's firewall does not let packets to {target} out (EPERM on send).");
        return Some(Finding::likely(summary).or(&["conntrack-full"]));
    }
    // A SYN is sent again after a second. If it was not, it never left: the kernel counts only those that do.
    let stuck = case.connecting()
        && case.duration() >= 3 * SECOND / 2
        && case.retransmits_left() == 0
        && case.attempt.retransmits == 0
        && !case.attempt.adopted
        && !case.lacks(Signal::Retransmits);
    stuck.then(|| {
        Finding::possible(format!("No packet to {target} seems to leave this host.")).or(&[
            "neighbour-unreachable",
            "conntrack-full",
            "firewall-drop-remote",
        ])
    })
}

fn of_packet(case: &Case<'_>, packet: &PacketDrop) -> Finding {
    let (target, place) = (case.target(), place(packet) + &rule::who(case, packet));
    let whose = rule::whose(case, packet);
    let who = if whose.is_empty() { "This host's firewall".to_owned() } else { format!("A firewall{whose}") };
    let way = match case.direction(packet) {
        Direction::Out => format!("the packets to {target}"),
        Direction::In => format!("the response of {target}"),
    };
    let fix = rule::fix(case, packet).unwrap_or_else(|| rule::search(case, packet));
    match packet.reason.as_str() {
        "NETFILTER_DROP" if whose.is_empty() && leaving(packet) && case.retransmits_left() > 0 => {
            Finding::likely(format!(
                "This host's firewall dropped some of {way}{place}. Others left and nothing \
            came back."
            ))
            .or(&["firewall-drop-remote"])
            .fix(fix)
        }
        "NETFILTER_DROP" if conntrack_full::may_have_dropped(case, packet) => {
            Finding::possible(format!("{who} dropped {way}{place}.")).or(&["conntrack-full"]).fix(fix)
        }
        "NETFILTER_DROP" => Finding::proven(format!("{who} dropped {way}{place}.")).fix(fix),
        reason => Finding::proven(format!(
            "A policy of this host ({}){whose} dropped {way}.",
            sentence(reason)
        ))
        .fix(
            "`tc filter show dev IFACE egress`, `ip link show` (xdp) and `bpftool cgroup tree` show such \
            policies. A SOCKET_FILTER may also be the listening program's own (SO_ATTACH_FILTER).",
        ),
    }
}

/// Dropped where the sender is told of it, so that a retransmission that left was let through. Behind a bridge it is
/// not.
fn leaving(packet: &PacketDrop) -> bool {
    let Some(netfilter) = &packet.netfilter else { return false };
    let hook = netfilter.hook.as_deref().filter(|_| netfilter.family.as_deref() != Some("bridge"));
    matches!(hook, Some("output" | "postrouting" | "egress"))
}

/// Where in netfilter, for sentences.
pub(super) fn place(packet: &PacketDrop) -> String {
    let Some(netfilter) = &packet.netfilter else { return String::new() };
    let by = match netfilter.by.as_str() {
        "nft" => ", nftables",
        "iptables" => ", iptables",
        "conntrack" => ", connection tracking",
        _ => "",
    };
    match &netfilter.hook {
        Some(hook) => format!(" (hook {}{by})", sentence(hook)),
        None if by.is_empty() => String::new(),
        None => format!(" ({})", &by[2..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Dweller;
    use crate::testkit::{
        expect, matched, moment, netfilter_drop, rules, unanswered_request, unanswered_syn, verdict,
    };
    use crate::verdict::Confidence;

    #[test]
    fn outgoing_drop_proves_it_and_names_the_hook() {
        let (mut attempt, packet) = (unanswered_syn(), netfilter_drop("output", "nft"));
        attempt.retransmits_failed = 3;
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "firewall-drop-local", Confidence::Proven);
        assert!(
            judge(&case).expect("found").summary.contains("packets to 10.0.0.2:8080 (hook output, nftables)")
        );
    }

    #[test]
    fn incoming_drop_proves_it_though_the_syn_left() {
        let (attempt, packet) = (unanswered_syn(), netfilter_drop("input", "iptables"));
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "firewall-drop-local", Confidence::Proven);
        assert!(judge(&case).expect("found").summary.contains("the response of"));
    }

    #[test]
    fn dropped_on_arrival_at_an_upstream_of_this_host() {
        let (attempt, mut packet) = (unanswered_syn(), netfilter_drop("output", "nft"));
        packet.netfilter.as_mut().expect("netfilter").hook = Some("input".to_owned());
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "firewall-drop-local", Confidence::Proven);
    }

    #[test]
    fn some_dropped_and_some_left_is_not_proof() {
        let (attempt, packet) = (unanswered_syn(), netfilter_drop("output", "nft"));
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "firewall-drop-local", Confidence::Likely);
    }

    #[test]
    fn a_bridge_tells_nobody_that_it_dropped() {
        let (attempt, mut packet) = (unanswered_syn(), netfilter_drop("output", "nft"));
        packet.netfilter.as_mut().expect("netfilter").family = Some("bridge".to_owned());
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "firewall-drop-local", Confidence::Proven);
    }

    #[test]
    fn a_drop_in_the_middle_of_a_request_counts_too() {
        let (mut attempt, packet) = (unanswered_request(), netfilter_drop("input", "nft"));
        attempt.socket.unacked = 200;
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "firewall-drop-local", Confidence::Proven);
    }

    #[test]
    fn refused_retransmissions_without_a_drop_are_likely() {
        let mut attempt = unanswered_syn();
        attempt.retransmits_failed = 3;
        attempt.trail[1] = moment(1_000, Step::Retransmit { errno: EPERM });
        expect(&Case::of_attempt(&attempt), "firewall-drop-local", Confidence::Likely);
    }

    #[test]
    fn a_syn_never_sent_again_is_only_possible() {
        let mut attempt = unanswered_syn();
        attempt.retransmits = 0;
        attempt.trail.truncate(1);
        let (id, confidence, alternatives) = verdict(&Case::of_attempt(&attempt));
        assert_eq!((id, confidence), ("firewall-drop-local", Confidence::Possible));
        assert!(alternatives.contains(&"firewall-drop-remote"));
    }

    #[test]
    fn noise_such_as_a_purged_queue_is_no_firewall() {
        let attempt = unanswered_syn();
        let mut packet = netfilter_drop("output", "nft");
        "QUEUE_PURGE".clone_into(&mut packet.reason);
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        assert_eq!(verdict(&case).0, "firewall-drop-remote");
    }

    #[test]
    fn a_drop_in_another_namespace_is_this_kernels_and_names_who_lives_there() {
        let (attempt, mut packet) = (unanswered_syn(), netfilter_drop("output", "nft"));
        packet.netfilter.as_mut().expect("netfilter").hook = Some("forward".to_owned());
        packet.netns = 99;
        let mut case = Case::of_attempt(&attempt);
        case.drops_elsewhere.push(&packet);
        expect(&case, "firewall-drop-local", Confidence::Proven);
        assert!(judge(&case).expect("found").summary.contains("(net:[99])"));
        let mut found = rules(vec![matched("forward", "drop", true)]);
        (found.netns, found.hook) = (99, "forward".to_owned());
        let home = Some(crate::event::Workload::Unit("app.service".to_owned()));
        found.dweller = Some(Dweller { pid: 42, name: None, host: false, home });
        let mut unnamed = found.clone();
        unnamed.rules.clear();
        case.rules = vec![&unnamed];
        let search = judge(&case).expect("found").fix.expect("a fix");
        assert!(
            search.contains("`nsenter -t 42 -n nft list ruleset` or `nsenter -t 42 -n iptables"),
            "{search}"
        );
        case.rules = vec![&found];
        let finding = judge(&case).expect("found");
        assert!(finding.summary.contains("network namespace of app.service (pid 42)"), "{}", finding.summary);
        assert!(finding.fix.expect("a fix").contains("`nsenter -t 42 -n nft -a list chain"));
    }
}
