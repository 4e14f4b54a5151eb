//! All peers were ejected.

use super::{Cause, Finding, PeerFailure};
use crate::case::Case;
use crate::errorlog::Kind;
use crate::text::sentence;

pub(super) const CAUSE: Cause = Cause {
    id: "no-live-upstreams",
    reason: Some(0),
    title: "every upstream of the group had been ejected",
    means: "nginx had no peer left to try: each one had failed `max_fails` times within `fail_timeout`, is \
            marked `down`, or has `max_conns` connections. The cause is whatever failed before; nginx answers \
            502 without trying.",
    told_apart: "nginx logs it, and no connection was tried. What ejected the peers, and when, is listed as far \
                 as it was seen: `port-refused`, `slow-response` or another cause. If nothing was seen, the \
                 peers are marked down, are full (max_conns), or failed before the trace started.",
    fix: "Fix the causes that ejected the peers; raise `max_conns` if it is reached. To keep one failure from ejecting a peer for 10 s: \
          `max_fails`, `fail_timeout`, more peers, a `backup`. A name that resolves to 127.0.0.1 and ::1 counts \
          as two peers.",
    rivals: &["port-refused", "slow-response"],
    counts_against_peer: PeerFailure::No,
    consequence: true,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.log_kind()? != Kind::NoLive {
        return None;
    }
    let group = case.log.and_then(crate::errorlog::upstream_group);
    let group = group.map(|group| format!(" of {}", sentence(group))).unwrap_or_default();
    let because = if case.because.is_empty() {
        "what ejected them was not seen, or they are marked `down` or have `max_conns` connections".to_owned()
    } else {
        format!("ejected because of {}", case.because.join(", "))
    };
    Some(Finding::proven(format!("nginx had no upstream{group} left to try: {because}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn it_says_what_ejected_them_if_that_was_seen() {
        let mut line = line("no live upstreams while connecting to upstream");
        line.upstream = Some("http://backend/x".to_owned());
        let mut case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "no-live-upstreams", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Connect, Some(502)));
        assert!(
            judge(&case).is_some_and(
                |found| found.summary.contains("of backend") && found.summary.contains("not seen")
            )
        );
        case.because = vec!["port-refused", "slow-response"];
        expect(&case, "no-live-upstreams", Confidence::Proven);
        assert!(judge(&case).is_some_and(|found| found.summary.contains("port-refused, slow-response")));
    }
}
