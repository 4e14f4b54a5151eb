//! Which words of nginx fit a failure that the kernel side saw.

use crate::case::Case;
use crate::errorlog::{Doing, Kind};
use crate::event::{Attempt, Ended, LogLine, MS, Nanos, SECOND};
use crate::verdict::Phase;

/// nginx's timers go off that much after their time, or before: they count from when its event-loop iteration began.
const TIMER_SLACK: Nanos = 40 * MS;

/// How an attempt failed, as far as nginx's words depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndKind {
    /// `connect()` returned an error.
    SyncConnectError,
    /// No connection came about, and something said so.
    Refused,
    /// No connection came about, and nothing came until nginx gave up.
    Unanswered,
    /// Something ended the connection.
    Broken,
    /// Nothing came until nginx gave up.
    Silent,
}

/// What of a failure a line of nginx can be compared with.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent observations, by name")]
pub(in crate::engine) struct FailureSignature {
    kind: EndKind,
    phase: Phase,
    errno: Option<i32>,
    /// Bytes of an answer came, or an alert of TLS.
    bytes: bool,
    /// The other side closed in order.
    closed: bool,
    /// Something gave nginx an error.
    failed: bool,
    /// See [`ended_by_timer`].
    timer: bool,
}

impl FailureSignature {
    pub(in crate::engine) fn of(case: &Case<'_>) -> Self {
        let attempt = &case.attempt;
        let kind = if case.connect.is_some() || attempt.no_local_port {
            EndKind::SyncConnectError
        } else {
            match (case.connecting(), case.gave_up()) {
                (true, false) => EndKind::Refused,
                (true, true) => EndKind::Unanswered,
                (false, false) => EndKind::Broken,
                (false, true) => EndKind::Silent,
            }
        };
        let calls_failed = attempt.send_error || attempt.recv_error;
        Self {
            kind,
            phase: case.phase(),
            errno: case.errno(),
            bytes: attempt.bytes_received > 0
                || case.alert().is_some()
                // Of what nobody watched the socket knows.
                || (attempt.by_socket && attempt.socket.received > 0),
            closed: case.unix() || case.fin_at().is_some(),
            failed: case.unix() || case.reset_at().is_some() || case.errno().is_some() || calls_failed,
            timer: ended_by_timer(attempt),
        }
    }

    /// nginx's timer, or the client, ended it.
    pub(in crate::engine) fn silent(&self) -> bool {
        matches!(self.kind, EndKind::Unanswered | EndKind::Silent)
    }

    /// It looks like a timer.
    pub(in crate::engine) fn timer(&self) -> bool {
        self.timer
    }

    /// How badly a line fits, 0 for well; `None` if it does not.
    pub(in crate::engine) fn fits(&self, kind: Kind, line: &LogLine) -> Option<u8> {
        let same_errno = self.errno.zip(line.errno).is_none_or(|(seen, said)| seen == said);
        let fits = match kind {
            Kind::SyncConnectError => self.kind == EndKind::SyncConnectError && same_errno,
            Kind::Connect => self.kind == EndKind::Refused || (self.kind == EndKind::Broken && self.failed),
            Kind::TimedOut(Doing::Connecting) => {
                let late = self.kind == EndKind::Silent && matches!(self.phase, Phase::Connect | Phase::Idle);
                self.kind == EndKind::Unanswered || late
            }
            Kind::TimedOut(doing) => self.kind == EndKind::Silent && self.stood_at(doing),
            Kind::Closed => matches!(self.kind, EndKind::Broken | EndKind::Silent) && self.closed,
            Kind::Receive | Kind::Send => self.kind == EndKind::Broken && self.failed,
            Kind::TlsClosed => self.kind == EndKind::Broken,
            // Words about bytes that nginx has read.
            Kind::TooBig | Kind::Invalid | Kind::Tls | Kind::TempFile => {
                matches!(self.kind, EndKind::Broken | EndKind::Silent) && self.bytes
            }
            _ => false,
        };
        // A timeout has the errno of nginx's own timer.
        let badly = !same_errno && !matches!(kind, Kind::TimedOut(_));
        fits.then_some(u8::from(badly))
    }

    fn stood_at(&self, doing: Doing) -> bool {
        match doing {
            Doing::Connecting => false,
            Doing::Sending => matches!(self.phase, Phase::Send | Phase::Wait),
            Doing::Header => matches!(self.phase, Phase::Send | Phase::Wait | Phase::Receive),
            Doing::Body => self.phase == Phase::Receive,
            Doing::Tls => self.phase != Phase::Connect,
            Doing::Tunnel => true,
        }
    }
}

/// Its last silence was one of whole seconds, as timeouts are: more likely nginx's timer than a client that left.
pub(in crate::engine) fn ended_by_timer(attempt: &Attempt) -> bool {
    let last = attempt.last_send.max(attempt.last_recv).unwrap_or(attempt.begun);
    let silence = attempt.seen.saturating_sub(last);
    silence >= SECOND - TIMER_SLACK && silence.saturating_add(TIMER_SLACK) % SECOND <= 2 * TIMER_SLACK
}

/// The kernel side sees every such failure: a line that names no upstream is most likely about one that it saw.
pub(in crate::engine) fn seen_by_kernel(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::SyncConnectError
            | Kind::Connect
            | Kind::TimedOut(_)
            | Kind::Closed
            | Kind::Receive
            | Kind::Send
            | Kind::TlsClosed
    )
}

/// No attempt belongs to such a line.
pub(in crate::engine) fn without_attempt(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NoLive | Kind::Name | Kind::Files | Kind::Connections | Kind::Bind | Kind::Misconfigured
    )
}

/// A line may be about an attempt that looked healthy.
pub(in crate::engine) fn healthy_fits(kind: Kind, attempt: &Attempt) -> bool {
    let bytes = attempt.bytes_received > 0;
    attempt.established.is_some()
        && match kind {
            Kind::TimedOut(_) => attempt.ended == Ended::ClosedByNginx && attempt.fin.is_none(),
            Kind::Closed | Kind::TlsClosed => attempt.fin.is_some() || attempt.reset.is_some(),
            Kind::Receive | Kind::Send => attempt.reset.is_some() || attempt.recv_error || attempt.send_error,
            // Of a connection whose sends and receives were not watched, it is not known what came.
            Kind::TooBig | Kind::Invalid | Kind::Tls | Kind::TempFile => bytes || attempt.by_socket,
            // nginx took it from its pool, and found the error.
            Kind::Connect => attempt.by_socket && attempt.reset.is_some(),
            _ => false,
        }
}
