use super::super::packet::Device;
use super::super::{Decision, Verdict};
use super::*;

/// A ruleset with a rule for each kind of condition.
const CONDITIONS: &str = include_str!("../fixtures/conditions.json");

fn packet(dst: &str) -> Packet {
    let dst: std::net::SocketAddr = dst.parse().expect("an address");
    let src = if dst.is_ipv4() { "10.2.0.1:41234" } else { "[fd99::1]:41234" };
    Packet {
        src: src.parse().expect("an address"),
        dst,
        flags: 2,
        hook: "output".to_owned(),
        family: None,
        input: Device::None,
        output: Device::Named("eth0".to_owned()),
    }
}

/// What the rule with this handle does.
fn decide(handle: u64, packet: &Packet) -> Decision {
    let ruleset = parse(CONDITIONS, "").expect("a ruleset");
    let of = |chain: &Chain| chain.rules.iter().position(|rule| rule.handle == Some(handle));
    let (chain, index) = ruleset.chains.iter().find_map(|chain| Some((chain, of(chain)?))).expect("the rule");
    let about = About { ruleset: &ruleset, chain, packet, priority: 0, compared: &Cell::new(0) };
    match &chain.rules[index].body {
        Body::Nft(statements) => about.decide(statements),
        Body::Iptables(_) => unreachable!("a rule of nft"),
    }
}

#[track_caller]
fn drops(handle: u64, packet: &Packet) {
    assert_eq!(decide(handle, packet), Decision { verdicts: vec![Verdict::Drop], passes: false });
}

#[track_caller]
fn passes(handle: u64, packet: &Packet) {
    assert_eq!(decide(handle, packet), Decision::next());
}

#[track_caller]
fn may_drop(handle: u64, packet: &Packet) {
    assert_eq!(decide(handle, packet), Decision { verdicts: vec![Verdict::Drop], passes: true });
}

fn web() -> Decision {
    Decision { verdicts: vec![Verdict::Jump("web".to_owned())], passes: false }
}

#[test]
fn named_sets_with_prefixes_ranges_and_timeouts() {
    drops(16, &packet("10.99.0.77:8081"));
    drops(16, &packet("192.0.2.7:8081"));
    drops(16, &packet("198.51.100.6:8081"));
    passes(16, &packet("198.51.100.10:8081"));
    passes(16, &packet("10.99.0.77:8080"));
    passes(16, &packet("[fd99::2]:8081"));
    drops(17, &packet("[fd99::2]:1"));
    drops(18, &packet("10.0.0.9:1"));
}

#[test]
fn ports_in_sets_ranges_and_maps() {
    assert_eq!(decide(20, &packet("10.0.0.2:8042")), web());
    passes(20, &packet("10.0.0.2:8080"));
    drops(21, &packet("10.0.0.2:25"));
    assert_eq!(decide(21, &packet("10.0.0.2:80")), web());
    passes(21, &packet("10.0.0.2:81"));
    drops(23, &packet("10.0.0.2:26"));
    drops(33, &packet("10.0.0.2:13"));
    let goto = Decision { verdicts: vec![Verdict::Goto("web".to_owned())], passes: false };
    assert_eq!(decide(43, &packet("10.1.0.5:1")), goto);
    passes(45, &packet("10.1.0.5:1"));
}

#[test]
fn addresses_and_protocols() {
    drops(24, &packet("10.0.0.2:80"));
    passes(24, &packet("11.0.0.2:80"));
    passes(24, &packet("[fd99::2]:80"));
    drops(29, &packet("[fd99::2]:80"));
    passes(29, &packet("[fd99::2]:53"));
    passes(29, &packet("10.0.0.2:80"));
    passes(40, &packet("10.0.0.2:80"));
    drops(48, &packet("10.7.7.8:80"));
    passes(48, &packet("10.8.1.1:80"));
    drops(31, &packet("10.1.1.2:443"));
    passes(31, &packet("10.1.1.1:443"));
    passes(31, &packet("[fd99::2]:443"));
}

#[test]
fn tcp_flags() {
    let with = |port: u16, flags: u8| Packet { flags, ..packet(&format!("10.0.0.2:{port}")) };
    drops(25, &with(9, 0x02));
    passes(25, &with(9, 0x12));
    drops(26, &with(10, 0x12));
    drops(27, &with(11, 0x02));
    passes(28, &with(14, 0x10));
    drops(28, &with(14, 0x18));
    drops(46, &with(1, 0x02));
    passes(46, &with(1, 0x11));
    may_drop(28, &with(14, 0));
}

#[test]
fn states_of_connection_tracking() {
    let later = Packet { flags: 0x18, ..packet("10.0.0.2:12") };
    drops(32, &packet("10.0.0.2:12"));
    may_drop(32, &later);
    passes(11, &packet("10.0.0.2:12"));
    passes(42, &packet("10.0.0.2:12"));
    assert_eq!(decide(35, &packet("10.0.0.2:12")), web());
    assert_eq!(decide(35, &later).verdicts.len(), 2);
}

#[test]
fn devices() {
    let unknown = Packet { output: Device::Unknown, ..packet("10.0.0.2:1") };
    drops(36, &packet("10.0.0.2:1"));
    passes(38, &packet("10.0.0.2:1"));
    may_drop(38, &unknown);
    passes(13, &packet("10.0.0.2:1"));
}

#[test]
fn what_cannot_be_seen_may_hold() {
    may_drop(30, &packet("10.0.0.2:1"));
    may_drop(39, &packet("10.0.0.2:1"));
    passes(39, &packet("[fd99::2]:1"));
    passes(49, &packet("10.0.0.2:1"));
    let accept = Decision { verdicts: vec![Verdict::Accept], passes: true };
    assert_eq!(decide(14, &packet("10.0.0.2:22")), accept);
}

#[test]
fn what_makes_no_sense_is_no_ruleset_and_unknown_statements_may_hold() {
    assert!(parse("", "").is_none() && parse("{}", "").is_none());
    let json = r#"{"nftables": [{"chain": {"family": "ip", "table": "t", "name": "c", "hook": "output", "prio": 0}},
        {"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 1, "expr": [{"quantum": 1}, 5, {"drop": null}]}},
        {"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 2, "expr": [{"xt": null}]}}]}"#;
    let found = parse(json, "").expect("a ruleset").find(&packet("10.0.0.2:1"));
    assert_eq!(found.rules.len(), 2);
}

#[test]
fn sets_that_take_too_long_leave_everything_open() {
    let elements = vec!["\"192.0.2.1\""; 1_000].join(",");
    let rule = |handle: usize, action: &str| {
        let left = r#"{"payload": {"protocol": "ip", "field": "daddr"}}"#;
        format!(
            r#", {{"rule": {{"family": "ip", "table": "t", "chain": "c", "handle": {handle}, "expr":
            [{{"match": {{"op": "==", "left": {left}, "right": "@s"}}}}, {{"{action}": null}}]}}}}"#
        )
    };
    let of = |rules: usize| {
        let rules: String = (0..rules).map(|handle| rule(handle, "drop")).collect();
        let json = format!(
            r#"{{"nftables": [{{"chain": {{"family": "ip", "table": "t", "name": "c", "hook": "output", "prio": 0}}}},
            {{"set": {{"family": "ip", "table": "t", "name": "s", "elem": [{elements}]}}}}{rules}]}}"#
        );
        parse(&json, "").expect("a ruleset").find(&packet("10.0.0.2:1"))
    };
    let few = of(10);
    assert!(few.complete && few.rules.is_empty());
    let many = of(MAX_COMPARED / 1_000 + 1);
    assert!(!many.complete && many.rules.len() == 1 && !many.rules[0].certain);
}

#[test]
fn a_set_that_seems_to_hold_itself() {
    // A device may be called `@s`.
    let json = r#"{"nftables": [{"chain": {"family": "ip", "table": "t", "name": "c", "hook": "output", "prio": 0}},
        {"set": {"family": "ip", "table": "t", "name": "s", "type": "ifname", "elem": ["@s", "eth0"]}},
        {"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 1, "expr":
            [{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "@s"}}, {"drop": null}]}}]}"#;
    let found = parse(json, "").expect("a ruleset").find(&packet("10.0.0.2:1"));
    assert!(found.rules.len() == 1 && found.rules[0].certain, "{:?}", found.rules);
}

#[test]
fn words_that_a_comment_forges_are_nobodys() {
    let rule = |handle: u64, comment: &str| {
        let rule = serde_json::json!({"family": "inet", "table": "t", "chain": "c", "handle": handle,
                                      "comment": comment, "expr": [{"drop": null}]});
        serde_json::json!({ "rule": rule })
    };
    let chain = serde_json::json!({"chain": {"family": "inet", "table": "t", "name": "c"}});
    let forging = "x\n\t\tanother # handle 2\n";
    let json =
        serde_json::json!({"nftables": [chain, rule(1, forging), rule(2, ""), rule(3, "")]}).to_string();
    let listing = format!(
        "table inet t {{\n\tchain c {{\n\t\tdrop comment \"{forging}\" # handle 1\n\t\tdrop # handle 2\n\t\tdrop # handle 3\n\t}}\n}}\n"
    );
    let ruleset = parse(&json, &listing).expect("a ruleset");
    assert!(ruleset.chains[0].rules.iter().all(|rule| rule.text.is_none()));
}

/// The most memory that this process ever had, MiB.
fn peak() -> u64 {
    let own = procfs::process::Process::myself().and_then(|own| own.status()).expect("this process");
    own.vmhwm.expect("VmHWM") / 1024
}

#[test]
fn many_rules_take_little_memory() {
    // As nft prints them, piece by piece as from a pipe.
    let rule = |number: u64| {
        format!(
            ",{{\"rule\":{{\"family\":\"inet\",\"table\":\"t\",\"chain\":\"o\",\"handle\":{number},\"comment\":\"r{number}\",\
             \"expr\":[{{\"match\":{{\"op\":\"==\",\"left\":{{\"payload\":{{\"protocol\":\"tcp\",\"field\":\"dport\"}}}},\
             \"right\":{number}}}}},{{\"match\":{{\"op\":\"==\",\"left\":{{\"payload\":{{\"protocol\":\"ip\",\
             \"field\":\"daddr\"}}}},\"right\":\"192.0.2.{}\"}}}},{{\"counter\":{{\"packets\":0,\"bytes\":0}}}},\
             {{\"drop\":null}}]}}}}",
            number % 250
        )
    };
    let chain =
        "{\"chain\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"o\",\"hook\":\"output\",\"prio\":0}}";
    let mut pieces = std::iter::once(format!("{{\"nftables\":[{chain}"))
        .chain((1..=25_000).map(rule))
        .chain(std::iter::once("]}".to_owned()));
    let mut left = std::collections::VecDeque::new();
    let pipe = std::iter::from_fn(move || {
        if left.is_empty() {
            left.extend(pieces.next()?.into_bytes());
        }
        left.pop_front()
    });
    let before = peak();
    let mut ruleset = read(Bytes(pipe)).expect("a ruleset");
    let listing =
        (1..=25_000).map(|number| format!("\t\ttcp dport {number} drop comment \"r\" # handle {number}\n"));
    let listing = format!("table inet t {{\n\tchain o {{\n{}", listing.collect::<String>());
    add_texts(&mut ruleset, listing.as_bytes());
    let grown = peak() - before;
    assert!(grown < 40, "{grown} MiB");
    let found = ruleset.find(&packet("192.0.2.77:10077"));
    assert_eq!(found.rules[0].text.as_deref(), Some("tcp dport 10077 drop comment \"r\""));
}

/// A reader of single bytes.
struct Bytes<I>(I);

impl<I: Iterator<Item = u8>> Read for Bytes<I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(buffer.iter_mut().zip(&mut self.0).map(|(place, byte)| *place = byte).count())
    }
}
