//! The origin closed in the middle of its answer.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errorlog::{Doing, Kind};

pub(super) const CAUSE: Cause = Cause {
    id: "truncated-response",
    reason: Some(6),
    title: "the origin closed in the middle of its response",
    means: "The origin sent the header and part of the body, and closed before the announced length or the last \
            chunk: the process died or was killed, a limit of the application fired, or it announces a wrong \
            length. The client got a status and a truncated body.",
    told_apart: "Only nginx knows the announced length: it logs this. A RST is `reset-by-backend`, a silence \
                 `slow-body`; a close before the header was complete is `premature-close`.",
    fix: "The application's log and `journalctl -u SERVICE` at that time; `dmesg -T | grep -i 'killed \
          process'`. Compare Content-Length with what is sent: `curl -v` straight to the origin.",
    rivals: &["reset-by-backend", "slow-body", "premature-close", "temp-file-failed"],
    needs: &[Signal::Requests, Signal::Answers],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.log_kind()? != Kind::Closed || !matches!(case.log_doing(), Some(Doing::Body | Doing::Tunnel)) {
        return None;
    }
    let bytes = case.attempt.bytes_received;
    let after = if bytes > 0 { format!(", after {bytes} bytes") } else { String::new() };
    Some(Finding::proven(format!(
        "{} closed the connection in the middle of its response{after}.",
        case.target()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn nginx_says_so() {
        let line = line("upstream prematurely closed connection while reading upstream");
        let case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "truncated-response", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Receive, None));
    }
}
