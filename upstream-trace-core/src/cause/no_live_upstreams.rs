//! All peers were ejected.

use super::{Cause, Finding};
use crate::case::Case;
use crate::errorlog::Kind;

pub(super) const CAUSE: Cause = Cause {
    id: "no-live-upstreams",
    reason: Some(0),
    title: "every upstream of the group had been ejected",
    means: "nginx had none left to try: each peer of the group had failed `max_fails` times within `fail_timeout`, \
            is marked `down`, or has `max_conns` connections. The cause is what failed before; nginx answers 502 \
            without trying.",
    told_apart: "nginx says so itself, and no connection was tried. What ejected the peers, and when, stands beside it \
                 as far as it was seen: `port-refused`, `slow-response` or whatever they failed for. If nothing was \
                 seen, the peers are marked down, full (max_conns), or failed before the trace began.",
    fix: "Mend the causes that ejected the peers. So that one failure does not eject a peer for 10 s: `max_fails`, \
          `fail_timeout`, more peers, a `backup`. A name that resolves to 127.0.0.1 and ::1 counts as two peers.",
    needs: &[],
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.said()? != Kind::NoLive {
        return None;
    }
    let group = case.log.and_then(crate::errorlog::upstream_group);
    let group = group.map(|group| format!(" of {group}")).unwrap_or_default();
    let because = if case.because.is_empty() {
        "what ejected them was not seen".to_owned()
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
        expect(&case, "no-live-upstreams", Confidence::Proven);
        assert_eq!((case.phase(), case.status()), (Phase::Connect, Some(502)));
        assert!(
            judge(&case).is_some_and(
                |found| found.summary.contains("of backend") && found.summary.contains("not seen")
            )
        );
        case.because = vec!["port-refused", "slow-response"];
        assert!(judge(&case).is_some_and(|found| found.summary.contains("port-refused, slow-response")));
    }
}
