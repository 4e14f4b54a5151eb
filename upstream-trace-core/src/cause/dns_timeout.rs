//! The name server did not answer.

use super::{Cause, Finding};
use crate::case::Case;
use crate::errno;
use crate::errorlog::Kind;
use crate::event::MS;
use crate::event::{Lookup, LookupState};

pub(super) const CAUSE: Cause = Cause {
    id: "dns-timeout",
    reason: Some(4),
    title: "the name server did not answer",
    means: "nginx asked the name server given by `resolver` for the name of the upstream and got no answer within \
            `resolver_timeout` (30 s unless told otherwise).",
    told_apart: "Questions are seen to leave and nothing to come back; nginx says that its timer ran out, and complains of \
                 nothing that it received. An answer that is an \
                 error, or a refusal, is `dns-failure`.",
    fix: "Ask that server yourself: `dig @RESOLVER NAME`. Let UDP and TCP port 53 pass, name a second server in \
          `resolver`, and lower `resolver_timeout` so that requests fail sooner.",
    needs: &[],
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if let Some(lookup) = case.lookup {
        return not_answered(case, lookup);
    }
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

/// The questions were seen, and nothing came back.
fn not_answered(case: &Case<'_>, lookup: &Lookup) -> Option<Finding> {
    let told = case.said().is_some() && case.unresolved_code() == Some(errno::ETIMEDOUT);
    let silent = told || matches!(lookup.state, LookupState::Open | LookupState::GivenUp);
    if !silent || (case.said().is_some() && !told) || lookup.silent().next().is_none() {
        return None;
    }
    let mut servers: Vec<_> = lookup.silent().map(|asked| asked.server.to_string()).collect();
    servers.sort_unstable();
    servers.dedup();
    let (name, servers, ms) = (case.unresolved()?, servers.join(", "), case.duration() / MS);
    if case.pending() {
        return Some(Finding::likely(format!(
            "{name}: the name server {servers} has not answered for {ms} ms so far."
        )));
    }
    let summary =
        format!("{name} could not be resolved: the name server {servers} did not answer within {ms} ms.");
    let alone = lookup.troubles().next().is_none();
    Some(if told && alone { Finding::proven(summary) } else { Finding::likely(summary) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line, lookup};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn questions_without_an_answer() {
        let line = line("app.test could not be resolved (110: Operation timed out)");
        let open = lookup(LookupState::Open, vec![None, None]);
        let case = Case::of_lookup(&open, Some(&line));
        expect(&case, "dns-timeout", Confidence::Proven);
        assert_eq!((case.phase(), case.status()), (Phase::Resolve, Some(502)));
        let case = Case::of_lookup(&open, None);
        assert!(case.pending() && case.status().is_none());
        expect(&case, "dns-timeout", Confidence::Likely);
        let over = lookup(LookupState::GivenUp, vec![None, None]);
        expect(&Case::of_lookup(&over, None), "dns-timeout", Confidence::Likely);
    }

    #[test]
    fn nginx_says_so() {
        let line = line("app.test could not be resolved (110: Operation timed out)");
        let case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "dns-timeout", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Resolve, Some(502)));
    }
}
