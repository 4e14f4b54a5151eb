//! Dropped packets and resets, kept until the attempt that they belong to is judged.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::bounded::Bounded;
use crate::case::{Case, Direction};
use crate::engine::stores::overflow::Overflow;
use crate::event::{
    Attempt, AttemptId, Ended, MS, Nanos, PacketDrop, PacketNumbers, PacketTuple, ResetSent, Rules, SECOND,
    Upstream, Weigh, weigh_rare,
};

/// Attempts and tuples of which packets are kept; the oldest make room.
const MAX_KEYS: usize = 16_384;
/// Packets kept per attempt or tuple; further ones of a storm say nothing new.
const MAX_PER_KEY: usize = 16;
/// Bytes of all packets.
const MAX_BYTES: usize = 16 << 20;
/// Answers of rulesets kept, two for each ruleset query; the oldest make room.
const MAX_RULES: usize = 1_024;
/// Bytes of all answers of rulesets.
const MAX_RULES_BYTES: usize = 16 << 20;
/// Longer than the kernel tries to connect.
const KEEP: Nanos = 130 * SECOND;
/// How far a packet's time may lie outside its attempt's: events arrive from several CPUs.
const SLACK: Nanos = 50 * MS;

/// What packets are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PacketKey {
    Attempt(AttemptId),
    /// Both ends, the smaller first: a packet belongs to its connection in either direction.
    Ends(SocketAddr, SocketAddr),
    /// nginx's end alone: the other is not the one that nginx knows.
    Own(SocketAddr),
}

impl PacketKey {
    fn ends(tuple: PacketTuple) -> Self {
        if tuple.src <= tuple.dst {
            Self::Ends(tuple.src, tuple.dst)
        } else {
            Self::Ends(tuple.dst, tuple.src)
        }
    }
}

/// For which packets a ruleset says the same: namespace, hook, program, flags, the upstream, the other end's address.
type RulesetQuery = (u32, String, String, u8, SocketAddr, IpAddr);

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

impl Weigh for Packet {
    fn weigh(&self) -> usize {
        match self {
            Self::Dropped(packet) => packet.weigh(),
            Self::Reset(reset) => reset.weigh(),
        }
    }
}

fn weigh_all(packets: &VecDeque<Packet>) -> usize {
    packets.iter().map(Weigh::weigh).sum()
}

/// The store.
#[derive(Debug)]
pub(in crate::engine) struct Packets {
    by_key: Bounded<PacketKey, VecDeque<Packet>>,
    rules: Bounded<RulesetQuery, Rules>,
    /// Packets that made room while they may still have been needed.
    pub(in crate::engine) lost: Overflow,
    /// Answers of rulesets that did.
    pub(in crate::engine) rules_lost: Overflow,
}

impl Default for Packets {
    fn default() -> Self {
        Self {
            by_key: Bounded::with_max_bytes(MAX_KEYS, MAX_BYTES, weigh_all),
            rules: Bounded::with_max_bytes(MAX_RULES, MAX_RULES_BYTES, weigh_rare),
            lost: Overflow::default(),
            rules_lost: Overflow::default(),
        }
    }
}

impl Packets {
    pub(in crate::engine) fn dropped(&mut self, packet: PacketDrop) {
        let key =
            packet.attempt.map(PacketKey::Attempt).or(packet.asked.or(packet.tuple).map(PacketKey::ends));
        if let Some(key) = key {
            self.keep(key, Packet::Dropped(packet));
        }
    }

    pub(in crate::engine) fn reset_sent(&mut self, reset: ResetSent) {
        let PacketTuple { dst, .. } = reset.tuple;
        let key = if reset.stranger { PacketKey::Own(dst) } else { PacketKey::ends(reset.tuple) };
        self.keep(key, Packet::Reset(reset));
    }

    /// Keeps what a ruleset says, for either end being the upstream.
    pub(in crate::engine) fn ruled(&mut self, rules: &Rules) {
        let PacketTuple { src, dst } = rules.tuple;
        for (upstream, other) in [(dst, src), (src, dst)] {
            let (hook, by) = (rules.hook.clone(), rules.by.clone());
            let key = (rules.netns, hook, by, rules.tcp_flags, upstream, other.ip());
            let evicted = self.rules.insert(key, rules.clone(), rules.at);
            self.rules_lost.note_evicted(evicted, KEEP, rules.at);
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

    fn keep(&mut self, key: PacketKey, packet: Packet) {
        let at = packet.at();
        let evicted = if self.by_key.contains_key(&key) {
            self.by_key.update(&key, at, |packets| {
                // A port may have been used by an older connection: the first of a storm matters less than the latest.
                if packets.len() == MAX_PER_KEY {
                    packets.pop_front();
                }
                packets.push_back(packet);
            })
        } else {
            self.by_key.insert(key, VecDeque::from([packet]), at)
        };
        for forgotten in evicted.iter().flat_map(|evicted| &evicted.value) {
            self.lost.note(forgotten.at(), at);
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
        self.by_key.expire(now.saturating_sub(KEEP));
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
        let found = keys(attempt).filter_map(|key| self.by_key.get(&key)).flatten();
        for packet in found.filter(|packet| from <= packet.at()) {
            if is_made_up(case, packet) {
                continue;
            }
            match packet {
                // An answer to a connection that nginx had given up.
                Packet::Reset(reset) if upstream == Some(reset.tuple.src) => {
                    case.late = case.late.or(Some(reset.at.saturating_sub(begun)));
                }
                packet if packet.at() > to => {}
                Packet::Reset(reset) if reset.stranger => case.resets_of_strangers.push(reset),
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
fn keys(attempt: &Attempt) -> impl Iterator<Item = PacketKey> + use<> {
    let ends = match (&attempt.upstream, attempt.local) {
        (Some(Upstream::Tcp(dst)), Some(src)) => Some(PacketKey::ends(PacketTuple { src, dst: *dst })),
        _ => None,
    };
    let own = attempt.local.map(PacketKey::Own);
    [Some(PacketKey::Attempt(attempt.id)), ends, own].into_iter().flatten()
}

/// It has the addresses of the connection, but not its sequence numbers: somebody sent it in the name of nginx or of the
/// upstream, from wherever such a packet can be sent, or in a network of the same addresses.
fn is_made_up(case: &Case<'_>, packet: &Packet) -> bool {
    const ACK: u8 = 0x10;
    let (numbers, incoming, has_ack) = match packet {
        Packet::Dropped(packet) => {
            let incoming = case.direction(packet) == Direction::In;
            (packet.numbers, incoming, packet.tcp_flags & ACK != 0)
        }
        Packet::Reset(reset) => {
            let to_nginx = case.attempt.upstream == Some(Upstream::Tcp(reset.tuple.src));
            (reset.numbers, to_nginx || reset.stranger, true)
        }
    };
    let Some(PacketNumbers { seq, ack }) = numbers else { return false };
    // Those of one that is under way are not known before its first retransmission. Its end tells them.
    let Some(sequence) = case.attempt.socket.sequence else { return case.attempt.ended == Ended::Open };
    !match (incoming, has_ack) {
        (false, _) => sequence.has_sent(seq),
        (true, true) => sequence.has_sent(ack),
        (true, false) => sequence.may_have_come(seq),
    }
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
mod tests;
