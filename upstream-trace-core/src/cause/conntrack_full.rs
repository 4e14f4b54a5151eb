//! The connection-tracking table of this host is full.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::event::PacketDrop;

pub(super) const CAUSE: Cause = Cause {
    id: "conntrack-full",
    reason: Some(3),
    title: "this host's connection-tracking table is full",
    means: "Connection tracking had no room for another entry, so the kernel dropped the first packet of the \
            connection. All new connections of the host suffer, those of nginx's clients included.",
    told_apart: "The packet is dropped in conntrack's own hook, not in a rule, and the table is full. A drop by \
                 a rule is `firewall-drop-local`; a failed address translation is `nat-failed`.",
    fix: "`sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max`; raise the latter, or exempt \
          the upstream with a `notrack` rule in the raw table. `dmesg | grep 'table full'` shows since when.",
    rivals: &["firewall-drop-local", "nat-failed"],
    needs: &[Signal::Drops],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let dropped = case.drop_where(in_hook_itself)?;
    // Some hook returned its verdict to the core, and no rule did: there is nobody else.
    let no_rule = case.rules_of(dropped).is_some_and(|rules| rules.complete && rules.rules.is_empty());
    let by_conntrack = by(dropped) == Some("conntrack") || (no_rule && !maybe_rule(case, dropped));
    let target = case.target();
    match case.conntrack() {
        Some(table)
            if table.count >= table.max && !case.answered_or_refused() && !maybe_rule(case, dropped) =>
        {
            let summary = format!(
                "This host's connection-tracking table is full ({} of {}): it dropped the packet to {target}.",
                table.count, table.max
            );
            let finding = if by_conntrack {
                Finding::proven(summary)
            } else {
                Finding::likely(summary).or(&["firewall-drop-local"])
            };
            Some(finding.fix(format!(
                "`sysctl -w net.netfilter.nf_conntrack_max={}`; find what fills it with `conntrack -L | head`.",
                table.max.saturating_mul(2)
            )))
        }
        // Entries come and go: a table that was full a moment ago may have room when one looks.
        Some(table) if table.count < table.max / 10 * 9 => None,
        _ if by_conntrack && !case.answered_or_refused() => Some(
            Finding::likely(format!(
                "Connection tracking on this host dropped the packet to {target}; its table is probably full."
            ))
            .or(&["firewall-drop-local"]),
        ),
        _ => None,
    }
}

/// A packet that the core of netfilter dropped while the table was full, and of which no rule is known that would have.
pub(super) fn may_have_dropped(case: &Case<'_>, packet: &PacketDrop) -> bool {
    let full = case.conntrack().is_some_and(|table| table.count >= table.max);
    full && in_hook_itself(packet) && !maybe_rule(case, packet)
}

/// A rule fits that may have dropped it.
fn maybe_rule(case: &Case<'_>, packet: &PacketDrop) -> bool {
    case.rules_of(packet).is_some_and(|rules| !rules.rules.is_empty())
}

/// The netfilter core dropped it, not a chain of rules.
pub(super) fn in_hook_itself(packet: &PacketDrop) -> bool {
    let in_rule = matches!(by(packet), Some("nft" | "iptables"));
    let core = by(packet) == Some("conntrack")
        || packet.function.as_deref().is_some_and(|function| function.starts_with("nf_hook_slow"));
    packet.reason == "NETFILTER_DROP" && !in_rule && core
}

fn by(packet: &PacketDrop) -> Option<&str> {
    packet.netfilter.as_ref().map(|netfilter| netfilter.by.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Conntrack, Fact, Rules};
    use crate::testkit::{enrichment, expect, matched, netfilter_drop, rules, stuck_syn};
    use crate::verdict::Confidence;

    fn judged(by: &str, count: u64, id: &str, confidence: Confidence) {
        let (attempt, packet) = (stuck_syn(), netfilter_drop("output", by));
        let found = enrichment(vec![Fact::Conntrack(Conntrack { count, max: 1000 })]);
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        case.enrichment = Some(&found);
        expect(&case, id, confidence);
    }

    #[test]
    fn a_full_table_and_a_drop_in_its_hook_prove_it() {
        judged("conntrack", 1000, "conntrack-full", Confidence::Proven);
    }

    #[test]
    fn a_drop_in_a_rule_is_the_rules_work_even_if_the_table_is_full() {
        judged("nft", 1000, "firewall-drop-local", Confidence::Proven);
    }

    /// The stack does not say whose verdict it was: iptables gives it to the core as well.
    #[test]
    fn a_full_table_and_a_drop_by_the_core_are_likely_and_without_any_rule_proven() {
        let (attempt, mut packet) = (stuck_syn(), netfilter_drop("output", "other"));
        packet.function = Some("nf_hook_slow".to_owned());
        let found = enrichment(vec![Fact::Conntrack(Conntrack { count: 1000, max: 1000 })]);
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        case.enrichment = Some(&found);
        expect(&case, "conntrack-full", Confidence::Likely);
        let of_packet = |found| Rules { by: "other".to_owned(), tcp_flags: packet.tcp_flags, ..rules(found) };
        let none = of_packet(Vec::new());
        case.rules.push(&none);
        expect(&case, "conntrack-full", Confidence::Proven);
        let one = of_packet(vec![matched("output", "tcp dport 8080 drop", true)]);
        case.rules = vec![&one];
        expect(&case, "firewall-drop-local", Confidence::Proven);
    }

    #[test]
    fn an_empty_table_dropped_nothing() {
        judged("conntrack", 10, "firewall-drop-local", Confidence::Proven);
    }
}
