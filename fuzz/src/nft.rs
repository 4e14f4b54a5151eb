//! The ruleset of nft, which whoever administers a container may have written.

use std::net::SocketAddr;

use upstream_trace::firewall::fuzz;
use upstream_trace_core::event::MatchedRule;

use crate::{Target, mutate};

/// Takes the JSON of `nft -j list ruleset`, a line of `%`, and what it lists for people.
pub(crate) const TARGET: Target = Target { name: "nft", run, seeds, mutate: mutate::bytes };

fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (json, listing) = text.split_once("\n%\n").unwrap_or((&text, ""));
    for (src, dst) in packets() {
        if let Some(rules) = fuzz::nft(json, listing, src, dst) {
            check(&rules);
        }
    }
}

/// Packets of both families.
pub(crate) fn packets() -> [(SocketAddr, SocketAddr); 2] {
    [
        (([10, 2, 0, 1], 41_234).into(), ([10, 99, 0, 77], 8_081).into()),
        (([0xfd99, 0, 0, 0, 0, 0, 0, 1], 41_234).into(), ([0xfd99, 0, 0, 0, 0, 0, 0, 2], 8_081).into()),
    ]
}

/// Only a rule that is alone is certain.
pub(crate) fn check(rules: &[MatchedRule]) {
    let certain = rules.iter().filter(|rule| rule.certain).count();
    assert!(certain == 0 || (certain == 1 && rules.len() == 1), "{rules:?}");
    for rule in rules {
        assert!(rule.text.as_ref().is_none_or(|text| text.chars().count() <= 256), "{rule:?}");
    }
}

/// The rulesets that its own tests use.
fn seeds() -> Vec<Vec<u8>> {
    const RULESETS: [(&str, &str); 3] = [
        (include_str!("../../upstream-trace/src/firewall/fixtures/conditions.json"), ""),
        (
            include_str!("../../upstream-trace/src/firewall/fixtures/chains.json"),
            include_str!("../../upstream-trace/src/firewall/fixtures/chains.txt"),
        ),
        (
            include_str!("../../upstream-trace/src/firewall/fixtures/iptables-nft.json"),
            include_str!("../../upstream-trace/src/firewall/fixtures/iptables-nft.txt"),
        ),
    ];
    RULESETS.iter().map(|(json, listing)| format!("{json}\n%\n{listing}").into_bytes()).collect()
}
