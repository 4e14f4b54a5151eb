//! How far an attempt came, how it ended, and whether that is a failure at all.

use super::Case;
use crate::errno;
use crate::event::SECOND;
use crate::event::{Ended, Nanos, Step};
use crate::verdict::Phase;

/// Why an ended attempt is no failure of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenignEnd {
    /// The answer came, or the connection was idle.
    Answered,
    /// The client went away first.
    ClientGone,
    /// nginx was exiting.
    WorkerExit,
    /// It is over; nobody saw how.
    Vanished,
}

impl BenignEnd {
    /// For [`crate::verdict::Resolved::how`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ClientGone => "client-gone",
            Self::WorkerExit => "worker-exit",
            Self::Vanished => "vanished",
        }
    }
}

/// Bytes of a TLS alert, encrypted.
const LONGEST_GOODBYE: u32 = 64;

impl Case<'_> {
    /// It is not over.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.attempt.ended == Ended::Open
    }

    /// TCP, and the handshake never finished (nor failed inside `connect()`).
    #[must_use]
    pub fn connecting(&self) -> bool {
        self.tcp()
            && self.connect.is_none()
            && self.attempt.established.is_none()
            && !self.attempt.no_local_port
    }

    /// A request is out and nothing of an answer was read.
    #[must_use]
    pub fn awaiting(&self) -> bool {
        self.connect.is_none()
            && !self.connecting()
            && self.attempt.outstanding
            && self.attempt.bytes_received == 0
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
        let reset = self.attempt.reset.or_else(|| {
            self.step(|step| {
                matches!(
                    step,
                    Step::Reset { .. }
                        | Step::Error { errno: errno::ECONNRESET }
                        | Step::RecvError { errno: errno::ECONNRESET }
                )
            })
        });
        reset.filter(|at| self.nginx_close_notify().is_none_or(|goodbye| *at < goodbye))
    }

    /// When the other side closed in order.
    #[must_use]
    pub fn fin_at(&self) -> Option<Nanos> {
        let fin = self.attempt.fin.or_else(|| self.step(|step| matches!(step, Step::Fin { .. } | Step::Eof)));
        fin.filter(|at| self.nginx_close_notify().is_none_or(|goodbye| *at < goodbye))
    }

    /// When the other side ended it, in order or not.
    #[must_use]
    pub fn ended_by_origin(&self) -> Option<Nanos> {
        self.fin_at().into_iter().chain(self.reset_at()).min()
    }

    /// Nothing came from the other side that ended it: no reset, no close, no ICMP error, no error but a timeout.
    #[must_use]
    pub fn silent(&self) -> bool {
        self.reset_at().is_none()
            && self.fin_at().is_none()
            && self.icmp().is_none()
            && (self.nginx_closed_first() || self.errno().is_none_or(|errno| errno == errno::ETIMEDOUT))
    }

    /// nginx closed a connection that nothing had ended: its timer ran out.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        (self.attempt.ended == Ended::ClosedByNginx || self.nginx_closed_first())
            && self.silent()
            && !self.attempt.send_error
            && !self.attempt.recv_error
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
        let attempt = &self.attempt;
        if let Some(error) = self.connect {
            return Some(error.errno);
        }
        if let Some(errno) = self.errno_by_log() {
            return Some(errno);
        }
        if attempt.no_local_port {
            return Some(errno::EADDRNOTAVAIL);
        }
        let last = attempt.trail.iter().rev().find_map(|moment| match moment.step {
            Step::Error { errno } | Step::SendError { errno } | Step::RecvError { errno } if errno != 0 => {
                Some(errno.abs())
            }
            _ => None,
        });
        let positive = |errno: i32| (errno != 0).then_some(errno.abs());
        // On an established connection a soft error wakes nobody; while connecting it is what nginx gets.
        let refused = (self.connecting() && attempt.reset.is_some()).then_some(errno::ECONNREFUSED);
        last.or(refused)
            .or_else(|| positive(attempt.socket.error))
            .or_else(|| {
                attempt.icmp.as_ref().filter(|_| self.connecting()).and_then(|icmp| positive(icmp.errno))
            })
            .or_else(|| positive(attempt.socket.soft_error).filter(|_| self.connecting()))
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
        let attempt = &self.attempt;
        if self.connect.is_some() || attempt.no_local_port || self.pending() {
            return None;
        }
        if !self.broke() {
            if attempt.client_gone {
                return Some(BenignEnd::ClientGone);
            }
            if attempt.worker_exiting {
                return Some(BenignEnd::WorkerExit);
            }
            if attempt.ended == Ended::Vanished {
                return Some(BenignEnd::Vanished);
            }
        }
        if self.connecting() || self.in_tls_handshake() {
            return None;
        }
        if attempt.idle_probe {
            return Some(BenignEnd::Answered);
        }
        (!attempt.outstanding && !self.failed_without_request()).then_some(BenignEnd::Answered)
    }

    /// The other side, or an error, ended what was under way.
    fn broke(&self) -> bool {
        let under_way = self.attempt.outstanding || self.connecting();
        under_way && (self.reset_at().is_some() || self.fin_at().is_some() || self.errno().is_some())
    }

    /// No request waits for its answer, and yet it failed.
    fn failed_without_request(&self) -> bool {
        let attempt = &self.attempt;
        let reset = self.reset_at().is_some();
        if attempt.bytes_received > 0 || attempt.answer.is_some() {
            let cut = attempt.client_cut && (reset || self.stalled());
            return cut || (reset && attempt.recv_error) || self.dead_in_pool();
        }
        let closed = self.step(|step| *step == Step::Eof).is_some();
        reset || closed || attempt.send_error || self.connected_late()
    }

    /// It was reset while it lay in nginx's pool, and nginx then took it for a request and found the error.
    #[must_use]
    pub fn reset_in_pool(&self) -> bool {
        let attempt = &self.attempt;
        let idle = !attempt.outstanding && attempt.requests > 0 && attempt.established.is_some();
        // Reading clears the error of a socket as well.
        let tried = attempt.error_fetched && !attempt.recv_error && !attempt.idle_probe;
        idle && tried && self.reset_at().is_some()
    }

    /// It was over while it lay in nginx's pool, and nginx took it for a request all the same.
    #[must_use]
    pub fn dead_in_pool(&self) -> bool {
        let attempt = &self.attempt;
        // A unix socket reports its closed peer when one sends. Had nginx been in the middle of a request that was
        // answered early, its last send would have found the buffer full.
        let refused = self.step(|step| matches!(step, Step::SendError { errno: errno::EPIPE })).is_some();
        let idle = !attempt.outstanding && attempt.requests > 0 && attempt.answer >= attempt.last_send;
        self.reset_in_pool() || (self.unix() && idle && refused && !attempt.send_blocked)
    }

    /// The answer had begun, and nothing more came for a second or longer although nginx had read all there was. Its timer
    /// counts from when its turn began, which on a busy host is a while before it read.
    #[must_use]
    pub fn stalled(&self) -> bool {
        let last = self.attempt.last_recv.or(self.attempt.answer);
        self.attempt.ended == Ended::ClosedByNginx
            && self.fin_at().is_none()
            && self.attempt.socket.unread == 0
            && last.is_some_and(|at| self.attempt.seen.saturating_sub(at) >= self.slow.min(SECOND) / 10 * 9)
    }

    /// The handshake finished only after a second, and nginx closed without using the connection.
    #[must_use]
    pub fn connected_late(&self) -> bool {
        let attempt = &self.attempt;
        attempt.request.is_none()
            && attempt.ended == Ended::ClosedByNginx
            && attempt.established.is_some_and(|at| at.saturating_sub(attempt.begun) >= SECOND)
    }
}
