//! Lines that have no attempt, or not the one that they name.

use super::*;

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
        ("header-too-big", Confidence::Likely, Some(502))
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
        // Also where the run is over before either has waited long enough.
        let mut engine = followed();
        engine.on(end(attempt.clone(), 1, AT));
        engine.on(service(said(message, 5, AT + MS)));
        assert!(matches!(told(&engine.finish())[..], [(1, _, Some(5))]));
        // Where nginx is known to name that address itself, the line is about something else.
        let mut engine = followed();
        let mut out = feed(&mut engine, events(Some(said(REFUSED, 4, AT - 60 * SECOND))));
        out.extend(engine.on(tick(AT + 2 * SECOND)));
        assert!(told(&out).contains(&(1, told(&out).iter().find(|told| told.0 == 1).expect("told").1, None)));
    }
}
