use super::super::packet::Device;
use super::super::{Base, Rule};
use super::*;

const CHAINS: (&str, &str) =
    (include_str!("../fixtures/chains.json"), include_str!("../fixtures/chains.txt"));

pub(super) fn syn(dst: &str) -> Packet {
    let dst: std::net::SocketAddr = dst.parse().expect("an address");
    let src = if dst.is_ipv4() { "10.0.0.1:41234" } else { "[fd99::1]:41234" };
    Packet {
        src: src.parse().expect("an address"),
        dst,
        flags: 2,
        hook: "output".to_owned(),
        family: None,
        input: Device::None,
        output: Device::Unknown,
    }
}

fn chains() -> Ruleset {
    nft::parse(CHAINS.0, CHAINS.1).expect("a ruleset")
}

fn found(packet: &Packet) -> (Vec<String>, bool) {
    let found = chains().find(packet);
    let text = |rule: &MatchedRule| {
        let text = rule.text.clone().unwrap_or_else(|| "policy".to_owned());
        format!("{}: {text}", rule.chain)
    };
    (found.rules.iter().map(text).collect(), found.rules.iter().all(|rule| rule.certain))
}

#[track_caller]
fn expect(packet: &Packet, rules: &[&str], certain: bool) {
    assert_eq!(found(packet), (rules.iter().map(|rule| (*rule).to_owned()).collect(), certain));
}

#[test]
fn a_rule_behind_a_jump() {
    expect(&syn("10.0.0.2:8082"), &["web: tcp dport 8082 counter drop comment \"no web # handle 99\""], true);
}

#[test]
fn a_rule_after_a_return() {
    expect(&syn("[fd99::2]:8083"), &["output: tcp dport 8083 reject with tcp reset"], true);
}

#[test]
fn accepted_in_one_chain_and_dropped_in_a_later_one() {
    expect(&syn("10.0.0.2:8084"), &["late: tcp dport { 8084, 8088 } drop"], true);
}

#[test]
fn two_rules_that_cannot_be_told_apart() {
    let rules =
        ["output: meta skuid 33 tcp dport 8085 drop", "output: meta mark 0x00000001 tcp dport 8085 drop"];
    expect(&syn("10.0.0.2:8085"), &rules, false);
}

#[test]
fn an_accept_that_may_hold_did_not_if_the_packet_was_dropped() {
    expect(&syn("10.0.0.3:8086"), &["output: ip daddr 10.0.0.3 tcp dport 8086 drop"], true);
    expect(&syn("10.0.0.2:8086"), &[], true);
}

#[test]
fn goto() {
    expect(&syn("10.0.0.2:9000"), &["end: tcp dport 9000 log prefix \"gone\" drop"], true);
}

#[test]
fn a_device_that_is_known() {
    let packet = Packet { output: Device::Named("lo".to_owned()), ..syn("10.0.0.2:8083") };
    expect(&packet, &[], true);
    let packet = Packet { output: Device::Named("lo".to_owned()), ..syn("127.0.0.1:8088") };
    expect(&packet, &["late: tcp dport { 8084, 8088 } drop"], true);
}

#[test]
fn the_policy_of_a_chain() {
    let answer = Packet {
        flags: 0x12,
        hook: "input".to_owned(),
        input: Device::Unknown,
        output: Device::None,
        ..syn("10.0.0.1:41234")
    };
    expect(&answer, &["input: policy"], true);
}

#[test]
fn no_rule_names_the_chains_of_the_hook() {
    let found = chains().find(&syn("10.0.0.2:1"));
    assert!(found.rules.is_empty());
    assert_eq!(found.chains, ["inet fw output", "inet fw late"]);
    let other = Packet { family: Some("ip".to_owned()), ..syn("10.0.0.2:8082") };
    assert!(chains().find(&other).rules.is_empty());
}

#[test]
fn handles_are_those_of_nft() {
    let found = chains().find(&syn("10.0.0.2:8082"));
    let line = CHAINS.1.lines().find(|line| line.contains("8082")).expect("the rule");
    let handle = found.rules[0].handle.expect("a handle");
    assert!(line.ends_with(&format!("# handle {handle}")), "{line}");
}

#[test]
fn jumps_in_a_circle_end() {
    let chain = |name: &str| {
        let jump = serde_json::json!({"jump": {"target": "b"}}).to_string();
        let jump: nft::Json = serde_json::from_str(&jump).expect("JSON");
        let rule = || Rule { handle: None, text: None, body: Body::Nft([jump.clone()].into()) };
        let rules = vec![rule(), rule()];
        let base = (name == "a").then(|| Base { hook: "output".to_owned(), priority: 0, drops: false });
        Chain {
            family: "ip".to_owned(),
            table: "t".to_owned(),
            name: name.to_owned(),
            legacy: false,
            base,
            rules,
        }
    };
    let ruleset = Ruleset { chains: vec![chain("a"), chain("b")], ..Ruleset::default() };
    assert!(!ruleset.find(&syn("10.0.0.2:80")).complete);
}

#[test]
fn rules_of_iptables_in_nft() {
    let json = include_str!("../fixtures/iptables-nft.json");
    let ruleset = nft::parse(json, include_str!("../fixtures/iptables-nft.txt")).expect("a ruleset");
    let found = ruleset.find(&syn("10.0.0.2:8081"));
    assert_eq!(found.rules[0].text.as_deref(), Some("tcp dport 8081 counter drop"));
    let found = ruleset.find(&syn("10.0.0.2:443"));
    assert!(found.rules.len() == 1 && found.rules[0].certain, "{:?}", found.rules);
    assert!(ruleset.find(&syn("11.0.0.2:443")).rules.is_empty());
}
