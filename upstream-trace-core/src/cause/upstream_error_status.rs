//! The origin answered with an error of its own.

use super::{Cause, Finding, PeerFailure, Signal};
use crate::case::Case;

pub(super) const CAUSE: Cause = Cause {
    id: "upstream-error-status",
    reason: Some(6),
    title: "the origin itself answered with an error",
    means: "The connection worked and the origin answered with a status of 500 or above. nginx passes such a \
            response on (or tries another peer, if `proxy_next_upstream http_502` or the like is set) and logs \
            nothing. The problem is in the origin or behind it: the application, or what a proxy there could \
            not reach.",
    told_apart: "The status is read from the first bytes of the response. A 502 made by nginx itself has \
                 another cause, such as `port-refused` or `premature-close`, a 504 one such as `slow-response`; \
                 those are in error.log. A response over TLS, HTTP/2 or gRPC cannot be read.",
    fix: "See the origin's log at that time; if the origin is a proxy, find out what it could not reach. `curl \
          -i` to the origin's address shows the response without nginx.",
    rivals: &["port-refused", "premature-close", "slow-response"],
    needs: &[Signal::Answers, Signal::UnixConnections],
    counts_against_peer: PeerFailure::IfRetried,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let status = case.attempt.error_status?;
    let target = case.target();
    let finding = Finding::proven(format!(
        "{target} itself answered with status {status}; the status does not come from nginx."
    ));
    Some(match status {
        500 => finding.fix("An error in the application: see its log at that time."),
        502 | 504 => finding.fix(format!(
            "{target} is a proxy or load balancer that could not reach what is behind it: check it, not nginx."
        )),
        503 => finding.fix(
            "The origin reports overload or maintenance: check its limits (workers, rate limit, health of its dependencies).",
        ),
        _ => finding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Ended, Step};
    use crate::testkit::{expect, moment, unanswered_request, with_fin};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn the_answer_says_it() {
        let mut attempt = unanswered_request();
        (attempt.ended, attempt.outstanding, attempt.bytes_received) = (Ended::Open, false, 120);
        attempt.error_status = Some(502);
        attempt.trail.push(moment(2_000, Step::Response { bytes: 120 }));
        // An origin that closes after its answer changes nothing.
        for attempt in [attempt.clone(), with_fin(attempt, 2_000)] {
            let case = Case::of_attempt(&attempt);
            assert_eq!(case.benign_end(), None);
            expect(&case, "upstream-error-status", Confidence::Proven);
            assert_eq!((case.phase(), case.status(), case.errno()), (Phase::Receive, Some(502), None));
        }
        assert_eq!(judge(&Case::of_attempt(&unanswered_request())), None);
    }
}
