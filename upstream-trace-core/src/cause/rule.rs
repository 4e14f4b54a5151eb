//! The rule that dropped a packet, in sentences and commands.

use crate::case::Case;
use crate::event::{Dweller, MatchedRule, PacketDrop};
use crate::text::sentence;
use crate::text::shell;

/// Rules that a sentence names; the evidence has all.
const NAMED: usize = 3;

/// Who did it, to follow the place in a sentence; empty if not known.
pub(super) fn who(case: &Case<'_>, packet: &PacketDrop) -> String {
    let Some(rules) = case.rules_of(packet) else { return String::new() };
    match rules.rules.as_slice() {
        [] => String::new(),
        [rule] if rule.certain => format!(", by {}", name(rule)),
        several => {
            let mut names: Vec<_> = several.iter().take(NAMED).map(name).collect();
            if several.len() > NAMED || !rules.complete {
                names.push("others".to_owned());
            }
            format!(", by one of: {}", names.join("; "))
        }
    }
}

fn name(rule: &MatchedRule) -> String {
    let place = rule.place();
    let place = sentence(&place);
    match &rule.text {
        _ if rule.policy => format!("the drop policy of chain {place}"),
        // Not between backquotes, which mark commands: a comment may hold anything.
        Some(text) => format!("the rule [{}] of chain {place}", sentence(text)),
        None => rule.handle.map_or_else(
            || format!("a rule of chain {place}"),
            |handle| format!("rule {handle} of chain {place}"),
        ),
    }
}

/// Whose network namespace it was, to follow on the dropping firewall in a sentence.
pub(super) fn whose(case: &Case<'_>, packet: &PacketDrop) -> String {
    if !case.elsewhere(packet) {
        return String::new();
    }
    match case.rules_of(packet).and_then(|rules| rules.dweller.as_ref()) {
        Some(dweller) if dweller.host => " in the host's own network namespace".to_owned(),
        Some(Dweller { name: Some(name), .. }) => format!(" in the network namespace {}", sentence(name)),
        Some(Dweller { home: Some(home), pid, .. }) => {
            format!(" in the network namespace of {} (pid {pid})", sentence(&home.to_string()))
        }
        Some(dweller) => format!(" in the network namespace of process {}", dweller.pid),
        None => format!(" in another network namespace of this machine (net:[{}])", packet.netns),
    }
}

/// What stands before a command that is to run where the packet was dropped.
fn there(case: &Case<'_>, packet: &PacketDrop) -> String {
    let dweller = case.rules_of(packet).and_then(|rules| rules.dweller.as_ref());
    let other = dweller.filter(|dweller| !dweller.host && case.elsewhere(packet));
    let enter = |dweller: &Dweller| match &dweller.name {
        Some(name) => format!("ip netns exec {} ", shell::word(name, "NAME")),
        None => format!("nsenter -t {} -n ", dweller.pid),
    };
    other.map(enter).unwrap_or_default()
}

/// What to do about it; `None` if no rule is known.
pub(super) fn fix(case: &Case<'_>, packet: &PacketDrop) -> Option<String> {
    let rules = case.rules_of(packet)?;
    let rule = rules.rules.first()?;
    let there = &there(case, packet);
    let place = if is_hosts(case, packet) { " On the host itself." } else { "" };
    if rules.rules.len() > 1 || !rule.certain {
        let mut shown: Vec<_> = rules.rules.iter().map(|rule| show(rule, there)).collect();
        shown.dedup();
        shown.truncate(NAMED);
        return Some(format!(
            "Candidates: {}. Allow {} port {} in the matching chain.{place}",
            shown.join(", "),
            case.host(),
            case.port()
        ));
    }
    Some(format!("First look: {}. {}{place}", show(rule, there), change(case, rule, there)))
}

/// Where to look for the rule if none is known.
pub(super) fn search(case: &Case<'_>, packet: &PacketDrop) -> String {
    let there = there(case, packet);
    let place = if is_hosts(case, packet) { " On the host itself." } else { "" };
    format!(
        "`{there}nft list ruleset` or `{there}iptables -vnL`: find and change the rule for {} port {}.{place}",
        case.host(),
        case.port()
    )
}

/// It was dropped in the network namespace of the host, and nginx runs in another one.
fn is_hosts(case: &Case<'_>, packet: &PacketDrop) -> bool {
    let dweller = case.rules_of(packet).and_then(|rules| rules.dweller.as_ref());
    dweller.is_some_and(|dweller| dweller.host && case.elsewhere(packet))
}

/// The command that shows the chain.
fn show(rule: &MatchedRule, there: &str) -> String {
    let (table, chain) = names(rule);
    if rule.legacy {
        format!("`{there}{} -t {table} -nvL {chain} --line-numbers`", program(rule))
    } else {
        format!("`{there}nft -a list chain {} {table} {chain}`", family(rule))
    }
}

fn change(case: &Case<'_>, rule: &MatchedRule, there: &str) -> String {
    let (table, chain) = names(rule);
    let (host, port) = (case.host(), case.port());
    if rule.policy {
        return format!("No rule of that chain accepts the packet: add one that accepts {host} port {port}.");
    }
    let chain = match rule.handle {
        Some(handle) if !rule.legacy => {
            let place = format!("{} {table} {chain} handle {handle}", family(rule));
            format!(
                "`{there}nft replace rule {place} ...`, or remove it with `{there}nft delete rule {place}`"
            )
        }
        _ => format!("`{there}{} -t {table} -R {chain} NUMBER ...`, or remove it with -D", program(rule)),
    };
    format!(
        "If the rule is not meant for {host} port {port}, change it with {chain}. If firewalld or ufw manages this rule, \
         change it there."
    )
}

fn program(rule: &MatchedRule) -> &'static str {
    if rule.family == "ip6" { "ip6tables" } else { "iptables" }
}

/// Table and chain, for commands.
fn names(rule: &MatchedRule) -> (String, String) {
    (shell::word(&rule.table, "TABLE"), shell::word(&rule.chain, "CHAIN"))
}

fn family(rule: &MatchedRule) -> String {
    shell::word(&rule.family, "FAMILY")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Rules;
    use crate::testkit::{matched, netfilter_drop, rules, unanswered_syn};

    fn said(rules: &Rules) -> (String, Option<String>) {
        let (attempt, packet) = (unanswered_syn(), netfilter_drop("output", "nft"));
        let mut case = Case::of_attempt(&attempt);
        case.rules.push(rules);
        (who(&case, &packet), fix(&case, &packet))
    }

    #[test]
    fn one_rule_is_named_and_the_way_to_change_it() {
        let (who, fix) = said(&rules(vec![matched("output", "tcp dport 8080 drop", true)]));
        assert_eq!(who, ", by the rule [tcp dport 8080 drop] of chain inet filter output");
        let fix = fix.expect("a fix");
        assert!(fix.starts_with("First look: `nft -a list chain inet filter output`. "), "{fix}");
        assert!(fix.contains("`nft delete rule inet filter output handle 7`"), "{fix}");
    }

    #[test]
    fn a_comment_does_not_end_the_quotation() {
        let (who, _) = said(&rules(vec![matched("output", "drop comment \"`reboot`\"", true)]));
        assert_eq!(who, ", by the rule [drop comment \"'reboot'\"] of chain inet filter output");
    }

    #[test]
    fn several_rules_are_candidates() {
        let (who, fix) = said(&rules(vec![matched("output", "a", false), matched("web", "b", false)]));
        assert_eq!(
            who,
            ", by one of: the rule [a] of chain inet filter output; the rule [b] of chain inet filter web"
        );
        let fix = fix.expect("a fix");
        assert!(!fix.contains("delete") && fix.contains("chain inet filter web"), "{fix}");
    }

    #[test]
    fn a_policy_is_no_rule() {
        let policy = MatchedRule { handle: None, text: None, policy: true, ..matched("output", "", true) };
        let (who, fix) = said(&rules(vec![policy]));
        assert_eq!(who, ", by the drop policy of chain inet filter output");
        assert!(fix.expect("a fix").contains("add one that accepts 10.0.0.2 port 8080"));
    }

    #[test]
    fn a_rule_of_iptables_is_changed_with_iptables() {
        let rule = MatchedRule {
            handle: None,
            legacy: true,
            family: "ip6".to_owned(),
            ..matched("OUTPUT", "-A", true)
        };
        let (_, fix) = said(&rules(vec![rule]));
        let fix = fix.expect("a fix");
        assert!(fix.starts_with("First look: `ip6tables -t filter -nvL OUTPUT --line-numbers`."), "{fix}");
        assert!(fix.contains("`ip6tables -t filter -R OUTPUT NUMBER ...`") && !fix.contains("nft"), "{fix}");
    }

    #[test]
    fn nothing_known_nothing_said() {
        assert_eq!(said(&rules(Vec::new())), (String::new(), None));
    }

    #[test]
    fn a_name_that_a_shell_would_run_is_quoted() {
        let (_, fix) = said(&rules(vec![matched("$(reboot)", "drop", true)]));
        let fix = fix.expect("a fix");
        assert!(fix.contains("`nft -a list chain inet filter '$(reboot)'`"), "{fix}");
    }
}
