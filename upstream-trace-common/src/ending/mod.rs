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
    /// Whether this record, in which nothing but one answered exchange and then the origin's FIN was noted, is healthy if
    /// nginx closes the connection now without having sent anything since. The commonest end of a connection that is not
    /// kept; the whole rule says the same.
    #[must_use]
    #[inline(always)]
    pub const fn was_answered_and_ended(&self) -> bool {
        const NOTED: u32 = flags::ESTABLISHED | flags::FIN_RECEIVED | flags::BY_SOCKET | flags::DECIDED;
        self.flags & !flags::BORN_BY_STATE == NOTED && self.requests > 0 && self.tcp.err == 0
    }

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
mod tests;
