//! Whether a request is under way on a TCP connection, from what the socket itself keeps: for connections on which nobody
//! watches what nginx sends and receives.
//!
//! The acknowledgement of a request that is not answered yet has the sequence number `rcv_nxt`; an answer carries or
//! follows the acknowledgement of its request, so that after it the last segment that acknowledged something lies before
//! `rcv_nxt`. At a FIN that is lost, since the FIN itself takes the last number: there, the ticks of the last send and of
//! the last receipt tell, and how much was sent.

/// When the facts were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// nginx closes, and the origin had not.
    Close,
    /// The origin's FIN has just arrived: it is counted in `rcv_nxt` and in `bytes_received`.
    Fin,
    /// A RST has just arrived; nothing of it is counted.
    Reset,
}

/// What the socket says of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnderWay {
    /// Nothing was ever sent.
    Unused,
    /// What was sent is answered, or nginx is in the middle of the answer.
    Answered,
    /// A request is under way.
    Unanswered,
    /// It looks as if a request were under way; bytes that are none (of HTTP/2, of TLS) look the same.
    PerhapsUnanswered,
    /// Both fit.
    Unknown,
}

/// What the socket keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketFacts {
    /// `snd_wl1`: sequence number of the last segment that acknowledged something or changed the window.
    pub snd_wl1: u32,
    /// `rcv_nxt`.
    pub rcv_nxt: u32,
    /// `rcv_wup`: what `rcv_nxt` was when a segment was last sent.
    pub rcv_wup: u32,
    /// Bytes that nginx wrote and that are not acknowledged: `write_seq` less `snd_una`.
    pub unacked: u32,
    /// `bytes_acked`; counts the SYN.
    pub bytes_acked: u64,
    /// `bytes_received`; counts the FIN.
    pub bytes_received: u64,
    /// Segments with data that were sent, those that were sent again counted.
    pub data_segs_out: u32,
    /// `lsndtime`, ticks.
    pub sent_ticks: u32,
    /// `lrcvtime`, ticks.
    pub received_ticks: u32,
    /// The tick at which the facts were read.
    pub now_ticks: u32,
    /// Microseconds since the segment was sent that `first_tx_mstamp` is about.
    pub sent_us_ago: u64,
}

/// A goodbye of TLS: an alert, encrypted, has 24 to 31 bytes. A request is longer.
pub const GOODBYE: u32 = 31;

/// What nginx sends in the breath in which it closes is a goodbye, or was sent for nothing: no timer of nginx is that
/// short. Microseconds.
const SAME_BREATH_US: u64 = 2_000;

/// So many ticks without a byte are a silence: 25 ms where the clock ticks 1000 times a second, 250 ms where it does 100
/// times.
const SILENT_TICKS: u32 = 25;

impl SocketFacts {
    /// Bytes that nginx ever wrote.
    #[must_use]
    #[inline(always)]
    pub const fn written(&self) -> u64 {
        self.bytes_acked.saturating_sub(1) + self.unacked as u64
    }

    /// Bytes that ever arrived, without the FIN.
    #[inline(always)]
    const fn received(&self, fin: bool) -> u64 {
        self.bytes_received.saturating_sub(fin as u64)
    }

    /// Nothing arrived for a while; no more than that if nothing ever did.
    #[must_use]
    #[inline(always)]
    pub const fn silent(&self) -> bool {
        self.now_ticks.wrapping_sub(self.received_ticks) > SILENT_TICKS
    }

    /// Data was sent in a later tick than it last arrived (1), in an earlier one (-1), or in the same (0).
    #[inline(always)]
    const fn sent_after_received(&self) -> i32 {
        self.sent_ticks.wrapping_sub(self.received_ticks).cast_signed().signum()
    }

    /// The rule.
    #[must_use]
    #[inline(always)]
    pub const fn under_way(&self, moment: Moment) -> UnderWay {
        if self.written() == 0 {
            return UnderWay::Unused;
        }
        match moment {
            Moment::Fin => self.at_fin(),
            Moment::Close => self.at_close(),
            Moment::Reset => self.at_reset(),
        }
    }

    /// The commonest of all at a FIN, from three facts only: one segment was sent and acknowledged, and something came for
    /// it.
    #[must_use]
    #[inline(always)]
    pub const fn one_exchange(unacked: u32, bytes_received: u64, data_segs_out: u32) -> bool {
        unacked == 0 && bytes_received > 1 && data_segs_out == 1
    }

    /// nginx closes.
    #[inline(always)]
    const fn at_close(&self) -> UnderWay {
        let goodbye = self.unacked <= GOODBYE && self.sent_us_ago < SAME_BREATH_US;
        if self.unacked > 0 && !goodbye {
            // The answer came while nginx was still sending.
            return if self.sent_after_received() < 0 && self.received(false) > 0 {
                UnderWay::Answered
            } else if self.unacked <= GOODBYE {
                UnderWay::PerhapsUnanswered
            } else {
                UnderWay::Unanswered
            };
        }
        if self.received(false) == 0 {
            return UnderWay::Unanswered;
        }
        // What came a moment ago was an answer, whatever was sent since: no timer of nginx is that short.
        if self.snd_wl1 == self.rcv_nxt && self.silent() {
            return UnderWay::PerhapsUnanswered;
        }
        UnderWay::Answered
    }

    /// A RST arrived.
    #[inline(always)]
    const fn at_reset(&self) -> UnderWay {
        if self.unacked > GOODBYE || self.received(false) == 0 {
            return UnderWay::Unanswered;
        }
        if self.unacked > 0 || self.snd_wl1 == self.rcv_nxt {
            return UnderWay::PerhapsUnanswered;
        }
        UnderWay::Answered
    }

    /// The FIN arrived.
    #[inline(always)]
    const fn at_fin(&self) -> UnderWay {
        if self.unacked > GOODBYE || self.received(true) == 0 {
            return UnderWay::Unanswered;
        }
        if self.unacked > 0 {
            return UnderWay::PerhapsUnanswered;
        }
        match self.sent_after_received() {
            1 => UnderWay::PerhapsUnanswered,
            -1 => UnderWay::Answered,
            // Data arrived since a segment was last sent; or one segment was sent, and something came for it.
            _ if self.rcv_wup.wrapping_add(1) != self.rcv_nxt || self.data_segs_out == 1 => {
                UnderWay::Answered
            }
            _ => UnderWay::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UnderWay::{Answered, PerhapsUnanswered, Unanswered, Unknown, Unused};
    use super::*;

    const NOW: u32 = 10;

    /// Request and answer of 40 bytes each, a second ago and in one tick; `wl1` is `snd_wl1` less `rcv_nxt`, `ticks` is
    /// the time from the last receipt to the last send.
    fn facts(wl1: i32, unacked: u32, received: u64, ticks: i32) -> SocketFacts {
        let received_ticks = NOW.wrapping_sub(250);
        SocketFacts {
            snd_wl1: 5u32.wrapping_add_signed(wl1),
            rcv_nxt: 5,
            rcv_wup: 4,
            unacked,
            bytes_acked: 1 + 40,
            bytes_received: received,
            data_segs_out: 3,
            sent_ticks: received_ticks.wrapping_add_signed(ticks),
            received_ticks,
            now_ticks: NOW,
            sent_us_ago: 1_000_000,
        }
    }

    /// Every row was measured: `lsndtime` and `lrcvtime` as they stood, sequence numbers as they wrapped.
    #[test]
    fn each_row_that_was_measured() {
        let table = [
            ("the pool closes an idle connection", Moment::Close, facts(-40, 0, 40, -1), Answered),
            ("the same after three requests", Moment::Close, facts(-40, 0, 120, 0), Answered),
            ("the same after 300 kB", Moment::Close, facts(-32_163, 0, 300_043, 0), Answered),
            ("the same after an upload", Moment::Close, facts(-40, 0, 40, -1), Answered),
            ("a timeout on a used connection", Moment::Close, facts(0, 0, 120, 0), PerhapsUnanswered),
            ("a timeout of the first request", Moment::Close, facts(0, 0, 0, 0), Unanswered),
            ("a timeout after an upload", Moment::Close, facts(0, 0, 40, 9), PerhapsUnanswered),
            ("a request that is not acknowledged", Moment::Close, facts(-40, 500, 120, 0), Unanswered),
            ("RST, request not acknowledged", Moment::Reset, facts(-40, 100, 120, 0), Unanswered),
            ("RST instead of the first answer", Moment::Reset, facts(0, 0, 0, 0), Unanswered),
            ("RST instead of a later answer", Moment::Reset, facts(0, 0, 120, 0), PerhapsUnanswered),
            ("RST, idle", Moment::Reset, facts(-40, 0, 120, 0), Answered),
            ("FIN, idle after fast answers", Moment::Fin, facts(-1, 0, 41, 0), Unknown),
            ("FIN instead of a later answer", Moment::Fin, facts(-1, 0, 121, 0), Unknown),
            ("FIN instead of the first answer", Moment::Fin, facts(-1, 0, 1, 0), Unanswered),
            ("FIN, idle after a slow answer", Moment::Fin, facts(-1, 0, 41, -3), Answered),
            ("FIN instead of an answer, a tick later", Moment::Fin, facts(-1, 0, 121, 1), PerhapsUnanswered),
            ("FIN, request not acknowledged", Moment::Fin, facts(-1, 300, 121, 0), Unanswered),
        ];
        for (name, moment, facts, expected) in table {
            assert_eq!(facts.under_way(moment), expected, "{name}");
        }
    }

    #[test]
    fn a_connection_that_was_never_used() {
        let unused = SocketFacts { bytes_acked: 1, ..facts(-1, 0, 0, 0) };
        for moment in [Moment::Close, Moment::Fin, Moment::Reset] {
            assert_eq!(unused.under_way(moment), Unused);
        }
    }

    #[test]
    fn a_fin_behind_its_answer_is_known_by_what_was_not_sent_since() {
        let fin = facts(-1, 0, 41, 0);
        assert_eq!(SocketFacts { rcv_wup: 3, ..fin }.under_way(Moment::Fin), Answered);
        assert_eq!(SocketFacts { data_segs_out: 1, ..fin }.under_way(Moment::Fin), Answered);
    }

    #[test]
    fn one_exchange_is_what_the_rule_says() {
        for (unacked, received, segments) in [(0, 41, 1), (0, 1, 1), (40, 41, 1), (0, 41, 2), (0, 0, 1)] {
            let fin = SocketFacts { data_segs_out: segments, ..facts(-1, unacked, received, 0) };
            let says = fin.under_way(Moment::Fin) == Answered;
            assert_eq!(SocketFacts::one_exchange(unacked, received, segments), says, "{fin:?}");
        }
    }

    #[test]
    fn a_goodbye_of_tls_is_no_request() {
        let goodbye = |us| SocketFacts { sent_us_ago: us, ..facts(-40, 31, 120, 9) };
        assert_eq!(goodbye(100).under_way(Moment::Close), Answered);
        assert_eq!(goodbye(100_000).under_way(Moment::Close), PerhapsUnanswered);
        // Acknowledged at once, after an answer that came just now.
        let now = SocketFacts { received_ticks: NOW.wrapping_sub(1), ..facts(0, 0, 120, 0) };
        assert_eq!(now.under_way(Moment::Close), Answered);
        // After a timeout.
        assert_eq!(facts(0, 31, 120, 250).under_way(Moment::Close), PerhapsUnanswered);
    }

    #[test]
    fn an_answer_that_came_while_nginx_was_sending() {
        assert_eq!(facts(-40, 90_000, 120, -2).under_way(Moment::Close), Answered);
        assert_eq!(facts(-40, 90_000, 0, -2).under_way(Moment::Close), Unanswered);
    }
}
