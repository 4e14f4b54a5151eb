//! The origin answered with an error of its own.

use super::{Cause, Finding, Signal};
use crate::case::Case;

pub(super) const CAUSE: Cause = Cause {
    id: "upstream-error-status",
    reason: Some(6),
    title: "the origin itself answered with an error",
    means: "The connection worked and the origin answered, with a status of 500 or above. nginx passes such an answer \
            on (or tries another peer, if `proxy_next_upstream http_502` and the like say so) and writes nothing into \
            error.log. What failed lies in the origin or behind it: the application, or what a proxy there could not \
            reach.",
    told_apart: "The status is read from the first bytes of the answer. A 502 that nginx itself made has \
                 another cause, such as `port-refused` or `premature-close`, and a 504 one such as `slow-response`; \
                 those are in error.log. An answer over TLS, HTTP/2 or gRPC cannot be read.",
    fix: "Look into the log of the origin at that time; if it is a proxy itself, find out what that could not reach. \
          `curl -i` to the address of the origin shows the answer without nginx.",
    needs: &[Signal::Answers, Signal::UnixConnections],
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let status = case.attempt.error_status?;
    let target = case.target();
    let finding =
        Finding::proven(format!("{target} itself answered with status {status}; nginx did not make it."));
    Some(match status {
        500 => finding.fix("An error in the application: its own log has it, at that time."),
        502 | 504 => finding.fix(format!(
            "{target} is a proxy (or a load balancer) that could not reach what is behind it: look there, not at nginx."
        )),
        503 => finding.fix(
            "The origin says that it is overloaded or in maintenance: look at its limits (workers, rate limit, health of what it depends on).",
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
