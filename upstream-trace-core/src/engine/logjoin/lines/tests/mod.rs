//! Lines and failures, as they come to the engine.

mod alone;
mod left;
mod lost;
mod stream;

use super::*;
use crate::engine::logjoin::logs::LINE_COMES;
use crate::event::{Attempt, Ended};
use crate::event::{Config, Enrichment, Event, LogFollowed, Process, ProcessChange};
use crate::event::{MS, SECOND};
use crate::testkit::{
    BEGUN, config, connect_error, enrichment, line, refused, unanswered_request, unanswered_syn, with_fin,
    with_reset,
};
use crate::verdict::Verdict;
use crate::verdict::{Confidence, LogLines};

const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";
const HEADER: &str =
    "upstream timed out (110: Connection timed out) while reading response header from upstream";
const CONNECTING: &str = "upstream timed out (110: Connection timed out) while connecting to upstream";
const CLOSED: &str = "upstream prematurely closed connection while reading response header from upstream";
const RESET: &str =
    "recv() failed (104: Connection reset by peer) while reading response header from upstream";
const TOO_BIG: &str = "upstream sent too big header while reading response header from upstream";

fn followed() -> Engine {
    let mut engine = Engine::new();
    for worker in [1713, 1714] {
        engine.on(Event::LogFollowed(LogFollowed { at: 0, worker, followed: true, level: None }));
    }
    engine
}

fn tick(at: Nanos) -> Event {
    Event::Tick { at }
}

/// A line of this client's connection.
fn said(message: &str, connection: u64, at: Nanos) -> Event {
    Event::Log(LogLine { at, connection: Some(connection), ..line(message) })
}

fn by_worker(event: Event, worker: u32) -> Event {
    match event {
        Event::Log(line) => Event::Log(LogLine { worker: Some(worker), ..line }),
        Event::End(attempt) => Event::End(Attempt { worker, ..attempt }),
        other => other,
    }
}

fn end(attempt: Attempt, id: u64, at: Nanos) -> Event {
    Event::End(shifted(attempt, id, at))
}

/// The tool did not get to run for half a second: what it looks up has a later time than what is still to come.
#[test]
fn a_look_up_makes_no_line_wait_in_vain() {
    let mut engine = followed();
    engine.on(said(REFUSED, 1, BEGUN + MS));
    engine.on(said(REFUSED, 2, BEGUN + MS));
    let look_up = |at| Event::Enrichment(Enrichment { at, ..enrichment(Vec::new()) });
    let mut out = engine.on(look_up(BEGUN + SECOND / 2));
    out.extend(engine.on(end(refused(), 1, BEGUN + 2 * MS)));
    out.extend(engine.on(look_up(BEGUN + SECOND / 2)));
    out.extend(engine.on(end(refused(), 2, BEGUN + 3 * MS)));
    out.extend(engine.on(tick(BEGUN + SECOND / 2)));
    assert_eq!(told(&out), [(1, "port-refused", Some(1)), (2, "port-refused", Some(2))]);
}

/// Of a line that was cut off before the upstream, the end of its attempt is read later.
#[test]
fn a_line_without_an_upstream_before_its_failure() {
    let mut engine = followed();
    engine.on(Event::Log(LogLine { at: BEGUN, upstream: None, truncated: true, ..line(REFUSED) }));
    engine.on(end(refused(), 1, BEGUN + MS));
    let out = engine.on(tick(BEGUN + 100 * MS));
    assert_eq!(told(&out), [(1, "port-refused", Some(134))]);
}

/// nginx wrote its line and then did not get to run.
#[test]
fn a_line_long_before_the_close() {
    let mut engine = followed();
    engine.on(said(REFUSED, 1, BEGUN));
    engine.on(tick(BEGUN + 240 * MS));
    engine.on(end(refused(), 1, BEGUN + 250 * MS));
    assert_eq!(told(&engine.on(tick(BEGUN + 280 * MS))), [(1, "port-refused", Some(1))]);
}

/// The same attempt, ended at this time.
fn shifted(mut attempt: Attempt, id: u64, at: Nanos) -> Attempt {
    let times =
        [&mut attempt.established, &mut attempt.request, &mut attempt.last_send, &mut attempt.last_recv];
    let shift = |time: Nanos| (time + at).saturating_sub(attempt.seen);
    for time in times.into_iter().chain([&mut attempt.fin, &mut attempt.reset, &mut attempt.answer]) {
        *time = time.map(shift);
    }
    for moment in &mut attempt.trail {
        moment.at = shift(moment.at);
    }
    attempt.begun = shift(attempt.begun);
    (attempt.id, attempt.seen) = (AttemptId::from_kernel(id), at);
    attempt
}

/// Attempt, cause and connection in the joined line of each failure.
fn told(out: &[Output]) -> Vec<(u64, &'static str, Option<u64>)> {
    failures(out)
        .map(|found| {
            (found.attempt.to_kernel(), found.cause, found.log.as_ref().and_then(|line| line.connection))
        })
        .collect()
}

fn failures(out: &[Output]) -> impl Iterator<Item = &Verdict> {
    out.iter().filter_map(|output| match output {
        Output::Failure(verdict) => Some(verdict),
        _ => None,
    })
}

fn feed(engine: &mut Engine, events: impl IntoIterator<Item = Event>) -> Vec<Output> {
    events.into_iter().flat_map(|event| engine.on(event)).collect()
}

const AT: Nanos = BEGUN + 10 * SECOND;

#[test]
fn nothing_follows_from_what_the_hooks_missed_before_they_were_there() {
    let mut engine = followed();
    let mut out = feed(&mut engine, [said(HEADER, 1, AT), tick(AT + MS), said(HEADER, 2, AT + 2 * MS)]);
    out.extend(feed(&mut engine, [tick(AT + 20 * SECOND)]));
    let causes: Vec<_> = failures(&out).map(|failure| failure.cause).collect();
    assert_eq!(causes, ["unknown", "slow-response"]);
}

#[test]
fn a_line_comes_before_or_after_the_end() {
    for (before, after) in [(90 * MS, 0), (0, 90 * MS), (0, 900 * MS)] {
        let mut engine = followed();
        let events = if before > 0 {
            [said(REFUSED, 5, AT - before), end(refused(), 1, AT)]
        } else {
            [end(refused(), 1, AT), said(REFUSED, 5, AT + after)]
        };
        let mut out = feed(&mut engine, events);
        out.extend(engine.on(tick(AT + after + RETRY_STARTS)));
        assert_eq!(told(&out), [(1, "port-refused", Some(5))]);
        let verdict = failures(&out).next().expect("told");
        assert!(
            verdict.evidence.iter().any(|piece| piece.what == "log" && piece.details["message"] == REFUSED)
        );
        assert_eq!(told(&engine.finish()), []);
        assert_eq!(engine.summary(0).log_lines, LogLines { seen: 1, joined: 1, lost: 0, passed_over: 0 });
    }
}

#[test]
fn a_failure_waits_a_second_for_a_line_that_does_not_come_and_only_if_the_log_is_read() {
    let mut engine = followed();
    engine.on(end(refused(), 1, AT));
    assert_eq!(told(&engine.on(tick(AT + LINE_COMES - 1))), []);
    assert_eq!(told(&engine.on(tick(AT + LINE_COMES))), [(1, "port-refused", None)]);
    // Then it is too late, and no failure of its own.
    engine.on(said(REFUSED, 5, AT + LINE_COMES + 100 * MS));
    assert_eq!(told(&engine.finish()), []);
    let followed = false;
    engine.on(Event::LogFollowed(LogFollowed { at: AT, worker: 1713, followed, level: None }));
    engine.on(end(refused(), 2, AT + 3 * SECOND));
    assert_eq!(told(&engine.on(tick(AT + 3 * SECOND + RETRY_STARTS))), [(2, "port-refused", None)]);
}

/// The tool did not get to run for long: lines come late, and wait for the ends of other attempts then.
#[test]
fn a_line_that_is_read_late_finds_its_failure() {
    for late in [1_300 * MS, 3_300 * MS] {
        let mut engine = followed();
        let line = |connection| {
            let line = LogLine { at: AT + late, connection: Some(connection), ..line(HEADER) };
            Event::Log(LogLine { after: AT - 10 * MS, ..line })
        };
        // A busy nginx comes to its timers late.
        let silent = Attempt { seen: BEGUN + SECOND + 200 * MS, ..unanswered_request() };
        let mut out = feed(
            &mut engine,
            [
                tick(AT - 10 * MS),
                end(silent.clone(), 1, AT),
                end(silent, 2, AT + MS),
                line(1),
                line(2),
                tick(AT + late),
                tick(AT + late + 40 * MS),
            ],
        );
        assert_eq!(told(&out), [], "it is not settled yet");
        out.extend(engine.on(tick(AT + late + 80 * MS)));
        assert_eq!(told(&out), [(1, "slow-response", Some(1)), (2, "slow-response", Some(2))]);
        assert_eq!(engine.summary(0).log_lines, LogLines { seen: 2, joined: 2, lost: 0, passed_over: 0 });
    }
}

#[test]
fn at_the_end_lines_settle_at_once() {
    let mut engine = followed();
    feed(&mut engine, [end(unanswered_request(), 1, AT), said(HEADER, 5, AT + MS)]);
    assert_eq!(told(&engine.finish()), [(1, "slow-response", Some(5))]);
}

#[test]
fn in_order_and_apart_by_worker_and_class() {
    let mut engine = followed();
    let mut out = feed(
        &mut engine,
        [
            end(refused(), 1, AT),
            by_worker(end(refused(), 2, AT + MS), 1714),
            end(with_fin(unanswered_request(), 500), 3, AT + 2 * MS),
            end(refused(), 4, AT + 3 * MS),
            end(unanswered_request(), 5, AT + 4 * MS),
            end(unanswered_syn(), 6, AT + 5 * MS),
            by_worker(said(REFUSED, 20, AT + 9 * MS), 1714),
            said(REFUSED, 10, AT + 10 * MS),
            said(CLOSED, 30, AT + 10 * MS),
            said(REFUSED, 40, AT + 10 * MS),
            said(HEADER, 50, AT + 11 * MS),
            said(CONNECTING, 60, AT + 11 * MS),
        ],
    );
    out.extend(engine.on(tick(AT + 80 * MS)));
    let mut lines: Vec<_> = told(&out).into_iter().map(|(id, _, line)| (id, line)).collect();
    lines.sort_unstable();
    assert_eq!(lines, [1, 2, 3, 4, 5, 6].map(|id| (id, Some(id * 10))));
    assert_eq!(told(&engine.finish()), []);
}
