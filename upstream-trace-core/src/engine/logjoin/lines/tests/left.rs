//! Clients that left before their answer.

use super::*;

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
    // Silence while connecting is no client that left.
    engine.on(end(unanswered_syn(), 4, AT + 10 * SECOND));
    assert_eq!(told(&engine.on(tick(AT + 12 * SECOND))), [(4, "firewall-drop-remote", None)]);
    // Nor what looks like a timer: its server may log at a level at which that is left out.
    engine.on(end(unanswered_request(), 5, AT + 20 * SECOND));
    assert_eq!(told(&engine.on(tick(AT + 22 * SECOND))), [(5, "slow-response", None)]);
    // Nor is silence without a log to say otherwise.
    let mut engine = Engine::new();
    engine.on(end(left(), 1, AT));
    assert_eq!(told(&engine.on(tick(AT + 2 * SECOND))), [(1, "slow-response", None)]);
}

#[test]
fn a_worker_that_has_just_begun_writes_where_the_others_do() {
    let left = || Attempt { seen: BEGUN + 1_700 * MS, ..unanswered_request() };
    for (others, lines) in [(true, 0), (false, 1)] {
        let mut engine = Engine::new();
        engine.on(Event::LogFollowed(LogFollowed { at: 0, worker: 1714, followed: others, level: None }));
        engine.on(by_worker(end(left(), 1, AT), 99));
        assert_eq!(told(&engine.on(tick(AT + 2 * SECOND))).len(), lines);
    }
}

#[test]
fn an_answer_that_fits_no_failure_is_none_if_nginx_says_nothing() {
    let mut answered = with_fin(unanswered_request(), 500);
    (answered.bytes_received, answered.answer) = (50, Some(BEGUN + 400 * MS));
    let mut engine = Engine::new();
    engine.on(end(answered.clone(), 1, AT));
    assert_eq!(told(&engine.on(tick(AT + 2 * SECOND))), [(1, "unknown", None)]);
    let mut engine = followed();
    engine.on(end(answered, 1, AT));
    assert_eq!(told(&engine.on(tick(AT + 2 * SECOND))), []);
}

#[test]
fn an_answer_that_lies_unread_when_its_client_leaves() {
    let mut unread = with_fin(unanswered_request(), 500);
    let told = |attempt: &Attempt| {
        let mut engine = followed();
        // Where the configuration is not known, it may be a session of `stream`.
        engine.on(Event::Config(Box::new(Config { workers: vec![attempt.worker], ..config() })));
        engine.on(end(attempt.clone(), 1, AT));
        told(&engine.on(tick(AT + 2 * SECOND)))
    };
    assert_eq!(told(&unread), [(1, "premature-close", None)]);
    unread.socket.unread = 464;
    assert_eq!(told(&unread), []);
}

/// A worker that is busy begins another request's attempt in the very moment in which a client leaves.
#[test]
fn what_looks_like_a_retry_is_none_if_nginx_says_nothing() {
    let left = || Attempt { seen: BEGUN + 1_700 * MS, ..unanswered_request() };
    let another_began = Event::RetryStarted {
        at: AT,
        failed: AttemptId::from_kernel(1),
        retry: AttemptId::from_kernel(2),
        upstream: None,
    };
    let mut engine = followed();
    engine.on(end(left(), 1, AT));
    engine.on(another_began.clone());
    assert_eq!(told(&engine.on(tick(AT + 2 * SECOND))), []);
    // With its line it is one, and without a log nobody says otherwise.
    let mut engine = followed();
    engine.on(end(left(), 1, AT));
    engine.on(another_began.clone());
    engine.on(said(HEADER, 5, AT));
    assert_eq!(told(&engine.on(tick(AT + 2 * SECOND))), [(1, "slow-response", Some(5))]);
    let mut engine = Engine::new();
    engine.on(end(left(), 1, AT));
    engine.on(another_began);
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
fn a_line_that_a_rate_held_back_is_no_proof_that_a_client_left() {
    let left = || Attempt { seen: BEGUN + 1_700 * MS, ..unanswered_request() };
    let limiting = || said("too many log messages, limiting", 9, AT);
    let reported = |before: Option<Event>| {
        let mut engine = followed();
        if let Some(line) = before {
            assert!(engine.on(line).is_empty());
        }
        engine.on(end(left(), 1, AT + SECOND));
        told(&engine.on(tick(AT + 4 * SECOND)))
    };
    assert_eq!(reported(None), []);
    assert_eq!(reported(Some(by_worker(limiting(), 1714))), []);
    assert_eq!(reported(Some(limiting())), [(1, "slow-response", None)]);
}
