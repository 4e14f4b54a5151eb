//! The application stopped reading the request.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errorlog::{Doing, Kind};

pub(super) const CAUSE: Cause = Cause {
    id: "not-reading",
    reason: Some(1),
    title: "the application stopped reading while nginx sent the request",
    means: "The origin's kernel took data until its buffer was full and then closed the receive window: the \
            application does not read the request body. All its threads are busy, or it waits for something \
            else.",
    told_apart: "What was sent is acknowledged and the window is zero. If the data is retransmitted without \
                 acknowledgement, the path loses it (`path-lost`). An origin that answers and closes before it \
                 has read the request is `request-rejected-early`.",
    fix: "Look at what the application does with request bodies (threads, disk, a lock). Raising \
          `proxy_send_timeout` only hides it.",
    rivals: &["path-lost", "request-rejected-early", "slow-response", "not-accepted"],
    needs: &[Signal::Requests, Signal::Retransmits, Signal::UnixConnections, Signal::UnixEnds],
    judge,
    ..Cause::BLANK
};

/// Below two segments a sender waits for more room (silly window avoidance).
const TWO_SEGMENTS: u32 = 2 * 1460;

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.unseen_on_unix() && case.log_kind() == Some(Kind::TimedOut(Doing::Sending)) {
        let summary = format!("{} did not read the request within nginx's timeout.", case.target());
        return Some(Finding::likely(summary).or(&["not-accepted"]));
    }
    let (attempt, socket) = (&case.attempt, &case.attempt.socket);
    let blocked = attempt.send_blocked || socket.unsent > 0;
    let lost = socket.unacked > socket.unsent && case.retransmits_left() > 0 && socket.probes == 0;
    if !case.awaiting() || !blocked || lost || !case.silent() || !case.overdue() {
        return None;
    }
    if case.unix() {
        let summary = format!("{} stopped reading the request: its socket buffer is full.", case.target());
        return Some(Finding::proven(summary));
    }
    let summary = format!("{} stopped reading the request after {} bytes.", case.target(), socket.acked);
    if socket.peer_window == 0 {
        Some(Finding::proven(summary))
    } else if socket.peer_window < TWO_SEGMENTS && socket.unacked == socket.unsent {
        Some(Finding::likely(summary))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Upstream;
    use crate::testkit::{expect, unanswered_request};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn a_zero_window_proves_it() {
        let mut attempt = unanswered_request();
        attempt.send_blocked = true;
        (attempt.socket.unsent, attempt.socket.unacked, attempt.socket.peer_window) = (90_000, 90_000, 0);
        expect(&Case::of_attempt(&attempt), "not-reading", Confidence::Proven);
    }

    #[test]
    fn a_unix_socket_that_stays_full_is_not_read() {
        let mut attempt = unanswered_request();
        attempt.upstream = Some(Upstream::Unix("/run/app.sock".to_owned()));
        attempt.send_blocked = true;
        let case = Case::of_attempt(&attempt);
        assert_eq!(case.phase(), Phase::Send);
        expect(&case, "not-reading", Confidence::Proven);
    }

    #[test]
    fn unacknowledged_data_and_an_open_window_is_the_path() {
        let mut attempt = unanswered_request();
        attempt.send_blocked = true;
        (attempt.socket.unsent, attempt.socket.unacked, attempt.retransmits) = (90_000, 120_000, 4);
        expect(&Case::of_attempt(&attempt), "path-lost", Confidence::Likely);
    }
}
