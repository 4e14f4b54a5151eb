//! What single packets tell: drops, resets, ICMP errors, retransmissions.

use std::net::IpAddr;

use super::Case;
use crate::event::{MS, Nanos};
use crate::event::{PacketDrop, ResetSent, Rules, Step, Upstream};
use crate::hooks::Signal;
use crate::tables::{self, DropReason};

/// Which way a packet went, seen from nginx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the upstream.
    Out,
    /// From the upstream.
    In,
}

/// An ICMP error, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpSeen {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Who sent it, if the socket kept that.
    pub from: Option<IpAddr>,
    /// This host made it itself.
    pub local: bool,
}

impl Case<'_> {
    /// The ICMP error that came back.
    #[must_use]
    pub fn icmp(&self) -> Option<IcmpSeen> {
        if let Some(icmp) = &self.attempt.icmp {
            return Some(IcmpSeen {
                kind: icmp.kind,
                code: icmp.code,
                from: Some(icmp.from),
                local: icmp.local,
            });
        }
        self.attempt.trail.iter().find_map(|moment| match moment.step {
            Step::Icmp { kind, code } => Some(IcmpSeen { kind, code, from: None, local: false }),
            _ => None,
        })
    }

    /// Which way a dropped packet went.
    #[must_use]
    pub fn direction(&self, packet: &PacketDrop) -> Direction {
        let remote = match &self.attempt.upstream {
            Some(Upstream::Tcp(address)) => Some(*address),
            _ => None,
        };
        let hook = packet.netfilter.as_ref().and_then(|netfilter| netfilter.hook.as_deref());
        let incoming = match (packet.asked.or(packet.tuple), remote, hook) {
            // nginx and its upstream on one port of one address: the hook decides.
            (Some(tuple), Some(remote), _) if tuple.src != tuple.dst => tuple.src == remote,
            (_, _, Some(hook)) => matches!(hook, "prerouting" | "input" | "ingress"),
            _ => packet.tcp_flags & 0x12 == 0x12,
        };
        if incoming { Direction::In } else { Direction::Out }
    }

    /// A packet of it was dropped for this reason in nginx's network namespace.
    #[must_use]
    pub fn dropped_for(&self, reason: &str) -> bool {
        self.drops.iter().any(|packet| packet.reason == reason)
            || self.step(|step| matches!(step, Step::Dropped { reason: seen } if seen == reason)).is_some()
    }

    /// A firewall in another network namespace of this machine dropped a packet of it.
    #[must_use]
    pub fn dropped_in_other_netns(&self) -> bool {
        self.drops_elsewhere.iter().any(|packet| packet.reason == "NETFILTER_DROP")
    }

    /// Packets that this kernel dropped, in whatever network namespace; those of nginx's first.
    pub fn all_drops(&self) -> impl Iterator<Item = &PacketDrop> {
        self.drops.iter().chain(&self.drops_elsewhere).copied()
    }

    /// It was dropped in another network namespace than nginx's.
    #[must_use]
    pub fn elsewhere(&self, packet: &PacketDrop) -> bool {
        self.drops_elsewhere.iter().any(|other| std::ptr::eq(*other, packet))
    }

    /// This kernel dropped an answer: nobody can say that nothing came back.
    #[must_use]
    pub fn answer_dropped(&self) -> bool {
        let harmless = |packet: &PacketDrop| {
            matches!(
                tables::drop_reason(&packet.reason),
                Some(DropReason::Harmless(_) | DropReason::Handshake)
            )
        };
        self.all_drops().any(|packet| self.direction(packet) == Direction::In && !harmless(packet))
    }

    /// What was sent was sent again after that: somebody else than whoever dropped the first may have answered.
    #[must_use]
    pub fn sent_again_after(&self, at: Nanos) -> bool {
        self.attempt.trail.iter().any(|moment| {
            let last = moment.at.saturating_add(u64::from(moment.span_ms) * MS);
            last > at && matches!(moment.step, Step::Retransmit { errno: 0 })
        })
    }

    /// First drop that fits.
    #[must_use]
    pub fn drop_where(&self, fits: impl Fn(&PacketDrop) -> bool) -> Option<&PacketDrop> {
        self.drops.iter().copied().find(|packet| fits(packet))
    }

    /// What the firewall's ruleset says of a packet.
    #[must_use]
    pub fn rules_of(&self, packet: &PacketDrop) -> Option<&Rules> {
        let netfilter = packet.netfilter.as_ref()?;
        self.rules.iter().copied().find(|rules| {
            rules.netns == packet.netns
                && Some(&rules.hook) == netfilter.hook.as_ref()
                && rules.by == netfilter.by
                && rules.tcp_flags == packet.tcp_flags
        })
    }

    /// The kernel of this machine said, on the origin's side, that the accept queue is full.
    #[must_use]
    pub fn listen_overflow_seen(&self) -> bool {
        self.dropped_for("TCP_LISTEN_OVERFLOW")
            || self.drops_elsewhere.iter().any(|packet| packet.reason == "TCP_LISTEN_OVERFLOW")
    }

    /// Reset straight after the handshake, before the other side took anything of the request.
    #[must_use]
    pub fn reset_at_once(&self) -> bool {
        let (attempt, socket) = (&self.attempt, &self.attempt.socket);
        let Some((reset, established)) = self.reset_at().zip(attempt.established) else { return false };
        let round_trip = u64::from(socket.srtt_us) * 1_000;
        let at_once = reset.saturating_sub(established) <= (2 * round_trip).max(MS);
        at_once && !attempt.reused && socket.acked == 0 && socket.received == 0
    }

    /// A second SYN-ACK arrived although the handshake was finished for nginx's side.
    #[must_use]
    pub fn syn_ack_retransmitted(&self) -> bool {
        self.attempt.established.is_some()
            && (self.step(|step| *step == Step::SynAckAgain).is_some() || self.dropped_for("TCP_INVALID_SYN"))
    }

    /// Retransmissions that left this host.
    #[must_use]
    pub fn retransmits_left(&self) -> u32 {
        let attempt = &self.attempt;
        let noted = attempt.retransmits.saturating_sub(attempt.retransmits_failed);
        // The kernel tells of each refusal, or at least of each that left: the socket's own numbers count both kinds.
        if !attempt.adopted && !self.lacks(Signal::Retransmits) {
            return noted;
        }
        let on_socket = if self.connecting() {
            attempt.socket.total_retransmits
        } else {
            u32::from(attempt.socket.retransmits).saturating_sub(attempt.retransmits_failed)
        };
        noted.max(on_socket)
    }

    /// This host refused a retransmission with this errno.
    #[must_use]
    pub fn retransmit_refused(&self, errno: i32) -> bool {
        self.step(|step| matches!(step, Step::Retransmit { errno: seen } if seen.saturating_abs() == errno))
            .is_some()
    }

    /// What came for nginx's end of the established connection was reset by this machine's kernel, since it came from another
    /// address than the one that nginx asked. Nothing came after that.
    #[must_use]
    pub fn lost_translation(&self) -> Option<&ResetSent> {
        let attempt = &self.attempt;
        let since = attempt.last_recv.max(attempt.established)?;
        if self.ended_by_origin().is_some() {
            return None;
        }
        self.resets_of_strangers.iter().copied().find(|reset| reset.at >= since)
    }

    /// This machine's kernel sent the reset, and gave this reason (or could give none).
    #[must_use]
    pub fn reset_sent_for(&self, reason: &str) -> bool {
        self.resets.iter().any(|reset| reset.reason == reason || reset.reason.is_empty())
    }
}
