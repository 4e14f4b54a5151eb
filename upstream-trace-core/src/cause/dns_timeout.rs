//! The name server did not answer.

use super::{Cause, Finding};
use crate::case::Case;
use crate::errno;
use crate::log::Kind;

pub(super) const CAUSE: Cause = Cause {
    id: "dns-timeout",
    reason: Some(4),
    title: "the name server did not answer",
    means: "nginx asked the name server given by `resolver` for the name of the upstream and got no answer within \
            `resolver_timeout` (30 s unless told otherwise).",
    told_apart: "nginx says that its timer ran out, and complains of nothing that it received. An answer that is an \
                 error, or a refusal, is `dns-failure`.",
    fix: "Ask that server yourself: `dig @RESOLVER NAME`. Let UDP and TCP port 53 pass, name a second server in \
          `resolver`, and lower `resolver_timeout` so that requests fail sooner.",
    rests_on: &[],
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let silent = case.said()? == Kind::Name && case.unresolved_code() == Some(errno::ETIMEDOUT);
    if !silent || case.complaint.is_some() {
        return None;
    }
    let name = case.unresolved()?;
    let server = case.attempt.upstream.as_ref().map(|address| format!(" {address}")).unwrap_or_default();
    Some(Finding::likely(format!(
        "{name} could not be resolved: the name server{server} did not answer in time."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn nginx_says_so() {
        let line = line("app.test could not be resolved (110: Operation timed out)");
        let case = Case::of_line(&line, 1);
        expect(&case, "dns-timeout", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Resolve, Some(502)));
    }
}
