use super::*;
use crate::hooks::HOOKS;
use crate::testkit::{id, line, unanswered_request};
use crate::verdict::Confidence::{Likely, Possible, Proven};

fn texts(cause: &Cause) -> [&'static str; 3] {
    [cause.means, cause.told_apart, cause.fix]
}

/// What stands between backquotes.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Words joined by hyphens, as ids are.
fn like_an_id(span: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    span.contains('-') && span.split('-').all(word)
}

#[test]
fn every_cause_is_in_the_contract_with_its_reason_and_explains_itself() {
    for cause in CAUSES {
        assert!(CONTRACT.contains(&(cause.id, cause.reason)), "{} is not in the contract", cause.id);
        assert!(!cause.title.is_empty() && cause.title.len() < 100, "{}: title", cause.id);
        for text in texts(cause) {
            assert!(text.len() > 40 && text.ends_with('.'), "{}: {text:?}", cause.id);
        }
    }
}

#[test]
fn every_id_of_the_contract_is_recognised() {
    for (id, _) in CONTRACT {
        assert!(find(id).is_some(), "{id} has no recogniser");
    }
}

#[test]
fn every_reason_of_the_contract_has_a_name_and_every_id_is_there_once() {
    for (index, (id, reason)) in CONTRACT.iter().enumerate() {
        assert!(reason.is_none_or(|reason| category(reason).is_some()), "{id}");
        assert!(CONTRACT[..index].iter().all(|(other, _)| other != id), "{id} twice");
    }
}

#[test]
fn no_cause_is_listed_twice() {
    for (index, cause) in CAUSES.iter().enumerate() {
        assert!(CAUSES[..index].iter().all(|other| other.id != cause.id), "{}", cause.id);
    }
}

#[test]
fn what_looks_like_an_id_is_one() {
    for cause in CAUSES {
        for text in texts(cause) {
            assert!(text.matches('`').count() % 2 == 0, "{}: a command has no end: {text}", cause.id);
            for span in spans(text) {
                assert!(!like_an_id(span) || find(span).is_some(), "{}: there is no `{span}`", cause.id);
                let broken = span
                    .split("- ")
                    .next()
                    .is_some_and(|head| head.len() < span.len() && like_an_id(&format!("{head}-x")));
                assert!(!broken, "{}: `{span}` is broken by a line", cause.id);
            }
        }
    }
}

#[test]
fn rivals_are_causes_and_all_that_are_told_apart() {
    for cause in CAUSES {
        for (index, id) in cause.rivals.iter().enumerate() {
            assert!(find(id).is_some() && *id != cause.id, "{}: rival {id}", cause.id);
            assert!(!cause.rivals[..index].contains(id), "{}: rival {id} twice", cause.id);
        }
        let told = spans(cause.told_apart).filter(|span| find(span).is_some() && *span != cause.id);
        for id in told {
            assert!(cause.rivals.contains(&id), "{}: {id} is told apart and no rival", cause.id);
        }
        assert_eq!(cause.rivals.is_empty(), cause.reason.is_none(), "{}", cause.id);
    }
}

#[test]
fn facts_that_the_engine_asks_for() {
    let ids = |fits: fn(&Cause) -> bool| -> Vec<_> {
        CAUSES.iter().filter(|cause| fits(cause)).map(|cause| cause.id).collect()
    };
    assert_eq!(ids(|cause| cause.consequence), ["no-live-upstreams"]);
    assert_eq!(ids(|cause| cause.ejects(true) && !cause.ejects(false)), ["upstream-error-status"]);
    assert!(
        ["no-live-upstreams", "fd-limit", "worker-connections"]
            .iter()
            .all(|id| !find(id).is_some_and(|cause| cause.ejects(true)))
    );
    assert_eq!(
        ids(|cause| cause.by_nginx_timer != NginxTimer::No),
        [
            "slow-tls-handshake",
            "path-lost",
            "worker-stalled",
            "not-accepted",
            "slow-response",
            "slow-body",
            "unknown"
        ]
    );
}

#[test]
fn whatever_a_cause_needs_is_given_by_a_hook() {
    for cause in CAUSES {
        for need in cause.needs {
            let given = HOOKS.iter().any(|hook| hook.provides.contains(need));
            assert!(given, "no hook gives {need:?}, which {} needs", cause.id);
            assert!(!need.for_all(), "{} need not say that it needs {need:?}", cause.id);
        }
    }
}

/// Lines of which each is the whole evidence of a cause.
const ALONE: [&str; 8] = [
    "app.test could not be resolved (3: Host not found)",
    "upstream sent too big header while reading response header from upstream",
    "upstream sent invalid header while reading response header from upstream",
    "no live upstreams while connecting to upstream",
    "socket() failed (24: x) while connecting to upstream",
    "768 worker_connections are not enough while connecting to upstream",
    "no resolver defined to resolve app.test",
    "upstream SSL certificate verify error: (20:x) while SSL handshaking to upstream",
];

#[test]
fn a_line_alone_proves_nothing() {
    for message in ALONE {
        let mut line = line(message);
        let (_, finding) = judge(&Case::of_line(&line, id(1)));
        assert!(finding.confidence <= Likely, "{message}");
        assert!(finding.summary.ends_with(" Only error.log says so."), "{message}: {}", finding.summary);
        line.doubtful = true;
        let (_, finding) = judge(&Case::of_line(&line, id(1)));
        assert_eq!((finding.confidence, finding.alternatives.is_empty()), (Possible, false), "{message}");
        assert!(finding.summary.contains("what an application wrote"), "{message}");
    }
}

#[test]
fn every_hook_is_there_for_a_cause() {
    for hook in HOOKS {
        assert!(without(hook).is_none_or(|causes| !causes.is_empty()), "{}", hook.name);
    }
    let drops = HOOKS.iter().find(|hook| hook.name == "kfree_skb").and_then(without);
    assert!(drops.is_some_and(|causes| causes.contains(&"firewall-drop-local")));
}

#[test]
fn a_line_and_what_was_left_unread_are_a_proof() {
    let (mut attempt, line) = (unanswered_request(), line(ALONE[1]));
    (attempt.outstanding, attempt.bytes_received) = (false, 4_096);
    assert_eq!(judge(&Case::of_healthy(&attempt, &line)).1.confidence, Likely);
    attempt.socket.unread = 2_000;
    assert_eq!(judge(&Case::of_healthy(&attempt, &line)).1.confidence, Proven);
}
