//! The response lay unread while nginx's worker stood still.

use super::{Cause, Finding, NginxTimer, Signal};
use crate::case::Case;
use crate::errorlog::Kind;
use crate::event::MS;

pub(super) const CAUSE: Cause = Cause {
    id: "worker-stalled",
    reason: Some(0),
    title: "the response lay unread while nginx's worker stood still, then its timer ran out",
    means: "The response arrived in time, but the worker did not run its event loop: it was blocked on a disk, \
            in a module (Lua, Perl, njs) or in a signal handler, was starved of CPU, or was stopped. When it \
            ran again it handled the expired timer first and answered 504 without reading.",
    told_apart: "Bytes of the response lay unread in nginx's socket when nginx gave up. In `slow-response` \
                 nothing had arrived. A response that arrives in the very moment of the timeout looks the same, \
                 unless it is known since when the bytes lay there. If part of the response was read before, it \
                 is `slow-client`.",
    fix: "`top -H -p WORKER` (state D: disk, R with low CPU: starved), `cat /proc/WORKER/stack`, `perf trace -p \
          WORKER -s`. Blocking file reads: `aio threads;`. CPU limits: `cpu.max` and `cpu.stat` (nr_throttled) \
          of nginx's cgroup.",
    rivals: &["slow-response", "slow-client"],
    needs: &[Signal::Requests, Signal::Answers],
    by_nginx_timer: NginxTimer::WholeSeconds,
    judge,
    ..Cause::BLANK
};

/// A worker that runs reads what arrives within its event-loop iteration; a busy one within this time.
const STALL: u64 = 100 * MS;

fn judge(case: &Case<'_>) -> Option<Finding> {
    let (attempt, unread) = (&case.attempt, case.attempt.socket.unread);
    let gave_up = case.gave_up() && !case.nginx_closed_first() && !attempt.client_gone;
    if case.pending() {
        return pending(case);
    }
    if !gave_up || !case.awaiting() || case.in_tls_handshake() || unread == 0 || !case.request_acked() {
        return None;
    }
    let (target, waited) = (case.target(), case.duration() / MS);
    let summary = format!(
        "nginx gave up on {target} after {waited} ms, with {unread} bytes of the response unread in its socket"
    );
    // A module's own sockets (Lua) are read when its program asks for it: lines about their timers name no upstream.
    let of_nginx = case.log.is_some_and(|line| line.upstream.is_some())
        && matches!(case.log_kind(), Some(Kind::TimedOut(_)));
    let finding = match attempt.socket.unread_since.map(|since| attempt.seen.saturating_sub(since)) {
        Some(lay) if lay >= STALL && of_nginx => {
            Finding::proven(format!("{summary} for {} ms: its worker did not run.", lay / MS))
        }
        Some(lay) if lay >= STALL => {
            Finding::likely(format!("{summary} for {} ms: its worker did not run.", lay / MS))
                .or(&["slow-response"])
        }
        // It came in the moment of the timeout.
        Some(_) => return None,
        None if matches!(case.log_kind(), Some(Kind::TimedOut(_))) => {
            Finding::likely(format!("{summary}: its worker did not run.")).or(&["slow-response"])
        }
        None => Finding::possible(format!("{summary}: its worker may not have run.")).or(&["slow-response"]),
    };
    Some(finding.fix(fix(attempt.worker)))
}

/// The response lies unread, and nginx has not given up yet.
fn pending(case: &Case<'_>) -> Option<Finding> {
    let attempt = &case.attempt;
    let lies = attempt.seen.saturating_sub(attempt.socket.unread_since?);
    let stands = case.awaiting() && !case.in_tls_handshake() && case.request_acked() && case.silent();
    (stands && attempt.socket.unread > 0 && lies >= STALL).then(|| {
        let summary = format!(
            "{} answered, and {} bytes of the response have been unread in nginx's socket for {} ms so far: its worker does \
             not run, or runs a module that has not asked for them.",
            case.target(),
            attempt.socket.unread,
            lies / MS
        );
        Finding::likely(summary).fix(fix(attempt.worker))
    })
}

fn fix(worker: u32) -> String {
    format!(
        "`top -H -p {worker}`, `cat /proc/{worker}/stack`, `perf trace -p {worker} -s`: what does the worker wait for?"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Ended;
    use crate::testkit::{expect, line, unanswered_request, verdict};
    use crate::verdict::Confidence::{Likely, Possible, Proven};

    #[test]
    fn an_unread_response_at_the_timeout() {
        let mut attempt = unanswered_request();
        attempt.socket.unread = 300;
        expect(&Case::of_attempt(&attempt), "worker-stalled", Possible);
        let line = line(
            "upstream timed out (110: Connection timed out) while reading response header from upstream",
        );
        let mut case = Case::of_attempt(&attempt);
        case.log = Some(&line);
        expect(&case, "worker-stalled", Likely);
    }

    #[test]
    fn while_it_is_pending_it_is_told_once_it_lies_there_for_long() {
        let mut attempt = unanswered_request();
        attempt.ended = Ended::Open;
        attempt.socket.unread = 300;
        assert_eq!(judge(&Case::of_attempt(&attempt)), None, "since when is not known");
        attempt.socket.unread_since = Some(attempt.seen - MS);
        assert_eq!(judge(&Case::of_attempt(&attempt)), None);
        attempt.socket.unread_since = Some(attempt.seen - 900 * MS);
        expect(&Case::of_attempt(&attempt), "worker-stalled", Likely);
        // A later look: more came, and nothing was read.
        let mut later = attempt.clone();
        (later.ended, later.socket.unread_since) = (Ended::ClosedByNginx, Some(later.seen - MS));
        assert_eq!(judge(&Case::of_attempt(&later)), None);
        later.learn_unread(&attempt);
        expect(&Case::of_attempt(&later), "worker-stalled", Likely);
        (later.socket.unread_since, later.last_recv) = (Some(later.seen - MS), Some(later.seen - MS));
        later.learn_unread(&attempt);
        assert_eq!(later.socket.unread_since, Some(later.seen - MS), "it was read meanwhile");
    }

    #[test]
    fn since_when_it_lay_there_decides() {
        let mut attempt = unanswered_request();
        attempt.socket.unread = 300;
        attempt.socket.unread_since = Some(attempt.seen - 900 * MS);
        expect(&Case::of_attempt(&attempt), "worker-stalled", Likely);
        let told = line(
            "upstream timed out (110: Connection timed out) while reading response header from upstream",
        );
        let mut case = Case::of_attempt(&attempt);
        case.log = Some(&told);
        expect(&case, "worker-stalled", Proven);
        let lua = crate::event::LogLine { upstream: None, ..told.clone() };
        case.log = Some(&lua);
        assert_ne!(verdict(&case).1, Proven, "a module's socket is read when its program asks for it");
        attempt.socket.unread_since = Some(attempt.seen - MS);
        assert_ne!(verdict(&Case::of_attempt(&attempt)).0, "worker-stalled");
    }
}
