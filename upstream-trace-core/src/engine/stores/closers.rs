//! Who ended the origin's side of connections on this kernel, kept until the attempts that they ended are judged.

use std::net::SocketAddr;

use crate::bounded::Bounded;
use crate::case::Case;
use crate::engine::stores::overflow::Overflow;
use crate::event::{MS, Nanos, OriginClosed, SECOND, Upstream, weigh_rare};

/// Ends kept; the oldest make room.
const MAX_CLOSED: usize = 8_192;
/// Bytes of all ends.
const MAX_BYTES: usize = 8 << 20;
/// A FIN that was lost is sent again within this time.
const LATER: Nanos = SECOND;
/// Behind a translation only nginx's end is known, which other connections have as well in other network namespaces: what
/// belongs together follows at once.
const AT_ONCE: Nanos = 20 * MS;
/// By then the attempts that were ended are judged.
const HELD: Nanos = 3 * SECOND;

/// The store.
#[derive(Debug)]
pub(in crate::engine) struct Closers {
    /// By nginx's end and the origin's.
    ends: Bounded<(SocketAddr, SocketAddr), OriginClosed>,
    /// Ends that made room while attempts that they ended may still have been held.
    pub(in crate::engine) lost: Overflow,
}

impl Default for Closers {
    fn default() -> Self {
        let ends = Bounded::with_max_bytes(MAX_CLOSED, MAX_BYTES, weigh_rare);
        Self { ends, lost: Overflow::default() }
    }
}

impl Closers {
    pub(in crate::engine) fn closed(&mut self, closed: OriginClosed) {
        let (key, at) = ((closed.peer, closed.origin), closed.at);
        self.lost.note_evicted(self.ends.insert(key, closed, at), HELD, at);
    }

    /// Gives a case the process that ended the other side of its connection.
    pub(in crate::engine) fn fill<'a>(&'a self, case: &mut Case<'a>) {
        let attempt = &case.attempt;
        let Some((ended, local)) = attempt.ended_by_origin().zip(attempt.local) else { return };
        let Some(Upstream::Tcp(upstream)) = &attempt.upstream else { return };
        let (begun, netns) = (attempt.begun, attempt.netns);
        // Every namespace has the same loopback addresses, and what goes there stays.
        // Nor is it the end of a connection that somebody else has with the same addresses.
        let sequence = attempt.socket.sequence;
        let may_be = |closed: &OriginClosed| {
            let sent = sequence.zip(closed.received).is_none_or(|(own, number)| own.has_sent(number));
            sent && (!local.ip().is_loopback() || closed.netns == netns)
        };
        let then = |closed: &&OriginClosed, within: Nanos| {
            may_be(closed) && closed.at >= begun && closed.at <= ended && ended - closed.at <= within
        };
        let same = self.ends.get(&(local, *upstream)).filter(|closed| then(closed, LATER));
        let translated = || {
            let mut near = self
                .ends
                .values()
                .filter(|closed| closed.peer == local && closed.origin != *upstream && then(closed, AT_ONCE));
            near.next().filter(|_| near.next().is_none())
        };
        case.closed_by = same.or_else(translated);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{origin_closed, unanswered_request, with_fin};

    fn found(closed: OriginClosed) -> Option<u32> {
        let attempt = with_fin(unanswered_request(), 1_500);
        let mut closers = Closers::default();
        closers.closed(closed);
        let mut case = Case::of_attempt(&attempt);
        closers.fill(&mut case);
        case.closed_by.map(|closed| closed.pid)
    }

    #[test]
    fn the_end_of_a_connection_with_other_sequence_numbers_does_not_count() {
        let mut attempt = with_fin(unanswered_request(), 1_500);
        attempt.socket.sequence = Some(crate::event::Sequence { first: 100, next: 300, received: 7 });
        for (received, counts) in [(None, true), (Some(300), true), (Some(1 << 24), false)] {
            let mut closers = Closers::default();
            closers.closed(OriginClosed { received, ..origin_closed(1_499) });
            let mut case = Case::of_attempt(&attempt);
            closers.fill(&mut case);
            assert_eq!(case.closed_by.is_some(), counts, "{received:?}");
        }
    }

    #[test]
    fn only_the_end_of_that_very_connection_counts() {
        let other: SocketAddr = "10.99.0.1:9".parse().expect("an address");
        let closed = origin_closed(1_499);
        assert_eq!(found(closed.clone()), Some(4711));
        assert_eq!(found(OriginClosed { peer: other, ..closed.clone() }), None);
        assert_eq!(found(origin_closed(1_501)), None, "it was over before");
        assert_eq!(found(origin_closed(499)), None);
        assert_eq!(found(origin_closed(500)), Some(4711));
    }

    #[test]
    fn loopback_addresses_are_those_of_one_namespace() {
        let (local, origin) =
            ("127.0.0.1:40000".parse().expect("one"), "127.0.0.1:9000".parse().expect("one"));
        let mut attempt = with_fin(unanswered_request(), 1_500);
        (attempt.local, attempt.upstream) = (Some(local), Some(Upstream::Tcp(origin)));
        let found = |netns| {
            let mut closers = Closers::default();
            closers.closed(OriginClosed { peer: local, origin, netns, ..origin_closed(1_499) });
            let mut case = Case::of_attempt(&attempt);
            closers.fill(&mut case);
            case.closed_by.is_some()
        };
        assert!(found(attempt.netns) && !found(attempt.netns + 1));
    }

    #[test]
    fn behind_a_translation_what_follows_at_once_belongs_together() {
        let origin: SocketAddr = "172.17.0.2:80".parse().expect("an address");
        let closed = |at| OriginClosed { origin, ..origin_closed(at) };
        assert_eq!(found(closed(1_499)), Some(4711));
        assert_eq!(found(closed(1_400)), None);
        let attempt = with_fin(unanswered_request(), 1_500);
        let mut closers = Closers::default();
        closers.closed(closed(1_499));
        closers.closed(OriginClosed {
            origin: "172.18.0.2:80".parse().expect("an address"),
            ..origin_closed(1_499)
        });
        let mut case = Case::of_attempt(&attempt);
        closers.fill(&mut case);
        assert_eq!(case.closed_by, None, "either may have been");
    }

    #[test]
    fn nothing_is_kept_for_ever() {
        let mut closers = Closers::default();
        for port in 0..2 * u16::try_from(MAX_CLOSED).expect("few") {
            let mut closed = origin_closed(499);
            closed.peer.set_port(port);
            closers.closed(closed);
        }
        assert_eq!(closers.ends.len(), MAX_CLOSED);
        assert_eq!(closers.lost.take().map(|(count, ..)| count), Some(MAX_CLOSED as u64));
    }
}
