//! A tunnel was idle for too long.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errorlog::{Doing, Kind};

pub(super) const CAUSE: Cause = Cause {
    id: "idle-tunnel",
    reason: Some(5),
    title: "an upgraded or stream connection was idle for too long",
    means: "No data came over a WebSocket or another upgraded connection, or over a `stream` connection, until \
            nginx's timeout. nginx closed both sides. Often nothing is broken, but users see their connection \
            drop.",
    told_apart: "nginx logs that it was carrying a tunnel. A request without a response is `slow-response`, a \
                 response that stalls `slow-body`.",
    fix: "Let the application or the client send pings more often than the timeout, or raise \
          `proxy_read_timeout` and `proxy_send_timeout` for that location (`proxy_timeout` in stream).",
    rivals: &["slow-response", "slow-body"],
    needs: &[Signal::Answers],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    (case.log_kind()? == Kind::TimedOut(Doing::Tunnel)).then(|| {
        Finding::proven(format!(
            "No data came over the tunnel to {} until nginx's timeout; nginx closed it.",
            case.target()
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
        let line = line("upstream timed out (110: Connection timed out) while proxying upgraded connection");
        let case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "idle-tunnel", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Idle, None));
    }
}
