//! nginx ran out of connections.

use super::{Cause, Finding, PeerFailure};
use crate::case::Case;
use crate::errorlog::Kind;

pub(super) const CAUSE: Cause = Cause {
    id: "worker-connections",
    reason: Some(0),
    title: "nginx's worker_connections are not enough",
    means: "The worker uses as many connections as `worker_connections` allows, clients and upstreams together, \
            and could not open another one. It did not try to connect.",
    told_apart: "nginx logs it. The limit of open files, which is the system's, is `fd-limit`.",
    fix: "Raise `worker_connections` (a proxied request takes two) and with it `worker_rlimit_nofile`. If \
          connections pile up because the upstream is slow, fix that first.",
    rivals: &["fd-limit"],
    counts_against_peer: PeerFailure::No,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    (case.log_kind()? == Kind::Connections).then(|| {
        Finding::proven(format!(
            "The nginx worker could not open a connection to the upstream: {}.",
            case.log_words()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn nginx_says_so() {
        let line = line("768 worker_connections are not enough while connecting to upstream");
        let case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "worker-connections", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Connect, Some(500)));
    }
}
