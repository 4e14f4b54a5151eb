use super::super::{iptables, nft};
use super::*;
use crate::host::netns::Way;

const NETNS: u32 = 77;
const SECOND: Nanos = 1_000_000_000;

fn drop_of(src: &str, dst: &str, flags: u8, by: &str) -> PacketDrop {
    let tuple = PacketTuple { src: src.parse().expect("an address"), dst: dst.parse().expect("an address") };
    PacketDrop {
        numbers: None,
        at: 5,
        attempt: Some(upstream_trace_core::event::AttemptId::from_kernel(1)),
        tuple: Some(tuple),
        asked: None,
        tcp_flags: flags,
        reason: "NETFILTER_DROP".to_owned(),
        netns: NETNS,
        function: None,
        netfilter: Some(Netfilter { hook: Some("output".to_owned()), by: by.to_owned(), family: None }),
    }
}

fn chains() -> Ruleset {
    let json = include_str!("../fixtures/chains.json");
    nft::parse(json, include_str!("../fixtures/chains.txt")).expect("a ruleset")
}

fn legacy() -> Ruleset {
    iptables::parse(include_str!("../fixtures/legacy.txt"), "ip")
}

fn with(source: Source, at: Nanos, ruleset: Ruleset) -> Rulesets {
    let mut rulesets = Rulesets::new();
    rulesets.read.insert((NETNS, source), (at, Some(Ok(Arc::new(ruleset)))));
    rulesets
}

fn told(rulesets: &mut Rulesets, drop: &PacketDrop, now: Nanos) -> Vec<Rules> {
    let own = |_| Namespace::open(0, Some(&Way::Process(std::process::id())));
    rulesets.dropped(drop, now, own, |_| Some("eth0".to_owned()))
}

#[test]
fn a_storm_is_answered_once() {
    let mut rulesets = with(Source::Nft, SECOND, chains());
    let first = told(&mut rulesets, &drop_of("10.0.0.1:40000", "10.0.0.2:8082", 2, "nft"), SECOND);
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].netns, first[0].complete, first[0].rules.len()), (NETNS, true, 1));
    for port in 40_001..41_000 {
        let drop = drop_of(&format!("10.0.0.1:{port}"), "10.0.0.2:8082", 2, "nft");
        assert!(told(&mut rulesets, &drop, SECOND + 1).is_empty());
    }
    assert!(rulesets.waiting.is_empty() && rulesets.thread.is_none());
    let other = told(&mut rulesets, &drop_of("10.0.0.1:40000", "10.0.0.2:8083", 2, "nft"), SECOND + 2);
    assert_eq!(other.len(), 1);
}

#[test]
fn only_what_has_changed_is_told_again() {
    let mut rulesets = with(Source::Nft, SECOND, chains());
    let drop = drop_of("10.0.0.1:40000", "10.0.0.2:8082", 2, "nft");
    assert_eq!(told(&mut rulesets, &drop, SECOND).len(), 1);
    rulesets.read.insert((NETNS, Source::Nft), (3 * SECOND, Some(Ok(Arc::new(chains())))));
    assert!(told(&mut rulesets, &drop, 3 * SECOND).is_empty());
    let empty = Arc::new(Ruleset::default());
    rulesets.read.insert((NETNS, Source::Nft), (5 * SECOND, Some(Ok(empty))));
    let news = told(&mut rulesets, &drop, 5 * SECOND);
    assert!(news.len() == 1 && news[0].rules.is_empty());
}

#[test]
fn a_packet_that_waits_is_answered_when_the_ruleset_is_there() {
    let mut rulesets = Rulesets::new();
    rulesets.read.insert((NETNS, Source::Nft), (SECOND, None));
    let drop = drop_of("10.0.0.1:40000", "10.0.0.2:8082", 2, "nft");
    assert!(told(&mut rulesets, &drop, SECOND).is_empty() && told(&mut rulesets, &drop, SECOND).is_empty());
    assert_eq!(rulesets.waiting.len(), 1);
    rulesets.read.insert((NETNS, Source::Nft), (SECOND, Some(Err("nft is not installed".to_owned()))));
    let news = rulesets.answers(SECOND);
    assert_eq!(news[0].unread.as_deref(), Some("nft is not installed"));
}

#[test]
fn who_dropped_is_not_known_but_only_one_rule_surely_does() {
    let both = || chains().and(legacy());
    let sure = drop_of("10.0.0.1:40000", "10.0.0.2:8082", 2, "other");
    let found = told(&mut with(Source::Any, SECOND, both()), &sure, SECOND);
    assert!(found[0].complete && found[0].rules[0].certain);
    let legacy_rule = drop_of("10.0.0.9:1500", "10.0.0.2:1", 2, "other");
    let found = told(&mut with(Source::Any, SECOND, both()), &legacy_rule, SECOND);
    assert!(found[0].rules[0].legacy && found[0].rules[0].certain, "{found:?}");
    let unsure = drop_of("10.0.0.1:40000", "10.0.0.3:8085", 2, "other");
    let found = told(&mut with(Source::Any, SECOND, both()), &unsure, SECOND);
    assert!(!found[0].complete && found[0].rules.iter().all(|rule| !rule.certain));
}

#[test]
fn a_namespace_that_cannot_be_entered_is_said() {
    let drop = drop_of("10.0.0.1:40000", "10.0.0.2:8082", 2, "nft");
    let news = Rulesets::new().dropped(&drop, SECOND, |_| None, |_| None);
    assert!(news[0].unread.is_some());
    let conntrack = drop_of("10.0.0.1:40000", "10.0.0.2:8082", 2, "conntrack");
    assert!(Rulesets::new().dropped(&conntrack, SECOND, |_| None, |_| None).is_empty());
}

#[test]
fn a_namespace_whose_process_has_ended_is_read_all_the_same() {
    let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("sleep");
    let way = Way::Process(child.id());
    let drop = drop_of("10.0.0.1:40000", "10.0.0.2:8082", 2, "nft");
    let mut rulesets = Rulesets::new();
    rulesets.dropped(&drop, SECOND, |_| Namespace::open(0, Some(&way)), |_| None);
    child.kill().and_then(|()| child.wait()).expect("the end of sleep");
    // The next packet, when the ruleset is to be read anew.
    rulesets.read.clear();
    rulesets.reported.clear();
    rulesets.waiting.clear();
    let news = rulesets.dropped(&drop, 3 * SECOND, |_| Namespace::open(0, Some(&way)), |_| None);
    let entered = |rules: &Rules| rules.unread.as_ref().is_none_or(|why| !why.contains("namespace"));
    assert!(news.iter().all(entered), "{news:?}");
    assert!(
        rulesets.read.values().all(|(_, read)| !matches!(read, Some(Err(why)) if why.contains("namespace")))
    );
}

#[test]
fn a_ruleset_is_forgotten() {
    let mut rulesets = with(Source::Nft, SECOND, chains());
    rulesets.poll(MAX_AGE);
    assert_eq!(rulesets.read.len(), 1);
    rulesets.poll(SECOND + MAX_AGE);
    assert!(rulesets.read.is_empty());
}

#[test]
fn a_ruleset_that_does_not_come_back_is_given_up() {
    let mut rulesets = Rulesets::new();
    let drop = drop_of("10.0.0.1:40000", "10.0.0.2:8082", 2, "nft");
    let place = Dropped::of(&drop).expect("a packet").place;
    for turn in 1..=GIVEN_UP {
        let thread = start();
        let begun = Instant::now().checked_sub(HANGS + Duration::from_secs(1));
        *thread.reading.lock().expect("a lock") = begun.map(|begun| (place, begun));
        rulesets.thread = Some(thread);
        rulesets.read.insert(place, (SECOND, None));
        rulesets.waiting.push(Dropped::of(&drop).expect("a packet"));
        rulesets.reported.clear();
        let found = rulesets.poll(2 * SECOND);
        assert_eq!(found.len(), 1, "turn {turn}");
        assert_eq!(found[0].unread.as_deref(), Some(HANGING));
        assert!(rulesets.thread.is_none() && rulesets.waiting.is_empty());
    }
    rulesets.read.clear();
    rulesets.reported.clear();
    let found = told(&mut rulesets, &drop, 100 * SECOND);
    assert!(rulesets.thread.is_none(), "nothing is read any more");
    assert_eq!(found[0].unread.as_deref(), Some(HANGING));
}
