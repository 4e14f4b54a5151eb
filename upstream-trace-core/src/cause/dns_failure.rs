//! The name server said no.

use super::{Cause, Finding, PeerFailure};
use crate::case::Case;
use crate::errno;
use crate::errorlog::Kind;
use crate::event::{Lookup, LookupState, Outcome};
use crate::text::sentence;
use crate::text::shell;

pub(super) const CAUSE: Cause = Cause {
    id: "dns-failure",
    reason: Some(4),
    title: "the name of the upstream could not be resolved",
    means: "nginx asked the name server set by `resolver` for the upstream's name and got an error: no such \
            name, server failure, query refused, nothing listening there, or a malformed response.",
    told_apart: "The response itself is seen, and nginx logs which error it got. No response at all is \
                 `dns-timeout`; a missing `resolver` is `misconfigured`.",
    fix: "Ask that server: `dig @RESOLVER NAME`. nginx does not use /etc/hosts or the search domains of \
          /etc/resolv.conf: write full names. If only AAAA fails: `resolver ... ipv6=off;`.",
    rivals: &["dns-timeout", "misconfigured"],
    counts_against_peer: PeerFailure::No,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.lookup.is_none() && case.log_kind()? != Kind::Name {
        return None;
    }
    let (name, code) = (case.unresolved_name()?, case.resolve_error());
    let said = sentence(name);
    let seen = match case.lookup.map(|lookup| lookup.state) {
        Some(LookupState::Failed(code)) => Some(i32::from(code)),
        _ => None,
    };
    if let Some(lookup) = case.lookup.filter(|_| code.or(seen).is_none_or(|code| code == errno::ETIMEDOUT)) {
        return in_trouble(case, lookup, name);
    }
    if let Some(complaint) = case.complaint.filter(|_| code == Some(errno::ETIMEDOUT)) {
        let server = case.target();
        // Whether it was about this very name, nginx does not say.
        let summary = match complaint.errno {
            Some(errno) => {
                format!("{said} could not be resolved: the name server {server} gave {}.", errno::text(errno))
            }
            None => format!(
                "{said} could not be resolved: nginx could not use the response of the name server {server}."
            ),
        };
        return Some(Finding::likely(summary));
    }
    let why = match code.or(seen) {
        Some(errno::ETIMEDOUT) => return None,
        Some(1) => "the name server could not parse the query (FORMERR)",
        Some(2) => "the name server failed (SERVFAIL)",
        Some(3) => "there is no such name (NXDOMAIN)",
        Some(4) => "the name server does not support this query (NOTIMP)",
        Some(5) => "the name server refuses to answer this host (REFUSED)",
        _ => "the name server answered with an error",
    };
    let server = case.lookup.and_then(Lookup::server).map(|server| format!(" {server}")).unwrap_or_default();
    let why = why.replacen("the name server", &format!("the name server{server}"), 1);
    let word = shell::word(name, "NAME");
    Some(Finding::proven(format!("{said} could not be resolved: {why}.")).fix(format!(
        "`dig @{} {word}`. nginx does not use search domains: the name must be complete.",
        case.attempt.upstream.as_ref().map_or_else(|| "RESOLVER".to_owned(), |_| case.host())
    )))
}

/// No answer that nginx takes, but something came.
fn in_trouble(case: &Case<'_>, lookup: &Lookup, name: &str) -> Option<Finding> {
    let (asked, what) = lookup.troubles().last()?;
    let server = asked.server;
    let (why, fix) = match what {
        Outcome::Error { errno: errno::ECONNREFUSED } => (
            format!("nobody listens at the name server {server} (connection refused)"),
            Some(format!("Start the name server at {server}, or set another one in `resolver`.")),
        ),
        Outcome::Error { errno } => (format!("the name server {server} gave {}", errno::text(*errno)), None),
        Outcome::NotSent { errno: errno::EPERM } => (
            format!("this host refused to send the query to {server} (EPERM): a local firewall rule"),
            Some(format!(
                "Allow UDP and TCP to port {} in the output chain: `nft list ruleset`.",
                server.port()
            )),
        ),
        Outcome::NotSent { errno } => {
            (format!("the query to {server} could not be sent: {}", errno::text(*errno)), None)
        }
        Outcome::Ignored(why) => (
            format!("nginx cannot use the response of the name server {server} ({})", sentence(why)),
            Some(format!(
                "`dig @{} -p {} {}` (and with `AAAA`) shows that response; if only AAAA fails: `resolver ... ipv6=off;`.",
                server.ip(),
                server.port(),
                shell::word(name, "NAME")
            )),
        ),
        Outcome::Answer { .. } => return None,
    };
    let verb = if case.pending() { "is not resolved so far" } else { "could not be resolved" };
    let summary = format!("{} {verb}: {why}.", sentence(name));
    // Of several servers, others may have been silent.
    let finding = if lookup.silent().next().is_none() && !case.pending() {
        Finding::proven(summary)
    } else {
        Finding::likely(summary)
    };
    Some(match fix {
        Some(fix) => finding.fix(fix),
        None => finding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line, lookup};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn the_answer_says_it() {
        let line = line("app.test could not be resolved (3: Host not found)");
        let case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "dns-failure", Confidence::Likely);
        assert_eq!((case.phase(), case.status(), case.errno()), (Phase::Resolve, Some(502), None));
        assert!(judge(&case).is_some_and(|found| found.summary.contains("NXDOMAIN")));
    }

    #[test]
    fn the_answer_is_seen_without_a_line() {
        let lookup = lookup(LookupState::Failed(3), vec![Some(Outcome::Answer { code: 3, records: 0 })]);
        let case = Case::of_lookup(&lookup, None);
        expect(&case, "dns-failure", Confidence::Proven);
        assert_eq!(
            (case.phase(), case.status(), case.unresolved_name()),
            (Phase::Resolve, Some(502), Some("app.test"))
        );
        assert!(judge(&case).is_some_and(|found| found.summary.contains("NXDOMAIN")));
    }

    #[test]
    fn what_nginx_cannot_use_is_named() {
        let line = line("app.test could not be resolved (110: Operation timed out)");
        for (what, says) in [
            (Outcome::Error { errno: 111 }, "nobody listens"),
            (Outcome::NotSent { errno: 1 }, "a local firewall rule"),
            (Outcome::NotSent { errno: 101 }, "could not be sent"),
            (Outcome::Error { errno: 113 }, "gave"),
            (Outcome::Ignored("code 1 (FORMERR)".to_owned()), "FORMERR"),
        ] {
            let all = lookup(LookupState::Open, vec![Some(what.clone()), Some(what.clone())]);
            let case = Case::of_lookup(&all, Some(&line));
            expect(&case, "dns-failure", Confidence::Proven);
            let summary = judge(&case).expect("found").summary;
            assert!(summary.contains(says), "{summary}");
            let one = lookup(LookupState::Open, vec![Some(what), None]);
            expect(&Case::of_lookup(&one, Some(&line)), "dns-failure", Confidence::Likely);
            let pending = Case::of_lookup(&all, None);
            assert!(pending.pending() && pending.status().is_none());
            expect(&pending, "dns-failure", Confidence::Likely);
        }
    }

    #[test]
    fn a_refused_question_is_no_silence() {
        let line = line("app.test could not be resolved (110: Operation timed out)");
        let complaint = crate::testkit::line("recv() failed (111: Connection refused) while resolving");
        let mut case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "dns-timeout", Confidence::Likely);
        case.complaint = Some(&complaint);
        expect(&case, "dns-failure", Confidence::Likely);
    }
}
