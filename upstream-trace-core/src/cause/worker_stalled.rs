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
    if !gave_up || !case.awaiting() || case.in_tls_handshake() || unread == 0 || !case.request_acked() {
        return None;
    }
    let (target, waited) = (case.target(), case.duration() / MS);
    let summary = format!(
        "nginx gave up on {target} after {waited} ms, with {unread} bytes of the response unread in its socket"
    );
    let fix = format!(
        "`top -H -p {0}`, `cat /proc/{0}/stack`, `perf trace -p {0} -s`: what does the worker wait for?",
        attempt.worker
    );
    let finding = match attempt.socket.unread_since.map(|since| attempt.seen.saturating_sub(since)) {
        Some(lay) if lay >= STALL => {
            Finding::proven(format!("{summary} for {} ms: its worker did not run.", lay / MS))
        }
        // It came in the moment of the timeout.
        Some(_) => return None,
        None if matches!(case.log_kind(), Some(Kind::TimedOut(_))) => {
            Finding::likely(format!("{summary}: its worker did not run.")).or(&["slow-response"])
        }
        None => Finding::possible(format!("{summary}: its worker may not have run.")).or(&["slow-response"]),
    };
    Some(finding.fix(fix))
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn since_when_it_lay_there_decides() {
        let mut attempt = unanswered_request();
        attempt.socket.unread = 300;
        attempt.socket.unread_since = Some(attempt.seen - 900 * MS);
        expect(&Case::of_attempt(&attempt), "worker-stalled", Proven);
        attempt.socket.unread_since = Some(attempt.seen - MS);
        assert_ne!(verdict(&Case::of_attempt(&attempt)).0, "worker-stalled");
    }
}
