//! Lines and failures, as they come to the engine.

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
fn a_failure_waits_for_its_line_only_if_the_log_is_read_and_never_longer_than_a_second() {
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

#[test]
fn a_client_that_left_is_no_failure_if_nginx_says_nothing() {
    let mut engine = followed();
    // Not after whole seconds, as a timer would.
    let left = || Attempt { seen: BEGUN + 1_700 * MS, ..unanswered_request() };
    let open = Attempt { ended: Ended::Open, ..left() };
    engine.on(Event::Trouble(shifted(open, 1, AT - 300 * MS)));
    assert_eq!(engine.on(tick(AT - 200 * MS)).len(), 1);
    engine.on(end(left(), 1, AT));
    let out = engine.on(tick(AT + LINE_COMES));
    assert!(matches!(&out[..], [Output::Resolved(told)] if told.how == "client-gone"), "{out:?}");
    // A line that comes even later tells that it was one.
    engine.on(said(HEADER, 5, AT + LINE_COMES + 10 * MS));
    let out = engine.on(tick(AT + 2 * SECOND));
    assert_eq!(told(&out), [(1, "slow-response", Some(5))]);
    // What nginx went on from was no client that left; nor is silence while connecting.
    engine.on(end(left(), 2, AT + 10 * SECOND));
    engine.on(Event::RetryStarted {
        at: AT + 10 * SECOND,
        failed: AttemptId::from_kernel(2),
        retry: AttemptId::from_kernel(3),
        upstream: None,
    });
    engine.on(end(unanswered_syn(), 4, AT + 10 * SECOND));
    let mut out = told(&engine.on(tick(AT + 12 * SECOND)));
    out.sort_unstable();
    assert_eq!(out, [(2, "slow-response", None), (4, "firewall-drop-remote", None)]);
    // Nor what looks like a timer: its server may log at a level at which that is left out.
    engine.on(end(unanswered_request(), 5, AT + 20 * SECOND));
    assert_eq!(told(&engine.on(tick(AT + 22 * SECOND))), [(5, "slow-response", None)]);
    // Nor is silence without a log to say otherwise.
    let mut engine = Engine::new();
    engine.on(end(left(), 1, AT));
    assert_eq!(told(&engine.on(tick(AT + 2 * SECOND))), [(1, "slow-response", None)]);
}

#[test]
fn a_pool_that_a_draining_worker_closes_with_its_client_is_no_stalled_answer() {
    let mut closed = unanswered_request();
    (closed.outstanding, closed.bytes_received, closed.client_cut) = (false, 338, true);
    (closed.answer, closed.last_recv) = (Some(BEGUN + MS), Some(BEGUN + MS));
    closed.seen = BEGUN + MS + SECOND;
    let mut engine = followed();
    engine.on(end(closed.clone(), 1, AT));
    assert_eq!(told(&engine.on(tick(AT + 2 * SECOND))), []);
    // Nor if that worker then ends, within the second in which a line may come.
    let mut engine = followed();
    engine.on(end(closed.clone(), 1, AT));
    let change = ProcessChange::WorkerExited { status: Some(0), signal: None };
    engine.on(Event::Process(Process { at: AT + 100 * MS, pid: 1713, change }));
    let mut out = engine.on(tick(AT + 200 * MS));
    out.extend(engine.on(tick(AT + 2 * SECOND)));
    assert_eq!(told(&out), []);
    // Without a log nobody says so.
    let mut engine = Engine::new();
    engine.on(end(closed, 1, AT));
    assert_eq!(told(&engine.on(tick(AT + 2 * SECOND))), [(1, "slow-body", None)]);
}

#[test]
fn a_client_that_left_does_not_take_the_line_of_another() {
    let mut engine = followed();
    let left = Attempt { seen: BEGUN + 1_400 * MS, ..unanswered_request() };
    let mut out = feed(
        &mut engine,
        [
            end(left, 1, AT - 500 * MS),
            said(HEADER, 20, AT),
            end(unanswered_request(), 2, AT + MS),
            tick(AT + 2 * SECOND),
        ],
    );
    out.extend(engine.finish());
    assert_eq!(told(&out), [(2, "slow-response", Some(20))]);
}

#[test]
fn a_line_alone_is_a_failure_of_its_own() {
    let mut engine = followed();
    engine.on(said(TOO_BIG, 5, AT));
    // A timeout of the same moment has its own line.
    engine.on(end(unanswered_request(), 1, AT));
    engine.on(said(HEADER, 6, AT + MS));
    assert_eq!(told(&engine.on(tick(AT + 100 * MS))), [(1, "slow-response", Some(6))]);
    let out = engine.on(tick(AT + 400 * MS));
    let verdict = failures(&out).next().expect("told");
    assert_eq!(
        (verdict.cause, verdict.confidence, verdict.status),
        ("header-too-big", Confidence::Proven, Some(502))
    );
    assert_eq!((verdict.at, verdict.since, verdict.worker), (AT, AT, 1713));
    assert_eq!(verdict.upstream, unanswered_request().upstream);
    let summary = engine.summary(0);
    assert_eq!(
        (summary.failures, summary.log_lines),
        (2, LogLines { seen: 2, joined: 1, lost: 0, passed_over: 0 })
    );
}

#[test]
fn a_line_finds_the_attempt_that_looked_healthy() {
    let mut engine = followed();
    let mut attempt = with_fin(unanswered_request(), 3_000);
    (attempt.outstanding, attempt.bytes_received, attempt.answer) = (false, 900, Some(BEGUN + 5 * MS));
    assert_eq!(told(&engine.on(end(attempt, 1, AT))), []);
    engine.on(said("upstream prematurely closed connection while reading upstream", 5, AT + MS));
    let out = engine.on(tick(AT + SECOND));
    assert_eq!(told(&out), [(1, "truncated-response", Some(5))]);
    let verdict = failures(&out).next().expect("told");
    assert_eq!((verdict.bytes_received, verdict.status), (900, None));
    assert!(verdict.local.is_some() && verdict.summary.contains("900 bytes"), "{}", verdict.summary);
}

#[test]
fn lines_that_name_no_upstream() {
    let mut engine = followed();
    let mut cut = line(HEADER);
    (cut.upstream, cut.truncated, cut.at) = (None, true, AT + MS);
    engine.on(end(unanswered_request(), 1, AT));
    engine.on(Event::Log(cut.clone()));
    assert_eq!(told(&engine.on(tick(AT + 90 * MS))), [(1, "slow-response", Some(134))]);
    // Of two that it fits it takes neither, and is no third.
    engine.on(end(unanswered_request(), 2, AT + 5 * SECOND));
    engine.on(end(unanswered_request(), 3, AT + 5 * SECOND));
    cut.at = AT + 5 * SECOND + MS;
    engine.on(Event::Log(cut));
    engine.on(tick(AT + 5 * SECOND + 500 * MS));
    assert!(
        told(&engine.finish())
            .iter()
            .all(|(id, _, line)| line.is_none() && *id < AttemptId::log_line(0).to_kernel())
    );
}

#[test]
fn no_live_upstreams_because_of_what_failed_before() {
    let mut engine = followed();
    let mut no_live = line("no live upstreams while connecting to upstream");
    (no_live.at, no_live.upstream) = (AT + SECOND, Some("http://backend/".to_owned()));
    engine.on(Event::Config(Box::new(Config { workers: vec![refused().worker], ..config() })));
    feed(&mut engine, [end(refused(), 1, AT), said(REFUSED, 1, AT + MS), tick(AT + 50 * MS)]);
    engine.on(Event::Log(no_live.clone()));
    let out = engine.on(tick(AT + 2 * SECOND));
    let verdict = failures(&out).next().expect("told");
    assert_eq!((verdict.cause, &verdict.because), ("no-live-upstreams", &vec!["port-refused"]));
    assert_eq!((verdict.status, &verdict.upstream), (Some(502), &None));
    no_live.at = AT + 100 * SECOND;
    engine.on(Event::Log(no_live));
    let out = engine.finish();
    assert!(failures(&out).all(|verdict| verdict.because.is_empty()));
}

#[test]
fn a_name_that_could_not_be_resolved() {
    let mut engine = followed();
    let mut complaint = line("recv() failed (111: Connection refused) while resolving");
    (complaint.upstream, complaint.client, complaint.at) = (None, None, AT);
    complaint.resolver = Some("127.0.0.1:5353".to_owned());
    let mut name = line("app.test could not be resolved (110: Operation timed out)");
    (name.upstream, name.at) = (None, AT + 2 * SECOND);
    engine.on(Event::Log(complaint));
    engine.on(Event::Log(name));
    let out = engine.on(tick(AT + 3 * SECOND));
    let verdict = failures(&out).next().expect("told");
    assert_eq!((verdict.cause, verdict.name.as_deref()), ("dns-failure", Some("app.test")));
    assert_eq!(verdict.upstream, "127.0.0.1:5353".parse().ok().map(Upstream::Tcp));
    let summary = engine.summary(0);
    assert_eq!((summary.log_lines.seen, summary.upstreams.len()), (1, 0));
}

#[test]
fn unix_sockets_without_the_second_colon() {
    let mut engine = followed();
    let attempt = Attempt { upstream: Some(Upstream::Unix("/run/app".to_owned())), ..unanswered_request() };
    for (at, line_first) in [(AT, true), (AT + 5 * SECOND, false)] {
        let upstream = Some("http://unix:/run/app/some/uri".to_owned());
        let line = Event::Log(LogLine { at, upstream, ..line(HEADER) });
        let end = end(attempt.clone(), at, at);
        feed(&mut engine, if line_first { [line, end] } else { [end, line] });
        assert_eq!(told(&engine.on(tick(at + 90 * MS))), [(at, "slow-response", Some(134))]);
    }
    assert_eq!(told(&engine.finish()), []);
}

#[test]
fn an_error_of_connect_has_its_line() {
    let mut engine = followed();
    let says = "connect() to 10.0.0.2:8080 failed (101: Network is unreachable) while connecting to upstream";
    let other = "connect() to 10.0.0.2:8080 failed (99: Cannot assign requested address) while connecting to upstream";
    engine.on(said(other, 4, BEGUN));
    engine.on(said(says, 5, BEGUN));
    engine.on(Event::ConnectError(connect_error(101)));
    assert_eq!(told(&engine.on(tick(BEGUN + 100 * MS))), [(1, "no-route", Some(5))]);
}

/// A connection that the kernel redirected has another address than nginx's line names.
#[test]
fn a_line_about_a_redirected_connection_is_no_failure_of_its_own() {
    let service = |line: Event| match line {
        Event::Log(line) => Event::Log(LogLine { upstream: Some("http://10.96.0.9:80/".to_owned()), ..line }),
        other => other,
    };
    for message in [REFUSED, CONNECTING] {
        let attempt = if message == REFUSED { refused() } else { unanswered_syn() };
        let events = |named: Option<Event>| {
            let own = named.into_iter();
            own.chain([end(attempt.clone(), 1, AT), service(said(message, 5, AT + MS)), tick(AT + 400 * MS)])
        };
        let mut engine = followed();
        let mut out = feed(&mut engine, events(None));
        out.extend(engine.on(tick(AT + 2 * SECOND)));
        assert_eq!(
            told(&out).into_iter().map(|(id, _, line)| (id, line)).collect::<Vec<_>>(),
            [(1, Some(5))]
        );
        // Where nginx is known to name that address itself, the line is about something else.
        let mut engine = followed();
        let mut out = feed(&mut engine, events(Some(said(REFUSED, 4, AT - 60 * SECOND))));
        out.extend(engine.on(tick(AT + 2 * SECOND)));
        assert!(told(&out).contains(&(1, told(&out).iter().find(|told| told.0 == 1).expect("told").1, None)));
    }
}
