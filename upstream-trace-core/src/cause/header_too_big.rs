//! The header of the answer did not fit into nginx's buffer.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errorlog::Kind;

pub(super) const CAUSE: Cause = Cause {
    id: "header-too-big",
    reason: Some(6),
    title: "the response header does not fit nginx's buffer",
    means: "The origin's response header is longer than nginx's buffer for it, which is one memory page by \
            default. Usually it sets many or long cookies. nginx discards the response.",
    told_apart: "nginx logs it; to the kernel the exchange looks healthy except for the bytes that nginx leaves \
                 unread. A malformed header is `invalid-response`; one that breaks off is `premature-close`.",
    fix: "Shorten the header (cookies, tokens), or set `proxy_buffer_size 16k; proxy_buffers 8 16k; \
          proxy_busy_buffers_size 32k;` for that location (fastcgi_, uwsgi_ and grpc_ have their own).",
    rivals: &["invalid-response", "premature-close"],
    needs: &[Signal::Answers],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    (case.log_kind()? == Kind::TooBig).then(|| {
        Finding::proven(format!(
            "The response header of {} does not fit nginx's buffer; nginx discarded the response.",
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
        expect(&case, "header-too-big", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Receive, Some(502)));
    }
}
