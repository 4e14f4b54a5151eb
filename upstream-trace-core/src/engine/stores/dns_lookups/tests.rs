//! Lookups and lines, as they come to the engine.

use super::*;
use crate::event::{Event, LogFollowed, Outcome};
use crate::testkit::{BEGUN, line, lookup};

const TIMED_OUT: &str = "app.test could not be resolved (110: Operation timed out)";

fn engine(followed: bool) -> Engine {
    let mut engine = Engine::new();
    engine.on(Event::LogFollowed(LogFollowed { at: 0, worker: 1713, followed, level: None }));
    engine
}

fn failed() -> Lookup {
    lookup(LookupState::Failed(3), vec![Some(Outcome::Answer { code: 3, records: 0 })])
}

fn said(message: &str, at: Nanos) -> Event {
    Event::Log(LogLine { at, upstream: None, ..line(message) })
}

fn failures(out: Vec<Output>) -> Vec<(&'static str, Confidence, Option<String>, bool, AttemptId)> {
    let verdicts = out.into_iter().filter_map(|output| match output {
        Output::Failure(verdict) => Some(verdict),
        _ => None,
    });
    verdicts
        .map(|verdict| {
            let server = verdict.upstream.map(|upstream| upstream.to_string());
            (verdict.cause, verdict.confidence, server, verdict.log.is_some(), verdict.attempt)
        })
        .collect()
}

fn tick(engine: &mut Engine, at: Nanos) -> Vec<Output> {
    engine.on(Event::Tick { at })
}

const SERVER: &str = "127.0.0.53:53";

#[test]
fn without_a_log_the_lookup_is_the_failure() {
    let mut engine = engine(false);
    engine.on(Event::Lookup(failed()));
    let out = failures(tick(&mut engine, failed().at));
    assert_eq!(out, [("dns-failure", Confidence::Proven, Some(SERVER.to_owned()), false, failed().id)]);
    assert!(engine.finish().is_empty() && engine.summary(0).failures == 1);
}

#[test]
fn each_line_about_a_lookup_is_a_failure_of_its_own() {
    let mut engine = engine(true);
    let lookup = failed();
    assert!(engine.on(Event::Lookup(lookup.clone())).is_empty());
    let says = "app.test could not be resolved (3: Host not found)";
    engine.on(said(says, lookup.at + MS));
    engine.on(said(says, lookup.at + MS));
    let out = failures(tick(&mut engine, lookup.at + SECOND));
    assert_eq!(out.len(), 2);
    assert!(
        out.iter().all(|found| found.0 == "dns-failure" && found.3 && found.2.as_deref() == Some(SERVER))
    );
    assert!(out[0].4 == lookup.id && out[1].4 != lookup.id);
    assert!(failures(engine.finish()).is_empty());
}

#[test]
fn where_lines_are_read_a_lookup_without_one_is_no_failure() {
    let mut engine = engine(true);
    engine.on(Event::Lookup(failed()));
    assert!(failures(tick(&mut engine, failed().at + 2 * SECOND)).is_empty());
    assert!(engine.finish().is_empty());
}

#[test]
fn a_line_of_another_name_straight_afterwards_is_about_the_name_that_stands_for_it() {
    let mut engine = engine(true);
    let lookup = failed();
    engine.on(Event::Lookup(lookup.clone()));
    engine.on(said("alias.test could not be resolved (3: Host not found)", lookup.at + MS));
    let out = failures(tick(&mut engine, lookup.at + SECOND));
    assert_eq!(out, [("dns-failure", Confidence::Proven, Some(SERVER.to_owned()), true, lookup.id)]);
}

#[test]
fn silence_is_pending_and_then_what_nginx_says() {
    let mut engine = engine(true);
    let mut open = lookup(LookupState::Open, vec![None]);
    open.at = BEGUN + SECOND;
    let [Output::Pending(pending)] = &engine.on(Event::Lookup(open.clone()))[..] else {
        panic!("no pending")
    };
    assert_eq!((pending.cause, pending.name.as_deref()), ("dns-timeout", Some("app.test")));
    open.at = BEGUN + 2 * SECOND;
    assert!(engine.on(Event::Lookup(open.clone())).is_empty(), "nothing is said twice");
    engine.on(said(TIMED_OUT, BEGUN + 2 * SECOND));
    let out = failures(tick(&mut engine, BEGUN + 3 * SECOND));
    assert_eq!(out, [("dns-timeout", Confidence::Proven, Some(SERVER.to_owned()), true, open.id)]);
    open.state = LookupState::GivenUp;
    open.at = BEGUN + 8 * SECOND;
    engine.on(Event::Lookup(open));
    assert!(failures(tick(&mut engine, BEGUN + 20 * SECOND)).is_empty());
}

#[test]
fn a_late_answer_ends_the_trouble() {
    let mut engine = engine(false);
    engine.on(Event::Lookup(lookup(LookupState::Open, vec![None])));
    let answered = lookup(LookupState::Answered, vec![Some(Outcome::Answer { code: 0, records: 1 })]);
    let [Output::Resolved(resolved)] = &engine.on(Event::Lookup(answered))[..] else { panic!("no word") };
    assert_eq!(resolved.how, "answered");
    assert!(engine.finish().is_empty());
}

#[test]
fn a_lookup_that_its_clients_gave_up_is_resolved() {
    let mut engine = engine(true);
    engine.on(Event::Lookup(lookup(LookupState::Open, vec![None])));
    engine.on(Event::Lookup(lookup(LookupState::GivenUp, vec![None])));
    let out = tick(&mut engine, BEGUN + 4 * SECOND);
    assert!(matches!(&out[..], [Output::Resolved(resolved)] if resolved.how == "client-gone"), "{out:?}");
}
