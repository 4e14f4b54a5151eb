//! A tunnel was idle for too long.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errorlog::{Doing, Kind};

pub(super) const CAUSE: Cause = Cause {
    id: "idle-tunnel",
    reason: Some(5),
    title: "an upgraded or stream connection was idle for too long",
    means: "Nothing came over a WebSocket or another upgraded connection, or over a connection of `stream`, until \
            nginx's timeout ran out. nginx closed both sides. That is often no fault, but users see their connection \
            drop.",
    told_apart: "nginx says itself that it was carrying a tunnel. A request without an answer is `slow-response`, an \
                 answer that stalls `slow-body`.",
    fix: "Let the application or the client send a ping more often than the timeout, or raise `proxy_read_timeout` \
          and `proxy_send_timeout` for that location (`proxy_timeout` in stream).",
    needs: &[Signal::Answers],
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    (case.said()? == Kind::TimedOut(Doing::Tunnel)).then(|| {
        Finding::proven(format!(
            "Nothing came over the tunnel to {} until nginx's timeout ran out; nginx closed it.",
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
        expect(&case, "idle-tunnel", Confidence::Proven);
        assert_eq!((case.phase(), case.status()), (Phase::Idle, None));
    }
}
