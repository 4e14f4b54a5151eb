use super::*;
use crate::event::{Sequence, Socket};
use crate::testkit::{BEGUN, id, matched, netfilter_drop, reset_sent, rules, unanswered_syn};

#[test]
fn packets_without_a_socket_are_found_by_their_ends_in_both_directions() {
    let attempt = unanswered_syn();
    let mut packets = Packets::default();
    for hook in ["output", "input"] {
        packets.dropped(PacketDrop { attempt: None, ..netfilter_drop(hook, "nft") });
    }
    packets.dropped(PacketDrop { attempt: None, netns: 99, ..netfilter_drop("input", "nft") });
    packets.dropped(PacketDrop { attempt: Some(id(77)), ..netfilter_drop("input", "nft") });
    packets.dropped(PacketDrop { attempt: None, at: BEGUN - SECOND, ..netfilter_drop("input", "nft") });
    let mut case = Case::of_attempt(&attempt);
    packets.fill(&mut case);
    assert_eq!((case.drops.len(), case.drops_elsewhere.len()), (2, 1));
}

#[test]
fn without_a_namespace_the_hook_says_on_which_side_it_was_dropped() {
    let attempt = unanswered_syn();
    for (hook, here) in [("output", false), ("input", true)] {
        let mut packet = PacketDrop { attempt: None, netns: 0, ..netfilter_drop("input", "nft") };
        packet.netfilter.as_mut().expect("netfilter").hook = Some(hook.to_owned());
        let mut packets = Packets::default();
        packets.dropped(packet);
        let mut case = Case::of_attempt(&attempt);
        packets.fill(&mut case);
        assert_eq!((case.drops.len(), case.drops_elsewhere.len()), (usize::from(here), usize::from(!here)));
    }
}

#[test]
fn what_a_ruleset_says_of_one_packet_holds_for_those_alike() {
    let mut attempt = unanswered_syn();
    attempt.id = id(2);
    let mut packets = Packets::default();
    packets.ruled(&rules(vec![matched("output", "drop", true)]));
    let later = PacketTuple { src: "10.0.0.1:50000".parse().expect("an address"), ..rules(Vec::new()).tuple };
    let alike = PacketDrop { attempt: Some(id(2)), tuple: Some(later), ..netfilter_drop("output", "nft") };
    let other_hook = PacketDrop { attempt: Some(id(2)), ..netfilter_drop("input", "nft") };
    let other_flags = PacketDrop { tcp_flags: 0x18, ..alike.clone() };
    for packet in [&alike, &other_hook, &other_flags] {
        packets.dropped(packet.clone());
    }
    let mut case = Case::of_attempt(&attempt);
    packets.fill(&mut case);
    let known: Vec<_> = case.drops.iter().map(|packet| case.rules_of(packet).is_some()).collect();
    assert_eq!(known, [true, false, false]);
    let evidence = crate::evidence::of(&case);
    let named = evidence.iter().find(|e| e.details.contains_key("chain")).expect("the rule");
    assert_eq!(named.details["chain"], "inet filter output");
    assert_eq!((&named.details["rule"], &named.details["handle"]), (&"drop".into(), &7.into()));
}

#[test]
fn a_translated_packet_belongs_to_the_connection_as_nginx_began_it() {
    let attempt = unanswered_syn();
    let mut packets = Packets::default();
    let pod = "10.244.0.7:9000".parse().expect("an address");
    let whole = netfilter_drop("input", "nft");
    let asked = whole.tuple;
    let tuple = asked.map(|PacketTuple { dst, .. }| PacketTuple { src: pod, dst });
    packets.dropped(PacketDrop { attempt: None, netns: 99, tuple, asked, ..whole });
    let mut case = Case::of_attempt(&attempt);
    packets.fill(&mut case);
    assert_eq!(case.drops_elsewhere.len(), 1);
    assert_eq!(case.direction(case.drops_elsewhere[0]), Direction::In);
}

#[test]
fn a_reset_of_a_stranger_belongs_to_the_connection_with_that_end() {
    let attempt = unanswered_syn();
    let stranger = "10.244.0.7:9000".parse().expect("an address");
    let sent = reset_sent("NO_SOCKET", None);
    let own = sent.tuple.src;
    let other = PacketTuple { src: stranger, dst: "10.0.0.1:50000".parse().expect("an address") };
    let mut packets = Packets::default();
    for tuple in [PacketTuple { src: stranger, dst: own }, other] {
        packets.reset_sent(ResetSent { stranger: true, tuple, ..sent.clone() });
    }
    let mut case = Case::of_attempt(&attempt);
    packets.fill(&mut case);
    assert_eq!((case.resets.len(), case.resets_of_strangers.len()), (0, 1));
}

#[test]
fn the_store_is_bounded_and_forgets() {
    let mut packets = Packets::default();
    for number in 0..2 * MAX_KEYS as u64 {
        packets.dropped(PacketDrop { attempt: Some(id(number)), ..netfilter_drop("output", "nft") });
    }
    for _ in 0..100 {
        packets.dropped(PacketDrop { attempt: Some(id(1)), ..netfilter_drop("output", "nft") });
    }
    assert_eq!(packets.by_key.len(), MAX_KEYS);
    assert_eq!(packets.lost.take().map(|(count, ..)| count), Some(MAX_KEYS as u64 + 1));
    assert!(packets.by_key.values().all(|packets| packets.len() <= MAX_PER_KEY));
    packets.expire(BEGUN + KEEP + SECOND);
    assert!(packets.by_key.is_empty());
}

#[test]
fn long_texts_do_not_add_up() {
    let mut packets = Packets::default();
    for number in 0..MAX_KEYS as u64 {
        let reason = "x".repeat(crate::event::MAX_TEXT);
        packets.dropped(PacketDrop { attempt: Some(id(number)), reason, ..netfilter_drop("output", "nft") });
    }
    assert!(packets.by_key.bytes() <= MAX_BYTES && packets.by_key.len() > 1_000);
    assert!(packets.lost.take().is_some());
}

#[test]
fn packets_of_attempts_that_are_judged_are_not_lost() {
    let mut packets = Packets::default();
    for id in (0..2 * MAX_KEYS as u64).map(id) {
        packets.dropped(PacketDrop { attempt: Some(id), ..netfilter_drop("output", "nft") });
        packets.done(&Attempt { id, ..unanswered_syn() });
    }
    assert!(packets.by_key.is_empty() && packets.lost.take().is_none());
    for number in 0..=MAX_KEYS as u64 {
        packets.dropped(PacketDrop { attempt: Some(id(number)), ..netfilter_drop("output", "nft") });
    }
    assert_eq!(packets.lost.take().map(|(count, ..)| count), Some(1));
}

#[test]
fn packets_with_other_sequence_numbers_are_nobodys() {
    const FAR: u32 = 1 << 24;
    let mut attempt = unanswered_syn();
    attempt.socket.sequence = Some(Sequence { first: u32::MAX, next: 0, received: 7 });
    let own = |seq, ack| Some(PacketNumbers { seq, ack });
    let counted = |attempt: &Attempt, flags: u8, numbers, hook: &str| {
        let mut packets = Packets::default();
        let packet = netfilter_drop(hook, "nft");
        packets.dropped(PacketDrop { attempt: None, netns: 99, tcp_flags: flags, numbers, ..packet });
        let mut case = Case::of_attempt(attempt);
        packets.fill(&mut case);
        case.drops_elsewhere.len()
    };
    for (numbers, known) in [(None, 1), (own(u32::MAX, 0), 1), (own(FAR, 0), 0), (own(FAR, u32::MAX), 0)] {
        assert_eq!(counted(&attempt, 2, numbers, "output"), known, "{numbers:?}");
    }
    for (flags, numbers, known) in [
        (0x12, own(FAR, 0), 1),
        (0x12, own(7, FAR), 0),
        (0x04, own(7, 0), 1),
        (0x04, own(FAR, 0), 0),
        (0x14, own(7, FAR), 0),
    ] {
        assert_eq!(counted(&attempt, flags, numbers, "input"), known, "{flags} {numbers:?}");
    }
    attempt.socket.sequence = None;
    assert_eq!(counted(&attempt, 2, own(FAR, 0), "output"), 1, "nobody knows its numbers");
    attempt.ended = Ended::Open;
    assert_eq!(counted(&attempt, 2, own(FAR, 0), "output"), 0, "they are told at its end");
    assert_eq!(counted(&attempt, 2, None, "output"), 1);
}

#[test]
fn a_reset_of_what_somebody_made_up_is_nobodys() {
    let mut attempt = unanswered_syn();
    attempt.socket.sequence = Some(Sequence { first: 100, next: 300, received: 7 });
    for (number, known) in [(200, 1), (1 << 24, 0)] {
        let numbers = Some(PacketNumbers { seq: number, ack: number });
        let (mut packets, sent) = (Packets::default(), reset_sent("NO_SOCKET", None));
        let stranger = PacketTuple { src: "10.7.0.9:8080".parse().expect("an address"), dst: sent.tuple.src };
        packets.reset_sent(ResetSent { numbers, ..sent.clone() });
        packets.reset_sent(ResetSent { numbers, stranger: true, tuple: stranger, ..sent });
        let mut case = Case::of_attempt(&attempt);
        packets.fill(&mut case);
        assert_eq!((case.resets.len(), case.resets_of_strangers.len()), (known, known), "{number}");
    }
}

#[test]
fn sequence_numbers_go_on_with_what_is_written_and_received() {
    let sequence = Some(Sequence { first: u32::MAX, next: 9, received: 7 });
    let then = Socket { acked: 4, unacked: 5, received: 1, sequence, ..Socket::default() };
    let later = Socket { acked: 10, unacked: 19, received: 3, ..Socket::default() };
    assert_eq!(then.sequence_at(&later), Some(Sequence { first: u32::MAX, next: 29, received: 9 }));
    assert_eq!(later.sequence_at(&then), None);
}
