//! The name server said no.

use super::{Cause, Finding};
use crate::case::Case;
use crate::errno;
use crate::log::Kind;

pub(super) const CAUSE: Cause = Cause {
    id: "dns-failure",
    reason: Some(4),
    title: "the name of the upstream could not be resolved",
    means: "nginx asked the name server given by `resolver` for the name of the upstream, and got an error for an \
            answer: no such name, the server failed, it refuses such clients, nobody listens there, or its answers \
            make no sense.",
    told_apart: "nginx says which answer it got. A name server that says nothing at all is `dns-timeout`.",
    fix: "Ask that server yourself: `dig @RESOLVER NAME`. nginx reads neither /etc/hosts nor the search domains of \
          /etc/resolv.conf: write full names. If AAAA answers are broken: `resolver ... ipv6=off;`.",
    rests_on: &[],
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.said()? != Kind::Name {
        return None;
    }
    let (name, code) = (case.unresolved()?, case.unresolved_code());
    if let Some(complaint) = case.complaint.filter(|_| code == Some(errno::ETIMEDOUT)) {
        let server = case.target();
        // Whether it was about this very name, nginx does not say.
        let summary = match complaint.errno {
            Some(errno) => {
                format!("{name} could not be resolved: the name server {server} gave {}.", errno::text(errno))
            }
            None => format!(
                "{name} could not be resolved: nginx could not use what the name server {server} answered."
            ),
        };
        return Some(Finding::likely(summary));
    }
    let why = match code {
        Some(errno::ETIMEDOUT) => return None,
        Some(1) => "the name server did not understand the question (FORMERR)",
        Some(2) => "the name server failed (SERVFAIL)",
        Some(3) => "there is no such name (NXDOMAIN)",
        Some(4) => "the name server does not know such questions (NOTIMP)",
        Some(5) => "the name server refuses to answer this host (REFUSED)",
        _ => "the name server answered with an error",
    };
    Some(Finding::proven(format!("{name} could not be resolved: {why}.")).fix(format!(
        "`dig @{} {name}`. nginx does not use search domains: the name must be complete.",
        case.attempt.upstream.as_ref().map_or_else(|| "RESOLVER".to_owned(), |_| case.host())
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn the_answer_says_it() {
        let line = line("app.test could not be resolved (3: Host not found)");
        let case = Case::of_line(&line, 1);
        expect(&case, "dns-failure", Confidence::Proven);
        assert_eq!((case.phase(), case.status(), case.errno()), (Phase::Resolve, Some(502), None));
        assert!(judge(&case).is_some_and(|found| found.summary.contains("NXDOMAIN")));
    }

    #[test]
    fn a_refused_question_is_no_silence() {
        let line = line("app.test could not be resolved (110: Operation timed out)");
        let complaint = crate::testkit::line("recv() failed (111: Connection refused) while resolving");
        let mut case = Case::of_line(&line, 1);
        expect(&case, "dns-timeout", Confidence::Likely);
        case.complaint = Some(&complaint);
        expect(&case, "dns-failure", Confidence::Likely);
    }
}
