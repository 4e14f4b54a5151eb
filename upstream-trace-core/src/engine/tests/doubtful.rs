//! Ends of which the sockets do not tell for sure whether a request was under way.

use super::*;

/// A request on a pooled connection that is not answered when nginx closes after `silent_ms`, as far as the socket tells.
fn perhaps_unanswered(silent_ms: u64) -> Attempt {
    let mut attempt = Attempt { by_socket: true, in_doubt: true, ..crate::testkit::reused_request() };
    let sent = attempt.last_send.or(attempt.request).expect("a request");
    attempt.seen = sent + silent_ms * MS;
    attempt
}

fn judged(attempt: Attempt, followed: bool) -> Vec<(&'static str, Confidence)> {
    let mut engine = Engine::new();
    let (worker, seen) = (attempt.worker, attempt.seen);
    engine.on(Event::LogFollowed(LogFollowed { at: 0, worker, followed, level: None }));
    engine.on(Event::End(attempt));
    let out = engine.on(tick(seen + 5 * SECOND));
    let verdicts = out.into_iter().filter_map(|output| match output {
        Output::Failure(verdict) => Some((verdict.cause, verdict.confidence)),
        _ => None,
    });
    verdicts.collect()
}

#[test]
fn a_doubtful_end_without_a_line_is_no_failure_where_lines_are_read() {
    assert_eq!(judged(perhaps_unanswered(2_000), true), []);
    let certain = Attempt { in_doubt: false, ..perhaps_unanswered(2_000) };
    assert_eq!(judged(certain, true).len(), 1);
}

#[test]
fn a_doubtful_end_where_no_lines_are_read_is_possible_if_it_fits_a_timer() {
    let found = judged(perhaps_unanswered(2_000), false);
    assert!(matches!(found[..], [(_, Confidence::Possible)]), "{found:?}");
    assert_eq!(judged(perhaps_unanswered(1_400), false), []);
}
