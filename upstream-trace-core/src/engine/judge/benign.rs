//! Ends that look like failures and that nginx did not take for one: its silence tells, or its configuration.

use crate::case::{BenignEnd, Case, TimerFit};
use crate::cause::{self, NginxTimer};
use crate::engine::Engine;
use crate::engine::logjoin::logs::LINE_COMES;
use crate::engine::logjoin::signature::{FailureSignature, ended_by_timer};
use crate::event::{Attempt, Ended, Step};
use crate::verdict::Verdict;

/// What the configuration says of the end of an attempt.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct EndContext {
    stream: Option<bool>,
    timer: Option<TimerFit>,
    tunnel: bool,
}

impl EndContext {
    pub(in crate::engine) fn of(case: &Case<'_>) -> Self {
        Self { stream: case.of_stream(), timer: case.timer_fit(), tunnel: case.may_tunnel() }
    }
}

impl Engine {
    /// Why an attempt that ended, and that has no line, was no failure; `None` if it was one.
    pub(in crate::engine) fn no_failure(
        &self,
        attempt: &Attempt,
        verdict: &Verdict,
        context: EndContext,
    ) -> Option<BenignEnd> {
        // Retries are known by their time: on a busy worker another request's attempt looks like one. nginx has a line for
        // whatever it tries again but error statuses, which are not judged here.
        let said_nothing = self.said_nothing(attempt);
        if verdict.log.is_some() || (self.retries.retried(attempt.id) && !said_nothing) {
            return None;
        }
        if self.logs.was_own(attempt) {
            return Some(BenignEnd::Answered);
        }
        if left_by_client(attempt, verdict.cause, context, said_nothing) {
            return Some(BenignEnd::ClientGone);
        }
        // A response came, nothing that is known went wrong with it, and nginx has nothing to say.
        if verdict.reason.is_none() && said_nothing && attempt.bytes_received > 0 {
            return Some(BenignEnd::Answered);
        }
        // It never read to the end that the origin made, and has nothing to say: it closed because its client had left.
        if said_nothing && attempt.socket.unread > 0 && attempt.fin_at().is_some() {
            return Some(BenignEnd::ClientGone);
        }
        if attempt.in_doubt && (self.logs.tells(attempt.worker, attempt.seen) || !fits_a_timer(attempt)) {
            return Some(BenignEnd::Answered);
        }
        (session_over(attempt, context, said_nothing)).then_some(BenignEnd::Answered)
    }

    /// nginx would have said so by now, had it failed.
    fn said_nothing(&self, attempt: &Attempt) -> bool {
        self.logs.tells(attempt.worker, attempt.seen)
            && self.now >= attempt.seen.saturating_add(LINE_COMES)
            // Its line may be among what was lost.
            && !self.losses.touch_lines_of(attempt)
    }
}

/// nginx gave up waiting without a timer that ran out, or said nothing about it although all it says is read: its client
/// had left. Of a silence that looks like a timer the latter is not certain: some server may log at a level at which
/// timeouts are left out. But of an answer that stalled the kernel side knows only that nginx closed a connection after a
/// pause and its client straight afterwards, as a worker that drains does with a pool that was idle for about a second.
fn left_by_client(attempt: &Attempt, cause: &str, context: EndContext, said_nothing: bool) -> bool {
    let found = cause::find(cause);
    let by_timer = found.map_or(NginxTimer::No, |cause| cause.by_nginx_timer);
    if by_timer == NginxTimer::No || attempt.ended != Ended::ClosedByNginx {
        return false;
    }
    // What fits no cause is nothing but a close only if nothing came that explains it.
    if found.is_some_and(|cause| cause.reason.is_none()) && !attempt.gave_up() {
        return false;
    }
    if context.timer == Some(TimerFit::Early) {
        return true;
    }
    let timer = by_timer == NginxTimer::WholeSeconds
        && ended_by_timer(attempt)
        && context.timer != Some(TimerFit::Other);
    said_nothing && !timer
}

/// Of a connection that looks as if a request had been under way, and may have been idle: the origin ended it, or nginx
/// closed it after whole seconds of silence, as its timers do.
fn fits_a_timer(attempt: &Attempt) -> bool {
    attempt.ended_by_origin().is_some() || FailureSignature::of(&Case::of_attempt(attempt)).timer()
}

/// A session of `stream` has no answers: it is over when either side closes. And a handshake of TLS that nginx ended with
/// an encrypted alert was complete, if nginx complained about nothing: it said goodbye.
fn session_over(attempt: &Attempt, context: EndContext, said_nothing: bool) -> bool {
    if attempt.connecting() || attempt.no_local_port {
        return false;
    }
    let reset = attempt.reset_at().is_some() || attempt.send_error || attempt.recv_error;
    let goodbye = attempt.step(|step| matches!(step, Step::TlsRefused { alert: None })).is_some();
    if attempt.handshaking() && !(said_nothing && goodbye) {
        return false;
    }
    if attempt.handshaking() {
        return !reset;
    }
    // Of a tunnel nginx says nothing when it is closed, next to nothing when it was idle for too long, and much when it breaks.
    if context.tunnel && said_nothing && attempt.socket.received > 1 {
        return true;
    }
    match context.stream {
        Some(true) if said_nothing => true,
        Some(true) => !reset,
        // It may be one of `stream`: http would have had something to say.
        None => said_nothing && !reset && attempt.fin_at().is_some() && attempt.reset.is_none(),
        Some(false) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MS;
    use crate::testkit::{moment, unanswered_request, unanswered_syn, with_fin, with_reset};

    const HTTP: EndContext = EndContext { stream: Some(false), timer: None, tunnel: false };
    const STREAM: EndContext = EndContext { stream: Some(true), timer: None, tunnel: false };
    const OPEN: EndContext = EndContext { stream: None, timer: None, tunnel: false };

    #[test]
    fn a_session_of_stream_is_over_when_either_side_closes() {
        let closed = with_fin(unanswered_request(), 500);
        assert!(session_over(&closed, STREAM, false) && session_over(&closed, OPEN, true));
        assert!(!session_over(&closed, OPEN, false) && !session_over(&closed, HTTP, true));
        let reset = with_reset(unanswered_request(), 500);
        assert!(!session_over(&reset, STREAM, false) && session_over(&reset, STREAM, true));
        assert!(!session_over(&unanswered_syn(), STREAM, true), "it never began");
    }

    #[test]
    fn a_tunnel_ends_without_a_word() {
        let tunnel = EndContext { tunnel: true, ..HTTP };
        let mut closed = with_fin(unanswered_request(), 500);
        assert!(!session_over(&closed, tunnel, true), "nothing had come: it is none yet");
        closed.socket.received = 130;
        assert!(session_over(&closed, tunnel, true));
        assert!(!session_over(&closed, tunnel, false) && !session_over(&closed, HTTP, true));
    }

    #[test]
    fn a_goodbye_in_what_looks_like_a_handshake() {
        let mut attempt = unanswered_request();
        (attempt.tls, attempt.tls_handshake) = (true, true);
        assert!(!session_over(&attempt, HTTP, true));
        attempt.trail.push(moment(1_500, Step::TlsRefused { alert: None }));
        assert!(session_over(&attempt, HTTP, true) && session_over(&attempt, STREAM, true));
        assert!(!session_over(&attempt, STREAM, false), "nginx may have refused the certificate");
    }

    #[test]
    fn no_timer_is_that_short() {
        let mut attempt = unanswered_request();
        let cause = "slow-response";
        let timer = |timer| EndContext { timer: Some(timer), ..HTTP };
        assert!(left_by_client(&attempt, cause, timer(TimerFit::Early), false));
        assert!(!left_by_client(&attempt, cause, timer(TimerFit::Other), false));
        assert!(!left_by_client(&attempt, cause, timer(TimerFit::Fits), true), "it may log less");
        assert!(left_by_client(&attempt, cause, timer(TimerFit::Other), true), "no timer, and no line");
        attempt.seen -= 300 * MS;
        assert!(left_by_client(&attempt, cause, HTTP, true));
    }
}
