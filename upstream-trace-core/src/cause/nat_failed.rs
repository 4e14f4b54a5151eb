//! Address translation of this kernel failed.

use super::{Cause, Finding, Signal, conntrack_full};
use crate::case::Case;
use crate::event::{NatFault, PacketDrop};

pub(super) const CAUSE: Cause = Cause {
    id: "nat-failed",
    reason: Some(3),
    title: "this host's address translation failed",
    means: "A packet of the connection had to be translated (SNAT, masquerading, DNAT, a Kubernetes service) \
            and could not be: no port is left in the range for that destination, the connection-tracking entry \
            was made before the rule and stays untranslated, or the translation of a live connection was lost.",
    told_apart: "Netfilter itself dropped the packet after all rules, and the connection-tracking table has \
                 room; or the entry of the connection shows that it is not translated. A full table is \
                 `conntrack-full`, a rule that drops is `firewall-drop-local`. Without a look at the entry, a \
                 translation that leads nowhere is `firewall-drop-remote`.",
    fix: "`conntrack -S` (insert_failed, drop) and `conntrack -L -d ADDRESS` show which. If no port is free: add \
          source addresses for SNAT, or use `--random-fully`. If the entry is stale or not translated: delete it \
          with `conntrack -D -d ADDRESS`, then find what changed the rules.",
    rivals: &["conntrack-full", "firewall-drop-local", "firewall-drop-remote"],
    needs: &[Signal::Drops],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
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
    let what = match case.nat_fault()? {
        NatFault::NoPort => "found no free port",
        NatFault::Untranslated => "left the connection untranslated: its entry is older than the rule",
        NatFault::Lost => "lost the translation of the live connection",
    };
    let fix = format!("{fix} Delete the stale entry with `conntrack -D -d {host}`.");
    Some(
        Finding::likely(format!("Address translation on this host {what}: {target} did not answer."))
            .fix(fix),
    )
}

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
    use crate::event::{Conntrack, Fact, Rules};
    use crate::testkit::{enrichment, expect, netfilter_drop, rules, unanswered_syn};
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
    fn an_entry_that_is_not_translated() {
        let attempt = unanswered_syn();
        let found = enrichment(vec![Fact::Nat { fault: NatFault::Untranslated }]);
        let mut case = Case::of_attempt(&attempt);
        case.enrichment = Some(&found);
        expect(&case, "nat-failed", Likely);
    }
}
