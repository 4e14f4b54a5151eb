//! What becomes of an attempt at its end: one rule for every place that sees an end.
//!
//! The kernel side asks it when a hook sees the end (TCP and unix sockets alike) and when it finds a unix socket
//! replaced; user space asks it for unix connections whose end no hook saw. Plain integers, no allocation, no panic:
//! the verifier of old kernels walks through every branch of it.

use crate::numbered::numbered;
use crate::{End, Record, flags};

numbered! {
    /// What becomes of the record of an attempt that has ended. Only what is provably healthy, or was ended by the
    /// client or by the exit of the worker, stays in the kernel.
    pub enum Disposition: u8, from_u8 {
        /// Counted only.
        Healthy = 0,
        /// Counted only: nobody waits for a response any more.
        Aborted = 1,
        /// Sent to user space, which judges it.
        Report = 2,
        /// Healthy, unless nginx closes the connection to the client next: then the response had stalled.
        Defer = 3,
        /// Healthy or aborted, but reported to be in trouble before: its end is sent, too.
        ReportEnd = 4,
    }
}

/// nginx reads from a client and acts on it in one iteration of its event loop: what happens within this time after a
/// client spoke happens because of that client. Nanoseconds.
pub const EVENT_LOOP_NS: u64 = 2_000_000;

/// A response that paused for longer than this before nginx closed may have stalled. A pooled connection that nginx
/// closes because it was idle looks the same until nginx's next step is seen. Nanoseconds.
const STALL_NS: u64 = 100_000_000;

/// What a client says this soon after the attempt began belongs to the request that the attempt is for. Nanoseconds.
const SAME_REQUEST_NS: u64 = 1_000_000;

/// What the rule rests on.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndFacts {
    /// Bits of [`crate::flags`].
    pub flags: u32,
    /// nginx itself called `close()`: [`End::Closed`].
    pub closed_by_nginx: bool,
    /// Requests that were sent on the connection.
    pub requests: u32,
    /// `sk_err`, positive errno; 0 if none.
    pub error: u32,
    /// `sk_err_soft`, positive errno; 0 if none.
    pub soft_error: u32,
    /// Bytes that arrived and that nginx did not read, the FIN not counted.
    pub unread: u32,
    /// Time since bytes last arrived, nanoseconds.
    pub idle_ns: u64,
}

impl EndFacts {
    /// Those of a record, whose `end` is set.
    #[must_use]
    #[inline(always)]
    pub const fn of(record: &Record, now_ns: u64) -> Self {
        Self {
            flags: record.flags,
            closed_by_nginx: record.end == End::Closed as u8,
            requests: record.requests,
            error: record.tcp.err,
            soft_error: record.tcp.err_soft,
            unread: record.tcp.unread(record.flags & flags::FIN_RECEIVED != 0),
            idle_ns: now_ns.wrapping_sub(record.last_recv_ns),
        }
    }

    /// Whether one of these bits is set.
    #[inline(always)]
    const fn has(&self, bits: u32) -> bool {
        self.flags & bits != 0
    }

    /// The rule.
    #[must_use]
    #[inline(always)]
    pub const fn disposition(&self) -> Disposition {
        if self.has(flags::CLIENT_GONE) {
            return Disposition::Aborted;
        }
        if !self.has(flags::ESTABLISHED) || self.has(flags::TLS_HANDSHAKE) {
            return Disposition::Report;
        }
        if self.has(flags::BY_SOCKET) {
            return self.by_socket();
        }
        if self.has(flags::RESET_RECEIVED) || self.error != 0 {
            return if self.reset_hurts() { Disposition::Report } else { Disposition::Healthy };
        }
        if self.has(flags::SENT_AFTER_FIN) || self.unix_peer_closed() {
            return Disposition::Report;
        }
        if self.has(flags::OUTSTANDING) {
            return if self.left_unread() { Disposition::Healthy } else { Disposition::Report };
        }
        if self.has(flags::FIN_RECEIVED) {
            // The origin closed a new connection before nginx sent a request.
            let unused = self.requests == 0 && self.has(flags::READ_EOF);
            return if unused { Disposition::Report } else { Disposition::Healthy };
        }
        if self.requests > 0
            && self.closed_by_nginx
            && self.has(flags::CLIENT_KNOWN)
            && self.idle_ns > STALL_NS
        {
            return Disposition::Defer;
        }
        Disposition::Healthy
    }

    /// The rule where nobody watched what nginx sent and received. What looks healthy and may not be is sent all the same:
    /// nginx's line may say that it was not.
    #[inline(always)]
    const fn by_socket(&self) -> Disposition {
        if self.has(flags::OUTSTANDING) {
            return if self.left_unread() { Disposition::Healthy } else { Disposition::Report };
        }
        let ended = self.has(flags::RESET_RECEIVED | flags::FIN_RECEIVED) || self.error != 0;
        if ended && self.requests == 0 && !self.has(flags::UNIX) {
            return Disposition::Report;
        }
        let stalled = self.closed_by_nginx && self.has(flags::SILENT) && self.requests > 0;
        if self.has(flags::RESET_RECEIVED) || self.error != 0 || stalled {
            return Disposition::ReportEnd;
        }
        Disposition::Healthy
    }

    /// The peer of a pooled unix connection had closed it: there is no FIN to see, only `EPIPE`. Had nginx been in the
    /// middle of a request, an earlier send would have found the buffer full.
    #[inline(always)]
    const fn unix_peer_closed(&self) -> bool {
        self.has(flags::UNIX) && self.has(flags::SEND_ERROR) && !self.has(flags::SEND_BLOCKED)
    }

    /// The response had arrived, and nginx closed without reading it: nginx no longer needed it.
    #[inline(always)]
    const fn left_unread(&self) -> bool {
        let looked = flags::READ_EOF | flags::SEND_ERROR | flags::SEND_BLOCKED | flags::RECV_ERROR;
        !self.has(flags::UNIX | looked) && self.unread > 0 && self.closed_by_nginx
    }

    /// A reset matters only if nginx needed the connection.
    #[inline(always)]
    const fn reset_hurts(&self) -> bool {
        let in_use = flags::OUTSTANDING | flags::SEND_ERROR | flags::RECV_ERROR | flags::SENT_AFTER_FIN;
        self.has(in_use) || self.requests == 0 || self.has(flags::ERROR_FETCHED)
    }

    /// Whether the connection was dead before nginx could send a request on it.
    #[must_use]
    #[inline(always)]
    pub const fn found_dead(&self) -> bool {
        let refused = self.has(flags::UNIX) && self.has(flags::SEND_ERROR);
        let reset = self.has(flags::RESET_RECEIVED) && !self.has(flags::RECV_ERROR);
        self.requests > 0 && !self.has(flags::OUTSTANDING) && (refused || reset)
    }

    /// Whether nginx closed without having learnt of an end. (A FIN that it has not read counts for nothing.)
    #[must_use]
    #[inline(always)]
    pub const fn gave_up(&self) -> bool {
        let ended =
            flags::RESET_RECEIVED | flags::ICMP | flags::READ_EOF | flags::SEND_ERROR | flags::RECV_ERROR;
        self.closed_by_nginx && !self.has(ended) && self.error == 0 && self.soft_error == 0
    }
}

/// Whether a client that spoke at `spoke_ns` explains why nginx closes an attempt now; `begun_ns` is when the attempt, or
/// its current request, began.
#[must_use]
#[inline(always)]
pub const fn client_spoke(spoke_ns: u64, begun_ns: u64, now_ns: u64) -> bool {
    now_ns.wrapping_sub(spoke_ns) < EVENT_LOOP_NS && spoke_ns > begun_ns + SAME_REQUEST_NS
}

impl Record {
    /// Whether nginx learnt that this unix connection is over, so that it has closed it, or will at once. Only for
    /// those that are told from the next socket in the same memory.
    #[must_use]
    #[inline(always)]
    pub const fn learnt_of_end(&self) -> bool {
        let over = flags::READ_EOF | flags::SEND_ERROR | flags::RECV_ERROR | flags::IDLE_PROBE;
        self.flags & flags::UNIX != 0 && self.sock_inode != 0 && self.flags & over != 0
    }

    /// How a unix connection ended whose end no hook saw.
    #[must_use]
    #[inline(always)]
    pub const fn unseen_end(&self) -> End {
        if self.learnt_of_end() { End::Closed } else { End::Vanished }
    }
}

#[cfg(test)]
mod tests {
    use super::Disposition::{Aborted, Defer, Healthy, Report, ReportEnd};
    use super::*;
    use crate::flags::{
        BY_SOCKET, CLIENT_GONE, CLIENT_KNOWN, ERROR_FETCHED, ESTABLISHED, FIN_RECEIVED, ICMP, IDLE_PROBE,
        IN_DOUBT, OUTSTANDING, READ_EOF, RECV_ERROR, RESET_RECEIVED, SEND_BLOCKED, SEND_ERROR,
        SENT_AFTER_FIN, SILENT, TLS, TLS_HANDSHAKE, UNIX,
    };

    const MS: u64 = 1_000_000;

    /// nginx closed after one request.
    fn closed(flags: u32) -> EndFacts {
        EndFacts { flags, closed_by_nginx: true, requests: 1, ..EndFacts::default() }
    }

    /// The socket was destroyed after one request.
    fn broken(flags: u32) -> EndFacts {
        EndFacts { closed_by_nginx: false, ..closed(flags) }
    }

    #[test]
    fn each_end_has_its_disposition() {
        let open = ESTABLISHED;
        let new = |flags| EndFacts { requests: 0, ..closed(flags) };
        let idle = |flags, idle_ns| EndFacts { idle_ns, ..closed(flags) };
        let table = [
            ("the client left", closed(open | OUTSTANDING | CLIENT_GONE), Aborted),
            ("the client left during connect", new(CLIENT_GONE), Aborted),
            ("no handshake", new(0), Report),
            ("a TLS handshake without an end", new(open | TLS | TLS_HANDSHAKE), Report),
            ("answered, then closed", closed(open), Healthy),
            ("answered over TLS, then closed", closed(open | TLS), Healthy),
            ("no response", closed(open | OUTSTANDING), Report),
            ("no response, destroyed", broken(open | OUTSTANDING), Report),
            ("opened and never used", new(open), Healthy),
            ("closed by the origin before any request", new(open | FIN_RECEIVED | READ_EOF), Report),
            ("closed by the origin, unnoticed", new(open | FIN_RECEIVED), Healthy),
            ("closed by the origin after a response", closed(open | FIN_RECEIVED | READ_EOF), Healthy),
            ("closed by the origin instead of a response", closed(open | FIN_RECEIVED | OUTSTANDING), Report),
            ("sent after the FIN", closed(open | FIN_RECEIVED | SENT_AFTER_FIN), Report),
            ("paused, client known", idle(open | CLIENT_KNOWN, 101 * MS), Defer),
            ("paused too briefly", idle(open | CLIENT_KNOWN, 100 * MS), Healthy),
            ("paused, client unknown", idle(open, 101 * MS), Healthy),
            (
                "paused, not closed by nginx",
                EndFacts { idle_ns: MS << 10, ..broken(open | CLIENT_KNOWN) },
                Healthy,
            ),
            (
                "paused before the first request",
                EndFacts { idle_ns: MS << 10, ..new(open | CLIENT_KNOWN) },
                Healthy,
            ),
        ];
        for (name, facts, expected) in table {
            assert_eq!(facts.disposition(), expected, "{name}");
        }
    }

    #[test]
    fn a_reset_matters_if_nginx_needed_the_connection() {
        let reset = ESTABLISHED | RESET_RECEIVED;
        for (name, facts, expected) in [
            ("idle in the pool", broken(reset), Healthy),
            ("found by a request", broken(reset | ERROR_FETCHED), Report),
            ("instead of a response", broken(reset | OUTSTANDING), Report),
            ("in the middle of a response", broken(reset | RECV_ERROR), Report),
            ("while sending", broken(reset | SEND_ERROR), Report),
            ("after the FIN", broken(reset | SENT_AFTER_FIN), Report),
            ("before any request", EndFacts { requests: 0, ..broken(reset) }, Report),
            ("an error without a RST, idle", EndFacts { error: 110, ..broken(ESTABLISHED) }, Healthy),
            ("an error without a RST", EndFacts { error: 110, ..broken(ESTABLISHED | OUTSTANDING) }, Report),
        ] {
            assert_eq!(facts.disposition(), expected, "{name}");
        }
    }

    #[test]
    fn a_response_that_nginx_left_unread_is_healthy() {
        let unread = |flags| EndFacts { unread: 5, ..closed(ESTABLISHED | OUTSTANDING | flags) };
        assert_eq!(unread(0).disposition(), Healthy);
        for flag in [READ_EOF, SEND_ERROR, SEND_BLOCKED, RECV_ERROR, UNIX] {
            assert_eq!(unread(flag).disposition(), Report, "{flag:#x}");
        }
        assert_eq!(EndFacts { closed_by_nginx: false, ..unread(0) }.disposition(), Report);
        assert_eq!(EndFacts { unread: 0, ..unread(0) }.disposition(), Report);
    }

    #[test]
    fn where_nobody_watched_sends_and_receives_the_socket_decides() {
        let open = ESTABLISHED | BY_SOCKET;
        let new = |flags| EndFacts { requests: 0, ..closed(flags) };
        for (name, facts, expected) in [
            ("answered", closed(open), Healthy),
            ("answered over a unix socket", closed(open | UNIX), Healthy),
            ("answered, then closed by the origin", closed(open | FIN_RECEIVED), Healthy),
            ("answered, then reset: a line may tell", broken(open | RESET_RECEIVED), ReportEnd),
            ("silent for long: a line may tell", closed(open | SILENT), ReportEnd),
            ("under way", closed(open | OUTSTANDING), Report),
            ("perhaps under way", closed(open | OUTSTANDING | IN_DOUBT), Report),
            ("reset instead of a response", broken(open | RESET_RECEIVED | OUTSTANDING), Report),
            ("closed instead of a response", closed(open | FIN_RECEIVED | OUTSTANDING), Report),
            ("sent after the FIN", closed(open | FIN_RECEIVED | SENT_AFTER_FIN | OUTSTANDING), Report),
            ("opened and never used", new(open), Healthy),
            ("closed by the origin before any request", new(open | FIN_RECEIVED), Report),
            ("reset before any request", EndFacts { requests: 0, ..broken(open | RESET_RECEIVED) }, Report),
            ("left unread", EndFacts { unread: 5, ..closed(open | OUTSTANDING) }, Healthy),
        ] {
            assert_eq!(facts.disposition(), expected, "{name}");
        }
    }

    #[test]
    fn a_unix_connection_that_was_dead_is_reported_however_its_end_was_seen() {
        let refused = UNIX | ESTABLISHED | SEND_ERROR;
        for facts in [closed(refused), broken(refused)] {
            assert_eq!(facts.disposition(), Report);
            assert!(facts.found_dead());
        }
        // The origin answered before it had read all of the request.
        assert_eq!(closed(refused | SEND_BLOCKED).disposition(), Healthy);
        assert_eq!(closed(UNIX | ESTABLISHED).disposition(), Healthy);
        assert_eq!(broken(UNIX | ESTABLISHED | OUTSTANDING).disposition(), Report);
    }

    #[test]
    fn found_dead_only_without_a_request_under_way() {
        let reset = ESTABLISHED | RESET_RECEIVED;
        for (facts, expected) in [
            (broken(reset), true),
            (broken(reset | OUTSTANDING), false),
            (broken(reset | RECV_ERROR), false),
            (EndFacts { requests: 0, ..broken(reset) }, false),
            (closed(ESTABLISHED | SEND_ERROR), false),
        ] {
            assert_eq!(facts.found_dead(), expected, "{facts:?}");
        }
    }

    #[test]
    fn nginx_gave_up_if_nothing_ended_the_connection() {
        assert!(closed(ESTABLISHED | OUTSTANDING).gave_up());
        assert!(closed(ESTABLISHED | OUTSTANDING | FIN_RECEIVED).gave_up());
        assert!(!broken(ESTABLISHED | OUTSTANDING).gave_up());
        for flag in [RESET_RECEIVED, ICMP, READ_EOF, SEND_ERROR, RECV_ERROR] {
            assert!(!closed(ESTABLISHED | OUTSTANDING | flag).gave_up(), "{flag:#x}");
        }
        assert!(!EndFacts { error: 110, ..closed(ESTABLISHED) }.gave_up());
        assert!(!EndFacts { soft_error: 113, ..closed(0) }.gave_up());
    }

    #[test]
    fn a_client_that_speaks_in_the_same_iteration_explains_the_close() {
        let begun = 1_000 * MS;
        for (spoke, now, expected) in [
            (begun + 500 * MS, begun + 501 * MS, true),
            (begun + 500 * MS, begun + 502 * MS, false),
            // That is what the attempt is for.
            (begun + MS, begun + 2 * MS, false),
            (begun - MS, begun, false),
        ] {
            assert_eq!(client_spoke(spoke, begun, now), expected, "{spoke} {now}");
        }
    }

    #[test]
    fn an_end_that_no_hook_saw() {
        let record = |flags, sock_inode| Record { sock_inode, flags, ..Record::ZERO };
        for flag in [READ_EOF, SEND_ERROR, RECV_ERROR, IDLE_PROBE] {
            assert_eq!(record(UNIX | flag, 7).unseen_end(), End::Closed, "{flag:#x}");
            assert_eq!(record(UNIX | flag, 0).unseen_end(), End::Vanished, "{flag:#x}");
            assert_eq!(record(flag, 7).unseen_end(), End::Vanished, "{flag:#x}");
        }
        assert_eq!(record(UNIX | OUTSTANDING, 7).unseen_end(), End::Vanished);
    }

    #[test]
    fn the_facts_of_a_record() {
        let mut record = Record { flags: FIN_RECEIVED, requests: 3, last_recv_ns: 10, ..Record::ZERO };
        record.end = End::Closed as u8;
        (record.tcp.rcv_nxt, record.tcp.copied_seq) = (4, u32::MAX);
        (record.tcp.err, record.tcp.err_soft) = (104, 113);
        let facts = EndFacts::of(&record, 25);
        assert!(facts.closed_by_nginx);
        assert_eq!((facts.requests, facts.unread, facts.idle_ns), (3, 4, 15));
        assert_eq!((facts.error, facts.soft_error), (104, 113));
        record.tcp.copied_seq = 4;
        assert_eq!(EndFacts::of(&record, 25).unread, 0);
    }
}
