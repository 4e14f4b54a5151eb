//! The origin's accept queue overflowed.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errno::EAGAIN;

pub(super) const CAUSE: Cause = Cause {
    id: "accept-queue-full",
    reason: Some(1),
    title: "the origin's accept queue overflowed",
    means: "The origin's kernel completes handshakes and queues the connections until the application calls \
            accept(). The queue was full because the application accepts too slowly: too few workers, or all of \
            them busy. Linux then drops new SYNs silently, or resets if tcp_abort_on_overflow is set; on a unix \
            socket connect() returns EAGAIN at once.",
    told_apart: "To nginx it looks like `firewall-drop-remote`, but one of these is seen: other connections to \
                 the same port succeed or wait there, the origin retransmits its SYN-ACK on a connection that \
                 nginx holds for established, or the listener is on this host and its queue is readable. A RST \
                 from the application itself is `reset-by-backend`, one from a firewall \
                 `firewall-reject-remote`; data that is lost on the way is `path-lost`. Only a queue that was \
                 seen full proves it: others that pass while one does not may as well be loss, a firewall or \
                 `nat-failed`.",
    fix: "On the origin: `ss -lnt sport = :PORT` (Recv-Q is the queue, Send-Q its limit) and `nstat -az \
          TcpExtListenOverflows`. \
          First add workers (pm.max_children, gunicorn --workers), then raise the listen backlog and `sysctl \
          net.core.somaxconn`.",
    rivals: &[
        "firewall-drop-remote",
        "path-lost",
        "reset-by-backend",
        "firewall-reject-remote",
        "not-accepted",
        "nat-failed",
    ],
    needs: &[Signal::Drops, Signal::Retransmits, Signal::ResetsSent, Signal::ConnectErrors],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if let Some(errno) = case.unix_connect_errno() {
        return (errno == EAGAIN).then(|| {
            let path = case.path();
            let who = case.served_by();
            Finding::proven(format!(
                "The accept queue of {path}{who} is full: the service accepts too slowly."
            ))
            .fix(format!(
                "`ss -xl src {}`: compare Recv-Q with Send-Q. Add workers to the service, then raise its \
                    backlog.",
                case.path_word()
            ))
        });
    }
    let finding = if case.connecting() {
        unanswered_syn(case)
    } else if case.awaiting() && !case.attempt.reused {
        not_taken_over(case).or_else(|| reset_at_once(case))
    } else {
        None
    }?;
    Some(finding.fix(format!(
        "On {}: `ss -lnt sport = :{}` (Recv-Q above Send-Q) and `nstat -az TcpExtListenOverflows`. Add workers, then \
         raise the backlog.",
        case.host(),
        case.port()
    )))
}

/// The SYN got no answer.
fn unanswered_syn(case: &Case<'_>) -> Option<Finding> {
    if case.answered_or_refused() || case.dropped_for("NETFILTER_DROP") || case.attempt.retransmits_failed > 0
    {
        return None;
    }
    let target = case.target();
    if let Some(listener) = case.full_listener() {
        return Some(Finding::proven(format!(
            "The accept queue of {target}{} is full ({} waiting, limit {}): its kernel drops new connections.",
            case.served_by(),
            listener.queue,
            listener.limit
        )));
    }
    if case.listener().is_some() {
        return None;
    }
    if case.sibling_connected_meanwhile() || (case.siblings_wait() && case.siblings.established.is_some()) {
        // A firewall that knows the flow, a translation gone wrong or one path of several look the same.
        let summary = format!(
            "{target} did not answer this SYN while other connections to it were established: its accept queue may be full, \
             or the packets of this one are lost."
        );
        return Some(Finding::possible(summary).or(&["firewall-drop-remote", "path-lost", "nat-failed"]));
    }
    case.siblings.established.is_some().then(|| {
        Finding::possible(format!("{target} answered others within the last minute, but not this SYN."))
            .or(&["firewall-drop-remote"])
    })
}

/// nginx holds the connection for established, the origin does not.
fn not_taken_over(case: &Case<'_>) -> Option<Finding> {
    let unacked = case.attempt.socket.unacked > 0 && case.attempt.socket.acked == 0;
    let again = case.syn_ack_retransmitted();
    // One that begins with a SYN cookie leaves nothing behind that would answer again. One that waits in the queue was taken
    // over.
    let cookie = case.queue_overflows() && case.accepted() != Some(false);
    if !unacked || case.reset_at().is_some() || !(again || cookie || case.listen_overflow_seen()) {
        return None;
    }
    let retransmitted = if again { "retransmitted its SYN-ACK and " } else { "" };
    let summary =
        format!("{} {retransmitted}never completed the connection: its accept queue", case.target());
    Some(if case.listen_overflow_seen() || again && case.queue_overflows() {
        Finding::proven(format!("{summary} is full."))
    } else if cookie {
        // It may have been accepted right away, and the request be lost.
        Finding::likely(format!("{summary} is full.")).or(&["path-lost"])
    } else {
        // What nginx sent may not have arrived.
        Finding::possible(format!("{summary} may be full, or what nginx sends is lost.")).or(&[
            "path-lost",
            "firewall-drop-remote",
            "nat-failed",
        ])
    })
}

/// The end of the handshake was answered by RST: `tcp_abort_on_overflow`.
fn reset_at_once(case: &Case<'_>) -> Option<Finding> {
    if !case.reset_at_once() {
        return None;
    }
    let target = case.target();
    if case.listen_overflow_seen() || case.queue_overflows() {
        return Some(Finding::proven(format!(
            "The accept queue of {target} is full: it reset the connection at once."
        )));
    }
    if case.resets.iter().any(|reset| reset.reason == "INVALID_SYN") {
        return Some(Finding::likely(format!(
            "The kernel of {target} refused to complete the connection: its accept queue is full."
        )));
    }
    Some(
        Finding::possible(format!(
            "{target} completed the handshake and reset the connection at once, before it took the request."
        ))
        .or(&["reset-by-backend", "firewall-reject-remote"]),
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::case::Siblings;
    use crate::event::SECOND;
    use crate::event::{Fact, Listener, Step};
    use crate::testkit::{
        BEGUN, enrichment, expect, moment, unanswered_request, unanswered_syn, unix_error, with_reset,
    };
    use crate::verdict::Confidence;

    #[test]
    fn eagain_on_a_unix_socket_proves_it() {
        expect(&Case::of_connect_error(&unix_error(EAGAIN)), "accept-queue-full", Confidence::Proven);
    }

    #[test]
    fn siblings_that_connect_meanwhile_prove_no_queue() {
        let attempt = unanswered_syn();
        let mut case = Case::of_attempt(&attempt);
        case.siblings = Siblings {
            established: Some(BEGUN + SECOND),
            answered: Some(BEGUN + SECOND),
            ..Siblings::default()
        };
        expect(&case, "accept-queue-full", Confidence::Possible);
        let (_, finding) = crate::cause::judge(&case);
        assert!(finding.summary.contains("may be full"), "{}", finding.summary);
    }

    #[test]
    fn siblings_that_were_answered_before_are_no_sign_of_a_queue() {
        let attempt = unanswered_syn();
        let mut case = Case::of_attempt(&attempt);
        case.siblings = Siblings {
            established: Some(BEGUN - SECOND),
            answered: Some(BEGUN - SECOND),
            ..Siblings::default()
        };
        assert_eq!(crate::testkit::verdict(&case).1, Confidence::Possible);
        case.siblings = Siblings::default();
        assert_eq!(judge(&case), None);
    }

    #[test]
    fn the_listeners_queue_decides() {
        let attempt = unanswered_syn();
        for (queue, id) in [(6, "accept-queue-full"), (0, "firewall-drop-remote")] {
            let found = enrichment(vec![Fact::Listener(Listener { queue, limit: 5, ..Listener::default() })]);
            let mut case = Case::of_attempt(&attempt);
            case.enrichment = Some(&found);
            assert_eq!(crate::testkit::verdict(&case).0, id);
        }
    }

    #[test]
    fn a_queue_that_was_full_meanwhile_and_is_empty_by_now() {
        let attempt = unanswered_syn();
        let found =
            |queue| enrichment(vec![Fact::Listener(Listener { queue, limit: 5, ..Listener::default() })]);
        let (full, empty) = (found(6), found(0));
        let mut case = Case::of_attempt(&attempt);
        (case.full, case.enrichment) = (Some(&full), Some(&empty));
        expect(&case, "accept-queue-full", Confidence::Proven);
    }

    #[test]
    fn a_second_syn_ack_on_an_unacknowledged_request() {
        let mut attempt = unanswered_request();
        (attempt.socket.unacked, attempt.socket.acked, attempt.retransmits) = (200, 0, 3);
        expect(&Case::of_attempt(&attempt), "path-lost", Confidence::Likely);
        attempt.trail.push(moment(1_000, Step::SynAckAgain));
        expect(&Case::of_attempt(&attempt), "accept-queue-full", Confidence::Possible);
        attempt.trail.push(moment(1_001, Step::Dropped { reason: "TCP_LISTEN_OVERFLOW".to_owned() }));
        expect(&Case::of_attempt(&attempt), "accept-queue-full", Confidence::Proven);
    }

    #[test]
    fn a_cookie_that_finds_the_queue_full() {
        let mut attempt = unanswered_request();
        (attempt.socket.unacked, attempt.socket.acked, attempt.retransmits) = (200, 0, 3);
        let of = |queue, unaccepted| {
            let listener = Listener { queue, limit: 5, unaccepted, ..Listener::default() };
            enrichment(vec![Fact::Listener(listener)])
        };
        let local = attempt.local.expect("its end");
        for (found, id) in [
            (of(6, None), "accept-queue-full"),
            (of(6, Some(vec![SocketAddr::new(local.ip(), 1)])), "accept-queue-full"),
            (of(5, None), "path-lost"),
            // It waits in that queue: what nginx sends is lost on its way.
            (of(6, Some(vec![local])), "path-lost"),
        ] {
            let mut case = Case::of_attempt(&attempt);
            case.enrichment = Some(&found);
            assert_eq!(crate::testkit::verdict(&case).0, id, "{found:?}");
        }
    }

    #[test]
    fn a_reset_straight_after_the_handshake() {
        let mut attempt = with_reset(unanswered_request(), 2);
        attempt.socket.acked = 0;
        attempt.unacked_at_end = true;
        let full = enrichment(vec![Fact::Listener(Listener { queue: 6, limit: 5, ..Listener::default() })]);
        let mut case = Case::of_attempt(&attempt);
        case.enrichment = Some(&full);
        expect(&case, "accept-queue-full", Confidence::Proven);
        attempt.socket.acked = 200;
        expect(&Case::of_attempt(&attempt), "reset-by-backend", Confidence::Likely);
    }
}
