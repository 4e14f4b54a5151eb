//! Dropped packets and resets, kept until the attempt that they belong to is judged.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use crate::case::{Case, Direction};
use crate::engine::stores::overflow::Overflow;
use crate::event::{Attempt, AttemptId, Nanos, PacketDrop, PacketTuple, ResetSent, Rules, Upstream};
use crate::event::{MS, SECOND};

/// Packets kept in all; the oldest make room.
const KEPT: usize = 16_384;
/// Packets kept per attempt or tuple; further ones of a storm say nothing new.
const PER_KEY: usize = 16;
/// Answers of rulesets kept; beyond that all are forgotten.
const RULES: usize = 1_024;
/// Longer than the kernel tries to connect.
const KEPT_FOR: Nanos = 130 * SECOND;
/// How far a packet's time may lie outside its attempt's: events arrive from several CPUs.
const SLACK: Nanos = 50 * MS;

/// What packets are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Attempt(AttemptId),
    /// Both ends, the smaller first: a packet belongs to its connection in either direction.
    Ends(SocketAddr, SocketAddr),
}

impl Key {
    fn ends(tuple: PacketTuple) -> Self {
        if tuple.src <= tuple.dst {
            Self::Ends(tuple.src, tuple.dst)
        } else {
            Self::Ends(tuple.dst, tuple.src)
        }
    }
}

/// For which packets a ruleset says the same: namespace, hook, program, flags, the upstream, the other end's address.
type Alike = (u32, String, String, u8, SocketAddr, IpAddr);

#[derive(Debug)]
enum Packet {
    Dropped(PacketDrop),
    Reset(ResetSent),
}

impl Packet {
    fn at(&self) -> Nanos {
        match self {
            Self::Dropped(packet) => packet.at,
            Self::Reset(reset) => reset.at,
        }
    }
}

/// Packets of one attempt or tuple. The same tuple may come again after its attempt is judged: another number.
#[derive(Debug)]
struct Kept {
    number: u64,
    packets: VecDeque<Packet>,
}

/// The store.
#[derive(Debug, Default)]
pub(in crate::engine) struct Packets {
    by_key: HashMap<Key, Kept>,
    /// Oldest first, each with the number of its `Kept`; those of attempts that are judged stay until they come up.
    in_order: VecDeque<(Nanos, u64, Key)>,
    next: u64,
    rules: HashMap<Alike, Rules>,
    /// Packets that made room while they may still have been needed.
    pub(in crate::engine) lost: Overflow,
    /// Answers of rulesets that did.
    pub(in crate::engine) rules_lost: Overflow,
}

impl Packets {
    pub(in crate::engine) fn dropped(&mut self, packet: &PacketDrop) {
        let key = packet.attempt.map(Key::Attempt).or(packet.tuple.map(Key::ends));
        if let Some(key) = key {
            self.keep(key, Packet::Dropped(packet.clone()));
        }
    }

    pub(in crate::engine) fn reset_sent(&mut self, reset: &ResetSent) {
        self.keep(Key::ends(reset.tuple), Packet::Reset(reset.clone()));
    }

    /// Keeps what a ruleset says, for either end being the upstream.
    pub(in crate::engine) fn ruled(&mut self, rules: &Rules) {
        if self.rules.len() + 2 > RULES {
            for (_, forgotten) in self.rules.drain() {
                self.rules_lost.note(forgotten.at, rules.at);
            }
        }
        let PacketTuple { src, dst } = rules.tuple;
        for (upstream, other) in [(dst, src), (src, dst)] {
            let (hook, by) = (rules.hook.clone(), rules.by.clone());
            let key = (rules.netns, hook, by, rules.tcp_flags, upstream, other.ip());
            self.rules.insert(key, rules.clone());
        }
    }

    fn rules_of(&self, case: &Case<'_>, packet: &PacketDrop) -> Option<&Rules> {
        let (netfilter, PacketTuple { src, dst }) = (packet.netfilter.as_ref()?, packet.tuple?);
        let (upstream, other) = match case.direction(packet) {
            Direction::Out => (dst, src),
            Direction::In => (src, dst),
        };
        let (hook, by) = (netfilter.hook.clone()?, netfilter.by.clone());
        self.rules.get(&(packet.netns, hook, by, packet.tcp_flags, upstream, other.ip()))
    }

    fn keep(&mut self, key: Key, packet: Packet) {
        let at = packet.at();
        let next = &mut self.next;
        let kept = self.by_key.entry(key).or_insert_with(|| {
            *next += 1;
            Kept { number: *next, packets: VecDeque::new() }
        });
        if kept.packets.len() == PER_KEY {
            // A port may have been used by an older connection: the first of a storm matters less than the latest.
            kept.packets.pop_front();
        } else {
            self.in_order.push_back((at, kept.number, key));
        }
        kept.packets.push_back(packet);
        while self.in_order.len() > KEPT {
            if let Some(forgotten) = self.forget_oldest() {
                self.lost.note(forgotten, at);
            }
        }
    }

    /// An attempt is judged: nobody needs its packets any more.
    pub(in crate::engine) fn done(&mut self, attempt: &Attempt) {
        for key in keys(attempt) {
            self.by_key.remove(&key);
        }
    }

    /// Drops what is too old to matter.
    pub(in crate::engine) fn expire(&mut self, now: Nanos) {
        while self.in_order.front().is_some_and(|(at, ..)| at.saturating_add(KEPT_FOR) < now) {
            self.forget_oldest();
        }
    }

    /// The time of the oldest packet, if it was still there.
    fn forget_oldest(&mut self) -> Option<Nanos> {
        let (at, number, key) = self.in_order.pop_front()?;
        let kept = self.by_key.get_mut(&key).filter(|kept| kept.number == number)?;
        let forgotten = kept.packets.pop_front();
        if kept.packets.is_empty() {
            self.by_key.remove(&key);
        }
        forgotten.map(|_| at)
    }

    /// Puts the packets of an attempt into its case.
    pub(in crate::engine) fn fill<'a>(&'a self, case: &mut Case<'a>) {
        let attempt = &case.attempt;
        let (from, to) = (attempt.begun.saturating_sub(SLACK), attempt.seen + SLACK);
        let (id, netns) = (attempt.id, attempt.netns);
        let begun = attempt.begun;
        let upstream = match &attempt.upstream {
            Some(Upstream::Tcp(upstream)) => Some(*upstream),
            _ => None,
        };
        let found = keys(attempt).filter_map(|key| self.by_key.get(&key)).flat_map(|kept| &kept.packets);
        for packet in found.filter(|packet| from <= packet.at()) {
            match packet {
                // An answer to a connection that nginx had given up.
                Packet::Reset(reset) if upstream == Some(reset.tuple.src) => {
                    case.late = case.late.or(Some(reset.at.saturating_sub(begun)));
                }
                packet if packet.at() > to => {}
                Packet::Reset(reset) => case.resets.push(reset),
                Packet::Dropped(packet) if packet.attempt == Some(id) => case.drops.push(packet),
                Packet::Dropped(packet) if here(case, packet, netns) => {
                    case.drops.push(packet);
                }
                Packet::Dropped(packet) => case.drops_elsewhere.push(packet),
            }
        }
        case.drops.sort_by_key(|packet| packet.at);
        case.drops_elsewhere.sort_by_key(|packet| packet.at);
        let packets = case.drops.iter().chain(&case.drops_elsewhere);
        let mut rules: Vec<_> = packets.filter_map(|packet| self.rules_of(case, packet)).collect();
        rules.dedup();
        case.rules = rules;
    }
}

/// Under which packets of an attempt are found.
fn keys(attempt: &Attempt) -> impl Iterator<Item = Key> + use<> {
    let ends = match (&attempt.upstream, attempt.local) {
        (Some(Upstream::Tcp(dst)), Some(src)) => Some(Key::ends(PacketTuple { src, dst: *dst })),
        _ => None,
    };
    [Some(Key::Attempt(attempt.id)), ends].into_iter().flatten()
}

/// Dropped in nginx's network namespace. Where the namespace is not known, the hook must be on nginx's side.
fn here(case: &Case<'_>, packet: &PacketDrop, netns: u32) -> bool {
    if netns != 0 && packet.netns != 0 {
        return packet.netns == netns;
    }
    let hook = packet.netfilter.as_ref().and_then(|netfilter| netfilter.hook.as_deref());
    let outgoing = case.direction(packet) == Direction::Out;
    match hook {
        Some("output" | "postrouting" | "egress") => outgoing,
        Some("input" | "prerouting" | "ingress") => !outgoing,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{BEGUN, matched, netfilter_drop, rules, unanswered_syn};

    #[test]
    fn packets_without_a_socket_are_found_by_their_ends_in_both_directions() {
        let attempt = unanswered_syn();
        let mut packets = Packets::default();
        for hook in ["output", "input"] {
            packets.dropped(&PacketDrop { attempt: None, ..netfilter_drop(hook, "nft") });
        }
        packets.dropped(&PacketDrop { attempt: None, netns: 99, ..netfilter_drop("input", "nft") });
        packets.dropped(&PacketDrop { attempt: Some(77), ..netfilter_drop("input", "nft") });
        packets.dropped(&PacketDrop { attempt: None, at: BEGUN - SECOND, ..netfilter_drop("input", "nft") });
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
            packets.dropped(&packet);
            let mut case = Case::of_attempt(&attempt);
            packets.fill(&mut case);
            assert_eq!(
                (case.drops.len(), case.drops_elsewhere.len()),
                (usize::from(here), usize::from(!here))
            );
        }
    }

    #[test]
    fn what_a_ruleset_says_of_one_packet_holds_for_those_alike() {
        let mut attempt = unanswered_syn();
        attempt.id = 2;
        let mut packets = Packets::default();
        packets.ruled(&rules(vec![matched("output", "drop", true)]));
        let later =
            PacketTuple { src: "10.0.0.1:50000".parse().expect("an address"), ..rules(Vec::new()).tuple };
        let alike = PacketDrop { attempt: Some(2), tuple: Some(later), ..netfilter_drop("output", "nft") };
        let other_hook = PacketDrop { attempt: Some(2), ..netfilter_drop("input", "nft") };
        let other_flags = PacketDrop { tcp_flags: 0x18, ..alike.clone() };
        for packet in [&alike, &other_hook, &other_flags] {
            packets.dropped(packet);
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
    fn the_store_is_bounded_and_forgets() {
        let mut packets = Packets::default();
        for id in 0..2 * KEPT as u64 {
            packets.dropped(&PacketDrop { attempt: Some(id), ..netfilter_drop("output", "nft") });
        }
        for _ in 0..100 {
            packets.dropped(&PacketDrop { attempt: Some(1), ..netfilter_drop("output", "nft") });
        }
        assert!(packets.in_order.len() <= KEPT && packets.by_key.len() <= KEPT);
        assert_eq!(packets.lost.take().map(|(count, ..)| count), Some(KEPT as u64 + PER_KEY as u64));
        assert!(packets.by_key.values().all(|kept| kept.packets.len() <= PER_KEY));
        packets.expire(BEGUN + KEPT_FOR + SECOND);
        assert!(packets.by_key.is_empty() && packets.in_order.is_empty());
    }

    #[test]
    fn packets_of_attempts_that_are_judged_are_not_lost() {
        let mut packets = Packets::default();
        for id in 0..2 * KEPT as u64 {
            packets.dropped(&PacketDrop { attempt: Some(id), ..netfilter_drop("output", "nft") });
            packets.done(&Attempt { id, ..unanswered_syn() });
        }
        assert!(packets.by_key.is_empty() && packets.lost.take().is_none());
        packets.dropped(&PacketDrop { attempt: Some(7), ..netfilter_drop("output", "nft") });
        for id in 8..8 + KEPT as u64 {
            packets.dropped(&PacketDrop { attempt: Some(id), ..netfilter_drop("output", "nft") });
        }
        assert_eq!(packets.lost.take().map(|(count, ..)| count), Some(1));
    }
}
