//! The header of the answer did not fit into nginx's buffer.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errorlog::Kind;

pub(super) const CAUSE: Cause = Cause {
    id: "header-too-big",
    reason: Some(6),
    title: "the header of the answer does not fit into nginx's buffer",
    means: "The origin answered, and the header of its answer is longer than nginx's buffer for it: one page unless \
            told otherwise. Most often it sets many or long cookies. nginx throws the answer away.",
    told_apart: "nginx says so itself; to the kernel the exchange looks healthy, but for the unread bytes that nginx \
                 leaves when it closes. A header that is wrong rather than long is `invalid-response`; one that \
                 breaks off is `premature-close`.",
    fix: "Make the header shorter (cookies, tokens), or set `proxy_buffer_size 16k; proxy_buffers 8 16k; \
          proxy_busy_buffers_size 32k;` for that location (fastcgi_, uwsgi_, grpc_ have their own).",
    needs: &[Signal::Answers],
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    (case.said()? == Kind::TooBig).then(|| {
        Finding::proven(format!(
            "The header of the answer of {} does not fit into nginx's buffer; nginx threw the answer away.",
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
        let line = line("upstream sent too big header while reading response header from upstream");
        let case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "header-too-big", Confidence::Proven);
        assert_eq!((case.phase(), case.status()), (Phase::Receive, Some(502)));
    }
}
