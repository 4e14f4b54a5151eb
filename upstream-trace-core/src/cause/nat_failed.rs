//! Address translation of this kernel failed.

use super::{Cause, Finding, Signal, conntrack_full};
use crate::case::Case;
use crate::event::PacketDrop;

pub(super) const CAUSE: Cause = Cause {
    id: "nat-failed",
    reason: Some(3),
    title: "this host's address translation failed",
    means: "A packet of the connection had to be translated (SNAT, masquerading, DNAT, a Kubernetes service) \
            and could not be: no port is left in the range for that destination, the connection-tracking entry \
            was made before the rule and stays untranslated, or the translation of a live connection was lost.",
    told_apart: "Netfilter itself dropped the packet after all rules, and the connection-tracking table has \
                 room; or this kernel reset what the origin sent to nginx's end, because it came from another \
                 address than the one that nginx asked (seen from Linux 6.10 on). A full table is \
                 `conntrack-full`, a rule that drops is `firewall-drop-local`. A connection that an old entry leaves \
                 untranslated is judged by what happens where it still goes.",
    fix: "`conntrack -S` (insert_failed, drop) and `conntrack -L -d ADDRESS` show which. If no port is free: add \
          source addresses for SNAT, or use `--random-fully`. If the entry is stale or not translated: delete it \
          with `conntrack -D -d ADDRESS`, then find what changed the rules.",
    rivals: &["conntrack-full", "firewall-drop-local", "firewall-drop-remote"],
    needs: &[Signal::Drops],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if let Some(reset) = case.lost_translation() {
        let (stranger, own) = (reset.tuple.src, reset.tuple.dst);
        let summary = format!(
            "The translation of the live connection to {} was lost: this kernel reset what {stranger} sent to {own}, which \
             is nginx's end of it.",
            case.target()
        );
        return Some(Finding::likely(summary).fix(LOST));
    }
    if case.answered_or_refused() || !(case.connecting() || case.awaiting()) {
        return None;
    }
    let (target, host) = (case.target(), case.host());
    let fix = format!("`conntrack -S` (insert_failed, drop), `conntrack -L -d {host}`.");
    if let Some(packet) = case.drop_where(|packet| dropped(case, packet)) {
        let summary = format!("Address translation on this host dropped the packet to {target}");
        let fix = format!("{fix} No free port: more source addresses for SNAT, or `--random-fully`.");
        return Some(if by_nat(packet) {
            Finding::proven(format!("{summary}: no free address and port.")).fix(fix)
        } else {
            // What else drops after all rules: two entries that clash.
            Finding::likely(format!(
                "{summary}: no rule dropped it, and the connection-tracking table has room."
            ))
            .or(&["firewall-drop-local"])
            .fix(fix)
        });
    }
    None
}

const LOST: &str = "Find what deletes entries of live connections: `conntrack -E -e DESTROY` while it happens. Usual suspects: \
                    `conntrack -F` or `-D` in a script, a restart of the firewall or of kube-proxy, and \
                    `sysctl net.netfilter.nf_conntrack_tcp_timeout_established` below the idle time of connections.";

/// Address translation dropped the packet. [`super::firewall_drop_local`] then knows less.
pub(super) fn dropped(case: &Case<'_>, packet: &PacketDrop) -> bool {
    if packet.reason != "NETFILTER_DROP" {
        return false;
    }
    let hook = packet.netfilter.as_ref().and_then(|netfilter| netfilter.hook.as_deref());
    let no_rule = case.rules_of(packet).is_some_and(|rules| rules.complete && rules.rules.is_empty());
    let room = case.conntrack().is_some_and(|table| table.count < table.max / 10 * 9);
    let after_rules =
        hook == Some("postrouting") && no_rule && room && conntrack_full::in_hook_itself(packet);
    by_nat(packet) || after_rules
}

fn by_nat(packet: &PacketDrop) -> bool {
    packet.netfilter.as_ref().is_some_and(|netfilter| netfilter.by == "nat")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Conntrack, Fact, PacketTuple, Rules};
    use crate::testkit::{
        enrichment, expect, netfilter_drop, reset_sent, rules, unanswered_request, unanswered_syn,
    };
    use crate::verdict::Confidence::{Likely, Proven};

    fn table(count: u64) -> Fact {
        Fact::Conntrack(Conntrack { count, max: 1_000 })
    }

    #[test]
    fn a_drop_after_all_rules_with_room_in_the_table() {
        let attempt = unanswered_syn();
        let mut packet = netfilter_drop("postrouting", "other");
        packet.function = Some("nf_hook_slow".to_owned());
        let none = Rules { hook: "postrouting".to_owned(), by: "other".to_owned(), ..rules(Vec::new()) };
        let (roomy, full) = (enrichment(vec![table(10)]), enrichment(vec![table(1_000)]));
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        case.rules.push(&none);
        expect(&case, "conntrack-full", Likely);
        case.enrichment = Some(&roomy);
        expect(&case, "nat-failed", Likely);
        case.enrichment = Some(&full);
        expect(&case, "conntrack-full", Proven);
    }

    #[test]
    fn the_place_of_the_drop_proves_it() {
        let attempt = unanswered_syn();
        let packet = netfilter_drop("postrouting", "nat");
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        expect(&case, "nat-failed", Proven);
    }

    #[test]
    fn this_kernel_resets_what_comes_for_nginx() {
        let (mut attempt, mut sent) = (unanswered_request(), reset_sent("NO_SOCKET", None));
        let from = "10.7.0.9:8080".parse().expect("an address");
        (sent.stranger, sent.tuple) = (true, PacketTuple { src: from, dst: sent.tuple.src });
        let id = |attempt: &crate::event::Attempt| {
            let mut case = Case::of_attempt(attempt);
            case.resets_of_strangers.push(&sent);
            crate::testkit::verdict(&case).0
        };
        assert_eq!(id(&attempt), "nat-failed");
        attempt.last_recv = Some(sent.at + 1);
        assert_eq!(id(&attempt), "slow-response", "more came after it");
    }
}
