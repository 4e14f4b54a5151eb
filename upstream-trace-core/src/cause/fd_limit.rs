//! nginx ran out of file descriptors.

use super::{Cause, Finding, PeerFailure};
use crate::case::Case;
use crate::errorlog::Kind;

pub(super) const CAUSE: Cause = Cause {
    id: "fd-limit",
    reason: Some(0),
    title: "nginx has too many open files",
    means: "The worker could not open another file or socket: it reached its limit of open files (EMFILE), or \
            the host reached its own (ENFILE). It did not try to connect.",
    told_apart: "nginx logs it. The limit of connections, which is nginx's own, is `worker-connections`.",
    fix: "Raise `worker_rlimit_nofile` to at least twice `worker_connections`, and the service's `LimitNOFILE` \
          if that is lower; for the whole host `fs.file-max`. `ls /proc/PID/fd | wc -l` counts the open files.",
    rivals: &["worker-connections"],
    counts_against_peer: PeerFailure::No,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    (case.log_kind()? == Kind::Files)
        .then(|| Finding::proven("The nginx worker could not open a socket: it has too many open files."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn nginx_says_so() {
        let line = line("socket() failed (24: Too many open files) while connecting to upstream");
        let case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "fd-limit", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Connect, Some(500)));
        assert_eq!(case.errno(), Some(24));
    }
}
