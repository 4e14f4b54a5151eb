//! The handshake finished too late.

use super::{Cause, Finding, Signal, limit};
use crate::case::Case;
use crate::event::MS;
use crate::event::Nanos;

pub(super) const CAUSE: Cause = Cause {
    id: "connect-slow",
    reason: Some(4),
    title: "the SYN-ACK came, but later than nginx waited",
    means: "The handshake completed after nginx had given up: packets are lost and retransmitted after a second \
            or more, the path is very long, or proxy_connect_timeout is very short.",
    told_apart: "The connection was established and nginx closed it unused, or this host had to reset SYN-ACKs \
                 of connections that nginx had given up. In `firewall-drop-remote` and `accept-queue-full` no \
                 SYN-ACK comes at all.",
    fix: "`mtr -T -P PORT ADDRESS` for packet loss; set `proxy_connect_timeout` above three seconds so that one \
          lost SYN does not fail a request.",
    rivals: &["firewall-drop-remote", "accept-queue-full"],
    needs: &[Signal::Retransmits],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if !case.tcp() || case.connect.is_some() {
        return None;
    }
    if !case.connected_late() {
        let unanswered = case.connecting() && !case.answered_or_refused() && !case.pending();
        let own = case.late.filter(|_| unanswered).map(|took| too_late(case, took));
        return own.or_else(|| as_others(case).filter(|_| unanswered));
    }
    let took = case.attempt.established?.saturating_sub(case.attempt.begun) / MS;
    let retransmits = case.retransmits_left();
    let finding = Finding::proven(format!(
        "{} completed the handshake only after {took} ms ({retransmits} retransmissions), and nginx closed the connection unused.",
        case.target()
    ));
    Some(finding.fix(fix(case)))
}

/// Its SYN-ACK came, and this host could only reset it.
fn too_late(case: &Case<'_>, took: Nanos) -> Finding {
    let (target, waited) = (case.target(), case.duration() / MS);
    let summary = format!(
        "The SYN-ACK of {target} came {} ms after connect(); nginx had given up after {waited} ms.",
        took / MS
    );
    Finding::proven(summary).fix(fix(case))
}

/// nginx waited for less time than the SYN-ACK of another connection took, which came when that was given up.
fn as_others(case: &Case<'_>) -> Option<Finding> {
    let (_, took) = case.siblings.late?;
    let (waited, target) = (case.duration(), case.target());
    if waited >= took {
        return None;
    }
    let finding = Finding::likely(format!(
        "{target} answers, but late: the SYN-ACK of another connection came {} ms after its connect(); nginx waited \
         {} ms.",
        took / MS,
        waited / MS,
    ));
    Some(finding.or(&["firewall-drop-remote"]).fix(fix(case)))
}

fn fix(case: &Case<'_>) -> String {
    format!(
        "`mtr -T -P {} {}` for packet loss; raise {} above three seconds so that one lost SYN does not fail a request.",
        case.port(),
        case.host(),
        limit::timeout(case, "`proxy_connect_timeout`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::BenignEnd;
    use crate::event::SECOND;
    use crate::testkit::{BEGUN, expect, unanswered_syn};
    use crate::verdict::Confidence;

    #[test]
    fn established_late_and_closed_unused() {
        let mut attempt = unanswered_syn();
        attempt.established = Some(BEGUN + 3 * SECOND + 990 * MS);
        let case = Case::of_attempt(&attempt);
        assert_eq!(case.benign_end(), None);
        expect(&case, "connect-slow", Confidence::Proven);
    }

    #[test]
    fn its_syn_ack_came_after_nginx_had_given_it_up() {
        let mut attempt = unanswered_syn();
        (attempt.seen, attempt.retransmits) = (BEGUN + 300 * MS, 0);
        let mut case = Case::of_attempt(&attempt);
        case.late = Some(346 * MS);
        expect(&case, "connect-slow", Confidence::Proven);
    }

    #[test]
    fn the_syn_ack_of_another_came_after_nginx_had_given_it_up() {
        let mut attempt = unanswered_syn();
        (attempt.seen, attempt.retransmits) = (BEGUN + 300 * MS, 0);
        let mut case = Case::of_attempt(&attempt);
        case.siblings.late = Some((BEGUN - SECOND, 600 * MS));
        expect(&case, "connect-slow", Confidence::Likely);
        // It would have come by now.
        case.siblings.late = Some((BEGUN - SECOND, 200 * MS));
        assert_eq!(judge(&case), None);
    }

    #[test]
    fn established_in_time_and_closed_unused_is_no_failure() {
        let mut attempt = unanswered_syn();
        attempt.established = Some(BEGUN + MS);
        assert_eq!(Case::of_attempt(&attempt).benign_end(), Some(BenignEnd::Answered));
        assert_eq!(judge(&Case::of_attempt(&attempt)), None);
    }
}
