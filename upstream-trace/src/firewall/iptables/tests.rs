use super::super::packet::Device;
use super::*;

const SAVE: &str = include_str!("../fixtures/legacy.txt");

fn find(src: &str, dst: &str, flags: u8, hook: &str, output: &str) -> Vec<(String, bool)> {
    let packet = Packet {
        src: src.parse().expect("an address"),
        dst: dst.parse().expect("an address"),
        flags,
        hook: hook.to_owned(),
        family: None,
        input: Device::Unknown,
        output: Device::Named(output.to_owned()),
    };
    let found = parse(SAVE, "ip").find(&packet).rules;
    found.into_iter().map(|rule| (rule.text.unwrap_or_else(|| "policy".to_owned()), rule.certain)).collect()
}

#[test]
fn conditions_of_the_module_tcp() {
    let rule = "-A foo ! -s 10.0.0.1/32 -o eth+ -p tcp -m conntrack --ctstate NEW -m tcp --sport 1000:2000 \
                --tcp-flags SYN,RST SYN -j DROP";
    let hit = find("10.0.0.9:1500", "10.0.0.2:1", 2, "output", "eth0");
    assert_eq!(hit, [(rule.to_owned(), true)]);
    assert!(find("10.0.0.1:1500", "10.0.0.2:1", 2, "output", "eth0").is_empty());
    assert!(find("10.0.0.9:2001", "10.0.0.2:1", 2, "output", "eth0").is_empty());
    assert!(find("10.0.0.9:1500", "10.0.0.2:1", 2, "output", "lo").is_empty());
    assert!(find("10.0.0.9:1500", "10.0.0.2:1", 0x18, "output", "eth0").is_empty());
}

#[test]
fn several_ports_and_a_comment_that_looks_like_a_target() {
    for (port, hits) in [(443, 1), (8005, 1), (8011, 0)] {
        let found = find("10.0.0.1:50000", &format!("10.0.0.2:{port}"), 2, "output", "eth0");
        assert_eq!(found.len(), hits, "{port}: {found:?}");
    }
}

#[test]
fn the_policy() {
    let found = find("10.0.0.2:80", "10.0.0.1:50000", 0x12, "input", "");
    assert_eq!(found, [("policy".to_owned(), true)]);
}

#[test]
fn quoted_words_are_one() {
    assert_eq!(words(r#"-m comment --comment "a \"b\" -j c" -j X"#)[3], "a \"b\" -j c");
    assert_eq!(words("").len(), 0);
}

#[test]
fn what_is_not_known_may_hold() {
    let rule = words("-p tcp -m owner --uid-owner 33 -j DROP");
    let packet = Packet {
        src: "10.0.0.1:1".parse().expect("an address"),
        dst: "10.0.0.2:2".parse().expect("an address"),
        flags: 2,
        hook: "output".to_owned(),
        family: None,
        input: Device::None,
        output: Device::Unknown,
    };
    assert_eq!(decide(&rule, &packet), Decision { verdicts: vec![Verdict::Drop], passes: true });
}
