//! Lines of attempts of which nothing else came through.

use super::*;
use crate::engine::stores::queue::MAX_HELD;
use crate::event::{Host, Lost};

fn lost(place: &str, count: u64) -> Event {
    Event::Lost(Lost { at: AT + SECOND, count, place: place.to_owned(), since: AT - SECOND })
}

#[test]
fn a_line_tells_of_a_lost_attempt_if_it_says_why() {
    let mut engine = followed();
    let mut out = feed(
        &mut engine,
        [
            lost("ring-buffer", 2),
            said(CONNECTING, 1, AT),
            said(RESET, 2, AT),
            said(RESET, 3, AT),
            // That many were not lost: the attempt of this one came through and was told of without its line.
            said(RESET, 4, AT),
            said(TOO_BIG, 5, AT),
        ],
    );
    out.extend(engine.finish());
    let told: Vec<_> = told(&out).into_iter().map(|(_, cause, line)| (cause, line)).collect();
    assert_eq!(
        told,
        [("reset-by-backend", Some(2)), ("reset-by-backend", Some(3)), ("header-too-big", Some(5))]
    );
    let summary = engine.summary(0);
    assert_eq!(summary.log_lines, LogLines { seen: 5, joined: 0, lost: 2, passed_over: 0 });
    assert_eq!((summary.failures, summary.lost), (3, 2));
    assert!(failures(&out).all(|verdict| verdict.confidence != Confidence::Proven));
}

#[test]
fn without_lost_attempts_a_line_that_says_nothing_is_a_failure_of_its_own() {
    for place in ["", "error-log", "upstream-table"] {
        let mut engine = followed();
        let count = u64::from(!place.is_empty());
        let mut out = feed(&mut engine, [lost(place, count), said(CONNECTING, 1, AT)]);
        out.extend(engine.finish());
        assert_eq!(failures(&out).map(|verdict| verdict.cause).collect::<Vec<_>>(), ["unknown"], "{place}");
    }
}

/// More failures at one upstream within two seconds than wait for their lines.
#[test]
fn a_line_of_a_failure_that_was_forgotten_is_none_of_its_own() {
    const STORM: u64 = 70_000;
    let mut engine = followed();
    let mut out = Vec::new();
    for id in 1..=STORM {
        out.extend(engine.on(end(refused(), id, AT + id)));
    }
    for id in 1..=STORM {
        out.extend(engine.on(said(REFUSED, id, AT + 100 * MS)));
    }
    out.extend(engine.on(tick(AT + 100 * MS)));
    out.extend(engine.finish());
    let (told, summary) = (failures(&out).count() as u64, engine.summary(0));
    assert_eq!((told, summary.failures), (STORM, STORM));
    let LogLines { seen, joined, lost, .. } = summary.log_lines;
    assert_eq!((seen, joined + lost), (STORM, STORM));
    let (places, held) = (&summary.lost_by_place, MAX_HELD as u64);
    // All but those that were held; of most of these the line was known to be theirs.
    assert_eq!((lost, places["failures-held"]), (STORM - held, STORM - held));
    assert!(places["log-lines"] > 0 && places["log-lines"] < lost, "{summary:?}");
}

/// More lines than wait for their failures: the oldest wait no longer, and are none of their own.
#[test]
fn a_line_that_made_room_is_no_failure_of_its_own() {
    const STORM: u64 = 17_000;
    let mut engine = followed();
    let mut out = Vec::new();
    for id in 1..=STORM {
        out.extend(engine.on(said(REFUSED, id, AT)));
    }
    for id in 1..=STORM {
        out.extend(engine.on(end(refused(), id, AT + id)));
    }
    out.extend(engine.finish());
    let summary = engine.summary(0);
    assert_eq!(failures(&out).count() as u64, STORM);
    let LogLines { joined, lost, .. } = summary.log_lines;
    assert_eq!((joined + lost, summary.failures), (STORM, STORM));
    assert!(lost > 0 && summary.lost_by_place["log-lines"] >= lost, "{summary:?}");
}

/// The log is opened before the hooks are attached, and on a busy host that takes a while.
#[test]
fn lines_from_before_the_start_are_no_failures() {
    let mut engine = followed();
    engine.on(Event::Host(Host { at: AT, ..Host::default() }));
    let written = |after: Nanos, client| {
        Event::Log(LogLine { at: AT + 20 * MS, after, connection: Some(client), ..line(REFUSED) })
    };
    // The attempt of one of them was seen, and it has its line.
    let mut out = feed(&mut engine, [written(AT - MS, 1), written(AT - MS, 2), end(refused(), 1, AT + MS)]);
    out.extend(engine.on(tick(AT + SECOND)));
    out.extend(feed(&mut engine, [written(AT + MS, 3)]));
    out.extend(engine.finish());
    let told: Vec<_> = told(&out).into_iter().map(|(_, cause, line)| (cause, line)).collect();
    assert_eq!(told, [("port-refused", Some(1)), ("unknown", Some(3))]);
    assert_eq!(engine.summary(0).log_lines, LogLines { seen: 3, joined: 1, lost: 1, passed_over: 0 });
}
