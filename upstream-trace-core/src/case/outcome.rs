//! How far an attempt came, how it ended, and whether that is a failure at all.

use super::Case;
use crate::errno;
use crate::errorlog::Kind;
use crate::event::{BenignEnd, Ended, Nanos, SECOND};
use crate::verdict::Phase;

/// Bytes of a TLS alert, encrypted.
const LONGEST_GOODBYE: u32 = 64;

/// Bytes of the shortest frame of HTTP/2. A FIN alone counts as one byte received.
const FRAME_HEADER: u64 = 9;

impl Case<'_> {
    /// It is not over.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.attempt.pending()
    }

    /// TCP, and the handshake never finished (nor failed inside `connect()`).
    #[must_use]
    pub fn connecting(&self) -> bool {
        self.connect.is_none() && self.attempt.connecting()
    }

    /// A request is out and nothing of an answer was read.
    #[must_use]
    pub fn awaiting(&self) -> bool {
        self.connect.is_none()
            && !self.connecting()
            && self.attempt.outstanding
            && self.attempt.bytes_received == 0
    }

    /// Bytes of an answer were seen, and nothing else can be taken for them: not what TLS or HTTP/2 says of a connection.
    #[must_use]
    pub fn answer_began(&self) -> bool {
        let attempt = &self.attempt;
        attempt.bytes_received > 0 && !attempt.by_socket && !self.maybe_ticket()
    }

    /// Bytes came on a new connection and are no answer of HTTP/1: they were taken for what HTTP/2 says of the connection. And
    /// nginx, which logs each close before an answer, has logged none.
    #[must_use]
    pub fn only_frames_came(&self) -> bool {
        let (attempt, socket) = (&self.attempt, &self.attempt.socket);
        self.tcp()
            && self.log_kind().is_none()
            && attempt.outstanding
            && attempt.bytes_received == 0
            && !(attempt.by_socket || attempt.adopted || attempt.tls || attempt.reused)
            && socket.unread == 0
            && socket.received >= FRAME_HEADER
    }

    /// Nobody watched what came, and the socket says that something did after the request.
    #[must_use]
    pub fn answer_by_socket(&self) -> bool {
        let attempt = &self.attempt;
        attempt.by_socket && attempt.socket.received > 0 && !attempt.outstanding
    }

    /// All that nginx wrote was acknowledged. Always so for unix sockets.
    #[must_use]
    pub fn request_acked(&self) -> bool {
        // nginx's own goodbye over TLS is on its way when it closes.
        let goodbye = if self.nginx_closed_first() { LONGEST_GOODBYE } else { 0 };
        self.attempt.socket.unacked <= goodbye
            && self.attempt.socket.unsent == 0
            && !self.attempt.send_blocked
    }

    /// When the other side reset the connection.
    #[must_use]
    pub fn reset_at(&self) -> Option<Nanos> {
        self.attempt.reset_at()
    }

    /// When the other side closed in order.
    #[must_use]
    pub fn fin_at(&self) -> Option<Nanos> {
        self.attempt.fin_at()
    }

    /// When the other side ended it, in order or not.
    #[must_use]
    pub fn ended_by_origin(&self) -> Option<Nanos> {
        self.attempt.ended_by_origin()
    }

    /// Nothing came from the other side that ended it: no reset, no close, no ICMP error, no error but a timeout.
    #[must_use]
    pub fn silent(&self) -> bool {
        self.attempt.silent_with(self.errno())
    }

    /// nginx closed a connection that nothing had ended: its timer ran out.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.attempt.gave_up_with(self.errno())
    }

    /// nginx closed in the middle of the TLS handshake, and nothing had come that would have made it do so.
    #[must_use]
    pub fn timed_out_in_handshake(&self) -> bool {
        self.in_tls_handshake()
            && self.gave_up()
            && self.alert().is_none()
            && self.nginx_alert().is_none()
            && self.non_tls_prefix().is_none()
            && (self.attempt.outstanding || self.slow_failure())
    }

    /// Somebody said that nobody listens: a RST in answer to the SYN, or for a unix socket the kernel.
    #[must_use]
    pub fn refused(&self) -> bool {
        let by_kernel = matches!(self.unix_connect_errno(), Some(errno::ECONNREFUSED | errno::ENOENT));
        by_kernel || (self.connecting() && self.reset_at().is_some())
    }

    /// Something from the other side, or in its name, ended it.
    #[must_use]
    pub fn answered_or_refused(&self) -> bool {
        !self.silent() || self.attempt.bytes_received > 0
    }

    /// It took longer than any round trip: the time in which a neighbour is given up.
    #[must_use]
    pub fn slow_failure(&self) -> bool {
        self.duration() >= SECOND
    }

    /// In trouble for as long as `--slow` (or found so at the start), or given up.
    #[must_use]
    pub fn overdue(&self) -> bool {
        self.gave_up()
            || self.attempt.ended == Ended::Broken
            || (self.pending() && (self.attempt.adopted || self.duration() >= self.slow))
    }

    /// The errno that the attempt ended with, or that `connect()` gave.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self.connect {
            Some(error) => Some(error.errno),
            None => self.errno_by_log().or_else(|| self.attempt.errno()).or_else(|| self.errno_unseen()),
        }
    }

    /// The errno of a failed `connect()` that nobody but nginx saw: an answer came that no hook told of, or its record lost it.
    #[must_use]
    pub fn errno_unseen(&self) -> Option<i32> {
        let seen = self.connect.is_some() || self.attempt.errno().is_some();
        if seen || !self.connecting() || self.attempt.ended != Ended::Broken {
            return None;
        }
        self.log.filter(|_| self.log_kind() == Some(Kind::Connect)).and_then(|line| line.errno)
    }

    /// What nginx answers the client: 504 if its timer ran out, else 502; nothing more once the answer has begun.
    /// nginx's line knows better.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        if self.attempt.error_status.is_some() {
            return self.attempt.error_status;
        }
        if self.log_kind().is_some() {
            return self.status_by_log();
        }
        if let Some(lookup) = self.lookup {
            return (lookup.for_client && !self.pending()).then_some(502);
        }
        // Bytes of a handshake are no answer.
        if self.in_tls_handshake() && !self.pending() {
            return Some(if self.timed_out_in_handshake() { 504 } else { 502 });
        }
        let begun = self.attempt.bytes_received > 0 || self.attempt.answer.is_some();
        if self.pending() || (begun && !self.dead_in_pool()) {
            return None;
        }
        Some(if self.gave_up() { 504 } else { 502 })
    }

    /// Where it stands or stood.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if let Some(phase) = self.phase_by_log() {
            return phase;
        }
        let attempt = &self.attempt;
        if self.connect.is_some() || attempt.no_local_port || self.connecting() {
            return Phase::Connect;
        }
        if self.in_tls_handshake() {
            return Phase::Tls;
        }
        if attempt.bytes_received > 0 {
            return if self.dead_in_pool() { Phase::Send } else { Phase::Receive };
        }
        match attempt.request {
            None if self.unix() || attempt.requests == 0 => Phase::Connect,
            // For nginx a request is sent once the kernel has taken it.
            Some(_) if attempt.send_error || attempt.send_blocked => Phase::Send,
            Some(_) if attempt.outstanding => Phase::Wait,
            _ => Phase::Idle,
        }
    }

    /// Whether the attempt, ended, was no failure of the upstream.
    #[must_use]
    pub fn benign_end(&self) -> Option<BenignEnd> {
        if self.connect.is_some() { None } else { self.attempt.benign_end(self.slow) }
    }

    /// It was reset while it lay in nginx's pool, and nginx then took it for a request and found the error.
    #[must_use]
    pub fn reset_in_pool(&self) -> bool {
        self.attempt.reset_in_pool()
    }

    /// It was over while it lay in nginx's pool, and nginx took it for a request all the same.
    #[must_use]
    pub fn dead_in_pool(&self) -> bool {
        self.attempt.dead_in_pool()
    }

    /// The answer had begun, and nothing more came for a second or longer although nginx had read all there was. Its timer
    /// counts from when its turn began, which on a busy host is a while before it read.
    #[must_use]
    pub fn stalled(&self) -> bool {
        self.attempt.stalled(self.slow)
    }

    /// The handshake finished only after a second, and nginx closed without using the connection.
    #[must_use]
    pub fn connected_late(&self) -> bool {
        self.attempt.connected_late()
    }
}
