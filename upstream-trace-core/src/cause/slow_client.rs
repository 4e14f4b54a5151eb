//! nginx stopped reading because its client did.

use super::{Cause, Finding, PeerFailure, Signal};
use crate::case::Case;
use crate::event::{MS, SECOND, Step};

pub(super) const CAUSE: Cause = Cause {
    id: "slow-client",
    reason: Some(5),
    title: "the client read too slowly, nginx stopped reading, and the origin gave up",
    means: "The client reads slowly, and nginx has no room to buffer the response for it (`proxy_buffering \
            off`, or buffers and temporary file are full). It stopped reading from the origin, whose send \
            timeout then ended the connection. The client got a truncated response.",
    told_apart: "Bytes of the response lay unread in nginx's socket for a second or longer when the origin \
                 reset the connection. An origin that stalls leaves nothing unread (`slow-body`); a reset while \
                 nginx was reading is `reset-by-backend`. A worker that stands still leaves bytes unread too \
                 (`worker-stalled`).",
    fix: "Let nginx buffer the response: `proxy_buffering on;`, a larger `proxy_buffers` or \
          `proxy_max_temp_file_size`; or raise the application's send timeout. `limit_rate` slows clients on \
          purpose.",
    rivals: &["slow-body", "reset-by-backend", "worker-stalled"],
    needs: &[Signal::Answers, Signal::Resets],
    counts_against_peer: PeerFailure::No,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let waited = stopped_reading(case)?;
    let (target, unread) = (case.target(), case.attempt.socket.unread);
    // The window of a worker that stands still closes as well.
    let by_client = case.attempt.socket.own_window == Some(0) && waits_for_client(case);
    if unread == 0 && by_client {
        return Some(Finding::proven(format!(
            "nginx had no room left for what {target} sent, because its client reads slowly; then the origin reset the \
             connection, which nginx did not look at for {waited} ms."
        )));
    }
    if unread == 0 {
        return Some(
            Finding::likely(format!(
                "{target} reset the connection, and nginx did not look at it for {waited} ms: it waited for its client, which \
                 reads slowly."
            ))
            .or(&["reset-by-backend"]),
        );
    }
    let summary = format!(
        "nginx had not read from {target} for {waited} ms, with {unread} bytes waiting in its socket, because its client \
         reads slowly; then the origin reset the connection."
    );
    Some(if by_client {
        Finding::proven(summary)
    } else {
        Finding::likely(summary).or(&["reset-by-backend"])
    })
}

/// nginx says that it was sending to its client.
fn waits_for_client(case: &Case<'_>) -> bool {
    case.log.is_some_and(|line| line.action.as_deref() == Some("sending to client"))
}

/// A worker that runs learns of a reset within its event-loop iteration; a busy one within this time.
const LOOKS: u64 = 100 * MS;

/// For how long nginx had not read what was there when the origin reset the connection, or did not look at it afterwards
/// although it ran, ms.
/// [`super::reset_by_backend`] then knows less.
pub(super) fn stopped_reading(case: &Case<'_>) -> Option<u64> {
    let attempt = &case.attempt;
    if case.in_tls_handshake() || case.connecting() || attempt.bytes_received == 0 {
        return None;
    }
    let reset = case.reset_at()?;
    if attempt.socket.unread == 0 {
        // It read on when its client did, and then found the error.
        let waits = waits_for_client(case);
        let found = attempt.step(|step| matches!(step, Step::RecvError { .. }))?;
        let late = found.saturating_sub(reset);
        return (waits && late >= LOOKS).then_some(late / MS);
    }
    let waited = reset.saturating_sub(attempt.last_recv?);
    (waited >= case.slow.max(SECOND)).then_some(waited / MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Attempt;
    use crate::testkit::{BEGUN, expect, line, moment, unanswered_request, verdict, with_reset};
    use crate::verdict::Confidence::{Likely, Proven};

    fn half_read(reset_ms: u64) -> Attempt {
        let mut attempt = with_reset(unanswered_request(), reset_ms);
        (attempt.outstanding, attempt.client_cut, attempt.bytes_received) = (false, true, 40_000);
        (attempt.answer, attempt.last_recv) = (Some(BEGUN + 5 * MS), Some(BEGUN + 10 * MS));
        attempt.socket.unread = 65_000;
        attempt
    }

    #[test]
    fn unread_bytes_and_a_long_pause_before_the_reset() {
        let mut attempt = half_read(30_000);
        expect(&Case::of_attempt(&attempt), "slow-client", Likely);
        attempt.socket.own_window = Some(0);
        expect(&Case::of_attempt(&attempt), "slow-client", Likely);
        let line = line("recv() failed (104: Connection reset by peer) while sending to client");
        let mut case = Case::of_attempt(&attempt);
        case.log = Some(&line);
        expect(&case, "slow-client", Proven);
    }

    #[test]
    fn a_reset_that_nginx_learns_of_when_its_client_reads_on() {
        let line = line("recv() failed (104: Connection reset by peer) while sending to client");
        let mut attempt = half_read(2_000);
        attempt.socket.unread = 0;
        attempt.trail.push(moment(3_000, Step::RecvError { errno: 104 }));
        let mut case = Case::of_attempt(&attempt);
        assert_eq!(verdict(&case).0, "reset-by-backend");
        case.log = Some(&line);
        expect(&case, "slow-client", Likely);
        attempt.trail.clear();
        attempt.trail.push(moment(2_001, Step::RecvError { errno: 104 }));
        let mut case = Case::of_attempt(&attempt);
        case.log = Some(&line);
        assert_eq!(verdict(&case).0, "reset-by-backend");
    }

    #[test]
    fn a_reset_while_nginx_reads_is_the_origins() {
        assert_eq!(verdict(&Case::of_attempt(&half_read(50))).0, "reset-by-backend");
        let mut attempt = half_read(30_000);
        attempt.socket.unread = 0;
        assert_eq!(verdict(&Case::of_attempt(&attempt)).0, "reset-by-backend");
    }
}
