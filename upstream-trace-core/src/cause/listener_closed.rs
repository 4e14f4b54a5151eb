//! The listener was closed while the connection waited in its queue.

use super::{Cause, Finding, Signal, backend_crashed, process};
use crate::case::Case;
use crate::event::MS;

pub(super) const CAUSE: Cause = Cause {
    id: "listener-closed",
    reason: Some(2),
    title: "the listener was closed while the connection waited in its queue",
    means: "The origin's kernel had completed the handshake, and the application closed its listener before it \
            accepted the connection: a restart or reload that does not drain the accept queue, or a service \
            that stopped. The kernel reset every waiting connection; the application never saw the request.",
    told_apart: "The reset comes from the closed listener: the call path shows that, or the kernel aborted the \
                 connection and nobody listens there any more. That needs an origin that shares the kernel; \
                 elsewhere it is `reset-by-backend`. If the listening process was killed, it is \
                 `backend-crashed`; a queue that is only full is `accept-queue-full`.",
    fix: "Restart without closing the listener: socket activation (`systemctl edit --full SERVICE.socket`), a \
          reload that hands the listener over, or take the peer out of the group before the restart. For \
          requests that may be repeated: `proxy_next_upstream error timeout non_idempotent;`.",
    rivals: &["reset-by-backend", "backend-crashed", "accept-queue-full"],
    needs: &[Signal::Requests, Signal::Resets, Signal::ResetsSent],
    judge,
    ..Cause::BLANK
};

/// The kernel function that closes what waits in the accept queue of a listener.
const LISTEN_STOP: &str = "inet_csk_listen_stop";

fn judge(case: &Case<'_>) -> Option<Finding> {
    if !closed(case) || backend_crashed::crash(case).is_some() {
        return None;
    }
    let waited = case.reset_at()?.saturating_sub(case.attempt.established.unwrap_or(case.attempt.begun)) / MS;
    let summary = format!(
        "The listener of {} was closed while this connection waited {waited} ms in its accept queue: the kernel reset it, \
         the application never saw the request.{}",
        case.target(),
        process::before(case)
    );
    Some(if by_listener(case) {
        Finding::proven(summary)
    } else {
        Finding::likely(summary).or(&["reset-by-backend"])
    })
}

/// The reset is that of a closed listener. [`super::reset_by_backend`] then knows less.
pub(super) fn closed(case: &Case<'_>) -> bool {
    let attempt = &case.attempt;
    let fresh = case.tcp() && case.awaiting() && !attempt.reused && !attempt.adopted && attempt.requests <= 1;
    fresh && case.reset_at().is_some() && (by_listener(case) || (aborted(case) && case.nobody_listens()))
}

fn by_listener(case: &Case<'_>) -> bool {
    case.resets.iter().any(|reset| reset.function.as_deref() == Some(LISTEN_STOP))
}

/// What the kernel gives as the reason: the same as for a close with `SO_LINGER` 0.
fn aborted(case: &Case<'_>) -> bool {
    case.resets.iter().any(|reset| matches!(reset.reason.as_str(), "TCP_STATE" | "TCP_DISCONNECT_WITH_DATA"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Fact;
    use crate::testkit::{enrichment, expect, reset_sent, unanswered_request, verdict, with_reset};
    use crate::verdict::Confidence::{Likely, Proven};

    #[test]
    fn an_aborted_connection_whose_listener_is_gone() {
        let attempt = with_reset(unanswered_request(), 1_500);
        let sent = reset_sent("TCP_STATE", None);
        let gone = enrichment(vec![Fact::NoListener]);
        let mut case = Case::of_attempt(&attempt);
        case.resets.push(&sent);
        expect(&case, "reset-by-backend", Proven);
        case.enrichment = Some(&gone);
        expect(&case, "listener-closed", Likely);
        assert_eq!(verdict(&case).2, ["reset-by-backend"]);
    }

    #[test]
    fn the_call_path_proves_it() {
        let attempt = with_reset(unanswered_request(), 1_500);
        let sent = reset_sent("TCP_STATE", Some(LISTEN_STOP));
        let mut case = Case::of_attempt(&attempt);
        case.resets.push(&sent);
        expect(&case, "listener-closed", Proven);
    }

    #[test]
    fn a_pooled_connection_had_been_accepted() {
        let mut attempt = with_reset(unanswered_request(), 1_500);
        attempt.reused = true;
        let sent = reset_sent("TCP_STATE", Some(LISTEN_STOP));
        let mut case = Case::of_attempt(&attempt);
        case.resets.push(&sent);
        assert_ne!(verdict(&case).0, "listener-closed");
    }
}
