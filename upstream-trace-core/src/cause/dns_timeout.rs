//! The name server did not answer.

use super::{Cause, Finding, PeerFailure};
use crate::case::Case;
use crate::errno;
use crate::errorlog::Kind;
use crate::event::MS;
use crate::event::{Lookup, LookupState};
use crate::text::sentence;

pub(super) const CAUSE: Cause = Cause {
    id: "dns-timeout",
    reason: Some(4),
    title: "the name server did not answer",
    means: "nginx asked the name server set by `resolver` for the upstream's name and got no response within \
            `resolver_timeout` (30 s by default).",
    told_apart: "Queries were seen to leave and nothing came back; nginx logs a timeout and no other resolver \
                 error. An error response, or a refusal, is `dns-failure`.",
    fix: "Ask that server: `dig @RESOLVER NAME`. Allow UDP and TCP port 53, add a second server to `resolver`, \
          and lower `resolver_timeout` so that requests fail sooner.",
    rivals: &["dns-failure"],
    counts_against_peer: PeerFailure::No,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if let Some(lookup) = case.lookup {
        return not_answered(case, lookup);
    }
    let silent = case.log_kind()? == Kind::Name && case.resolve_error() == Some(errno::ETIMEDOUT);
    if !silent || case.complaint.is_some() {
        return None;
    }
    let name = sentence(case.unresolved_name()?);
    let server = case.attempt.upstream.as_ref().map(|address| format!(" {address}")).unwrap_or_default();
    Some(Finding::likely(format!(
        "{name} could not be resolved: the name server{server} did not answer in time."
    )))
}

/// The questions were seen, and nothing came back.
fn not_answered(case: &Case<'_>, lookup: &Lookup) -> Option<Finding> {
    let told = case.log_kind().is_some() && case.resolve_error() == Some(errno::ETIMEDOUT);
    let silent = told || matches!(lookup.state, LookupState::Open | LookupState::GivenUp);
    if !silent || (case.log_kind().is_some() && !told) || lookup.silent().next().is_none() {
        return None;
    }
    let mut servers: Vec<_> = lookup.silent().map(|asked| asked.server.to_string()).collect();
    servers.sort_unstable();
    servers.dedup();
    let (name, servers, ms) = (sentence(case.unresolved_name()?), servers.join(", "), case.duration() / MS);
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
