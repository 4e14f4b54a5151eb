//! How far an attempt came, how it ended, and whether that is a failure at all: what its record alone decides.
//!
//! [`crate::case::Case`] knows more (nginx's line, the error of `connect()`), and asks these where it does not.

use super::{Attempt, Ended};
use crate::errno;
use crate::event::{Nanos, SECOND, Step, Transport, Upstream};

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

impl Attempt {
    /// It is not over.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.ended == Ended::Open
    }

    /// It is carried by TCP.
    #[must_use]
    pub fn tcp(&self) -> bool {
        self.upstream.as_ref().is_none_or(|upstream| upstream.transport() == Transport::Tcp)
    }

    /// It is carried by a unix socket.
    #[must_use]
    pub fn unix(&self) -> bool {
        matches!(self.upstream, Some(Upstream::Unix(_)))
    }

    /// TCP, and the handshake never finished (nor failed inside `connect()`).
    #[must_use]
    pub fn connecting(&self) -> bool {
        self.tcp() && self.established.is_none() && !self.no_local_port
    }

    /// Connected, and the TLS handshake had begun and was not over.
    #[must_use]
    pub fn handshaking(&self) -> bool {
        self.tls_handshake && !self.connecting()
    }

    /// Time of the first step that fits.
    #[must_use]
    pub fn step(&self, fits: impl Fn(&Step) -> bool) -> Option<Nanos> {
        self.trail.iter().find(|moment| fits(&moment.step)).map(|moment| moment.at)
    }

    /// When nginx sent its `close_notify`. What the other side did from then on is an answer to that.
    fn close_notify(&self) -> Option<Nanos> {
        self.step(|step| matches!(step, Step::TlsRefused { .. }))
    }

    /// nginx sent its `close_notify` before the other side had ended anything.
    #[must_use]
    pub fn left_first(&self) -> bool {
        self.close_notify().is_some() && self.ended_by_origin().is_none()
    }

    /// When the other side reset the connection.
    #[must_use]
    pub fn reset_at(&self) -> Option<Nanos> {
        let reset = self.reset.or_else(|| {
            self.step(|step| {
                matches!(
                    step,
                    Step::Reset { .. }
                        | Step::Error { errno: errno::ECONNRESET }
                        | Step::RecvError { errno: errno::ECONNRESET }
                        | Step::SendError { errno: errno::ECONNRESET }
                )
            })
        });
        reset.filter(|at| self.close_notify().is_none_or(|left| *at < left))
    }

    /// When the other side closed in order.
    #[must_use]
    pub fn fin_at(&self) -> Option<Nanos> {
        let fin = self.fin.or_else(|| self.step(|step| matches!(step, Step::Fin { .. } | Step::Eof)));
        fin.filter(|at| self.close_notify().is_none_or(|left| *at < left))
    }

    /// When the other side ended it, in order or not.
    #[must_use]
    pub fn ended_by_origin(&self) -> Option<Nanos> {
        self.fin_at().into_iter().chain(self.reset_at()).min()
    }

    /// The errno that the attempt ended with; of an error that `connect()` itself returned, see
    /// [`crate::event::ConnectError`].
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        if self.no_local_port {
            return Some(errno::EADDRNOTAVAIL);
        }
        let last = self.trail.iter().rev().find_map(|moment| match moment.step {
            Step::Error { errno } | Step::SendError { errno } | Step::RecvError { errno } if errno != 0 => {
                Some(errno.saturating_abs())
            }
            _ => None,
        });
        let positive = |errno: i32| (errno != 0).then_some(errno.saturating_abs());
        // On an established connection a soft error wakes nobody; while connecting it is what nginx gets.
        let connecting = self.connecting();
        let refused = (connecting && self.reset.is_some()).then_some(errno::ECONNREFUSED);
        last.or(refused)
            .or_else(|| positive(self.socket.error))
            .or_else(|| self.icmp.as_ref().filter(|_| connecting).and_then(|icmp| positive(icmp.errno)))
            .or_else(|| positive(self.socket.soft_error).filter(|_| connecting))
    }

    /// An ICMP error came back.
    #[must_use]
    pub fn has_icmp(&self) -> bool {
        self.icmp.is_some() || self.step(|step| matches!(step, Step::Icmp { .. })).is_some()
    }

    /// Nothing came from the other side that ended it: no reset, no close, no ICMP error, no error but a timeout.
    #[must_use]
    pub fn silent(&self) -> bool {
        self.silent_with(self.errno())
    }

    /// The same, of an attempt that ended with this errno.
    pub(crate) fn silent_with(&self, errno: Option<i32>) -> bool {
        self.ended_by_origin().is_none()
            && !self.has_icmp()
            && (self.left_first() || errno.is_none_or(|errno| errno == errno::ETIMEDOUT))
    }

    /// nginx closed a connection that nothing had ended: its timer ran out.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up_with(self.errno())
    }

    /// The same, of an attempt that ended with this errno.
    pub(crate) fn gave_up_with(&self, errno: Option<i32>) -> bool {
        (self.ended == Ended::ClosedByNginx || self.left_first())
            && !self.send_error
            && !self.recv_error
            && self.silent_with(errno)
    }

    /// Whether the attempt, ended, was no failure of the upstream; `slow` is `--slow`.
    #[must_use]
    pub fn benign_end(&self, slow: Nanos) -> Option<BenignEnd> {
        if self.no_local_port || self.pending() {
            return None;
        }
        if !self.broke() {
            if self.client_gone {
                return Some(BenignEnd::ClientGone);
            }
            if self.worker_exiting {
                return Some(BenignEnd::WorkerExit);
            }
            if self.ended == Ended::Vanished {
                return Some(BenignEnd::Vanished);
            }
        }
        if self.connecting() || self.handshaking() {
            return None;
        }
        if self.idle_probe {
            return Some(BenignEnd::Answered);
        }
        (!self.outstanding && !self.failed_without_request(slow)).then_some(BenignEnd::Answered)
    }

    /// Of a connection that nobody watched, an earlier look says when the request was sent that was under way at the end:
    /// what nginx sends when it gives up over TLS takes the place of that in the socket.
    pub fn learn_request(&mut self, earlier: &Self) {
        let same = earlier.socket.received == self.socket.received && earlier.outstanding;
        if self.by_socket && self.outstanding && same && earlier.request < self.request {
            (self.request, self.last_send) = (earlier.request, earlier.last_send);
            self.last_recv = earlier.last_recv;
        }
    }

    /// What an earlier look found unread lay there since then, if nothing was read meanwhile.
    pub fn learn_unread(&mut self, earlier: &Self) {
        let nothing_read = earlier.last_recv == self.last_recv && earlier.request == self.request;
        if nothing_read && self.socket.unread > 0 && earlier.socket.unread > 0 {
            let since = earlier.socket.unread_since.unwrap_or(earlier.seen);
            let known = self.socket.unread_since.unwrap_or(since);
            self.socket.unread_since = Some(known.min(since));
        }
    }

    /// The other side, or an error, ended what was under way.
    fn broke(&self) -> bool {
        let under_way = self.outstanding || self.connecting();
        under_way && (self.ended_by_origin().is_some() || self.errno().is_some())
    }

    /// No request waits for its answer, and yet it failed.
    fn failed_without_request(&self, slow: Nanos) -> bool {
        if self.by_socket && !self.outstanding {
            // Whatever ended it, all that was sent was answered. If nothing ever was, the origin ended it.
            return self.requests == 0 && (self.ended_by_origin().is_some() || self.connected_late());
        }
        let reset = self.reset_at().is_some();
        if self.bytes_received > 0 || self.answer.is_some() {
            let cut = self.client_cut && (reset || self.stalled(slow));
            return cut || (reset && self.recv_error) || self.dead_in_pool();
        }
        let closed = self.step(|step| *step == Step::Eof).is_some();
        reset || closed || self.send_error || self.connected_late()
    }

    /// It was reset while it lay in nginx's pool, and nginx then took it for a request and found the error.
    #[must_use]
    pub fn reset_in_pool(&self) -> bool {
        let idle = !self.outstanding && self.requests > 0 && self.established.is_some();
        // Reading clears the error of a socket as well.
        let tried = self.error_fetched && !self.recv_error && !self.idle_probe;
        idle && tried && self.reset_at().is_some()
    }

    /// It was over while it lay in nginx's pool, and nginx took it for a request all the same.
    #[must_use]
    pub fn dead_in_pool(&self) -> bool {
        // A unix socket reports its closed peer when one sends. Had nginx been in the middle of a request that was
        // answered early, its last send would have found the buffer full.
        let refused = self.step(|step| matches!(step, Step::SendError { errno: errno::EPIPE })).is_some();
        let idle = !self.outstanding && self.requests > 0 && self.answer >= self.last_send;
        self.reset_in_pool() || (self.unix() && idle && refused && !self.send_blocked)
    }

    /// The answer had begun, and nothing more came for a second (or nine tenths of `slow`, if that is less) although
    /// nginx had read all there was. Its timer counts from when its turn began, which on a busy host is a while before
    /// it read.
    #[must_use]
    pub fn stalled(&self, slow: Nanos) -> bool {
        let last = self.last_recv.or(self.answer);
        self.ended == Ended::ClosedByNginx
            && self.fin_at().is_none()
            && self.socket.unread == 0
            && last.is_some_and(|at| self.seen.saturating_sub(at) >= slow.min(SECOND) / 10 * 9)
    }

    /// The handshake finished only after a second, and nginx closed without using the connection.
    #[must_use]
    pub fn connected_late(&self) -> bool {
        self.request.is_none()
            && self.ended == Ended::ClosedByNginx
            && self.established.is_some_and(|at| at.saturating_sub(self.begun) >= SECOND)
    }
}

#[cfg(test)]
mod tests;
