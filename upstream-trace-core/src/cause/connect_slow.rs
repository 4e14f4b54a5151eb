//! The handshake finished too late.

use super::{Cause, Finding, Sight, limit};
use crate::case::{Case, MS};

pub(super) const CAUSE: Cause = Cause {
    id: "connect-slow",
    reason: Some(4),
    title: "the SYN-ACK came, but later than nginx waited",
    means: "The handshake finished, only so late that nginx had given the connection up: packets are lost on the way \
            and sent again after a second or more, or the path is very long, or proxy_connect_timeout is very short.",
    told_apart: "The connection was established, and nginx closed it unused. In `firewall-drop-remote` and \
                 `accept-queue-full` no SYN-ACK ever comes.",
    fix: "`mtr -T -P PORT ADDRESS` for loss on the way; raise `proxy_connect_timeout` above three seconds so that one \
          lost SYN does not fail a request.",
    rests_on: &[Sight::Retransmits],
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if !case.tcp() || case.connect.is_some() || !case.connected_late() {
        return None;
    }
    let took = case.attempt.established?.saturating_sub(case.attempt.begun) / MS;
    let retransmits = case.retransmits_left();
    let fix = format!(
        "`mtr -T -P {} {}` for loss on the way; raise {} above three seconds so that one lost SYN does not fail a request.",
        case.port(),
        case.host(),
        limit::timeout(case, "`proxy_connect_timeout`"),
    );
    let finding = Finding::proven(format!(
        "{} finished the handshake only after {took} ms ({retransmits} retransmissions), and nginx closed the connection unused.",
        case.target()
    ));
    Some(finding.fix(fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Calm, SECOND};
    use crate::testkit::{BEGUN, expect, unanswered_syn};
    use crate::verdict::Confidence;

    #[test]
    fn established_late_and_closed_unused() {
        let mut attempt = unanswered_syn();
        attempt.established = Some(BEGUN + 3 * SECOND + 990 * MS);
        let case = Case::of_attempt(&attempt);
        assert_eq!(case.calm(), None);
        expect(&case, "connect-slow", Confidence::Proven);
    }

    #[test]
    fn established_in_time_and_closed_unused_is_no_failure() {
        let mut attempt = unanswered_syn();
        attempt.established = Some(BEGUN + MS);
        assert_eq!(Case::of_attempt(&attempt).calm(), Some(Calm::Answered));
        assert_eq!(judge(&Case::of_attempt(&attempt)), None);
    }
}
