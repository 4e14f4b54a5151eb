//! Stories for tests, and tests of how they are made.

use upstream_trace_core::event::{
    Attempt, AttemptId, ConnectError, Ended, Event, Host, Moment, NamedContainer, Nanos, RunsIn, Runtime,
    Step, Upstream, UpstreamSample, Workload,
};

use super::super::replay::{replay, warnings};
use super::*;
use crate::output::Sink;
use crate::recording::tests::Disk;
use crate::recording::{End, Reader, Recorder};
use std::io::Cursor;

const MS: Nanos = 1_000_000;
const S: Nanos = 1_000 * MS;

/// The begin of a recording on that host.
pub(in crate::report) fn host(name: &str) -> Event {
    Event::Host(Host {
        at: S,
        unix_us: 1_795_165_920_000_000, // 2026-11-20T09:12:00Z
        version: "0.1.0".into(),
        hostname: name.into(),
        kernel: "6.12.0".into(),
        nginx: vec!["nginx/1.22.1".into()],
        masters: vec![1712],
        workers: vec![1713],
        ..Host::default()
    })
}

/// A connection that was refused.
pub(in crate::report) fn refused(id: u64, at: Nanos, upstream: &str) -> Event {
    let mut attempt =
        Attempt::blank(AttemptId::from_kernel(id), at, 1713, Some(Upstream::Tcp(upstream.parse().unwrap())));
    attempt.ended = Ended::Broken;
    attempt.reset = Some(at);
    attempt.socket.error = 111;
    attempt.error_fetched = true;
    let moment = |step| Moment { at, step, count: 1, span_ms: 0 };
    attempt.trail = vec![moment(Step::SynSent), moment(Step::Reset { unacked: 0 })];
    Event::End(attempt)
}

/// A `connect()` that failed at once.
pub(in crate::report) fn connect_error(id: u64, at: Nanos, upstream: Upstream, errno: i32) -> Event {
    Event::ConnectError(ConnectError::blank(AttemptId::from_kernel(id), at, 1713, upstream, errno))
}

/// A SYN without an answer, still open.
fn unanswered(id: u64, at: Nanos) -> Event {
    let upstream = Some(Upstream::Tcp("10.0.0.9:80".parse().unwrap()));
    let mut attempt = Attempt::blank(AttemptId::from_kernel(id), at + 3 * S, 1713, upstream);
    (attempt.begun, attempt.ended, attempt.retransmits) = (at, Ended::Open, 2);
    let moment = |at, step, count| Moment { at, step, count, span_ms: 2_000 };
    attempt.trail = vec![moment(at, Step::SynSent, 1), moment(at + S, Step::Retransmit { errno: 0 }, 2)];
    Event::Trouble(attempt)
}

fn sample(at: Nanos, attempts: u64) -> Event {
    Event::Upstream(UpstreamSample {
        at,
        upstream: Some(Upstream::Tcp("10.0.0.2:8080".parse().unwrap())),
        attempts,
        established: 0,
        requests: 3 * attempts,
        answers: 0,
        last_established: 0,
        last_answer: 0,
        sub_bits: 0,
        connect: vec![0, attempts],
        first_byte: Vec::new(),
    })
}

/// Recordings of two hosts.
pub(in crate::report) fn two_hosts() -> Vec<Vec<Event>> {
    let gone = Upstream::Unix("/run/app.sock".into());
    vec![
        vec![host("web1"), refused(1, 2 * S, "10.0.0.2:8080"), refused(2, 9 * S, "10.0.0.2:8080")],
        vec![host("web2"), connect_error(1, 3 * S, gone, 2)],
    ]
}

/// One recording with eight kinds of failure.
pub(in crate::report) fn many_causes() -> Vec<Vec<Event>> {
    let failed = (1..=8).map(|n| refused(n, n * S, &format!("10.0.0.{n}:80")));
    vec![[host("web1")].into_iter().chain(failed).collect()]
}

/// A failure of an nginx in a container.
pub(in crate::report) fn contained() -> Vec<Vec<Event>> {
    let container = NamedContainer {
        runtime: Runtime::Docker,
        id: "0123456789ab".into(),
        name: Some("web".into()),
        image: Some("nginx:1.30".into()),
        namespace: None,
        pod: None,
    };
    let workload = Workload::Container(Box::new(container));
    let runs = Event::RunsIn(RunsIn { at: S, pid: 1713, workload });
    vec![vec![host("web1"), runs, refused(1, 2 * S, "10.0.0.2:8080")]]
}

/// What recordings of these events tell.
pub(in crate::report) fn story_of(recordings: &[Vec<Event>]) -> ReportModel {
    let mut collector = Collector::new(recordings.len() > 1, Vec::new());
    for (index, events) in recordings.iter().enumerate() {
        let memory = Disk::new(usize::MAX);
        let mut recorder = Recorder::to(memory.clone(), "test".into(), || {}).unwrap();
        for event in events {
            recorder.record(event, true);
        }
        let at = events.iter().map(Event::at).max().unwrap_or(0);
        let attempts =
            events.iter().filter(|event| !matches!(event, Event::Host(_) | Event::Upstream(_))).count();
        recorder.finish(End { at, attempts: attempts as u64 });
        let bytes = memory.take();
        let mut reader = Reader::new(Cursor::new(bytes)).unwrap();
        collector.begin_recording(&format!("{index}.zst"));
        replay(&mut reader, &mut collector);
        collector.end_recording(&warnings(&reader));
    }
    collector.model()
}

#[test]
fn what_clients_felt_comes_first() {
    let model = story_of(&two_hosts());
    let told: Vec<_> = model.problems.iter().map(|p| (p.cause, p.upstream.as_str(), p.count)).collect();
    assert_eq!(
        told,
        [("port-refused", "10.0.0.2:8080", 2), ("socket-missing", "unix:/run/app.sock on web2", 1)]
    );
    assert_eq!(model.hosts(), ["web1", "web2"]);
    assert_eq!(model.problems[0].hosts["web1"], 2);
    assert_eq!((model.sum(|part| part.failures), model.shown.len()), (3, 3));
    assert!(model.shown.is_sorted_by_key(|shown| shown.at));
}

#[test]
fn what_hangs_at_the_end_is_told() {
    let model = story_of(&[vec![
        host("web1"),
        unanswered(1, 2 * S),
        unanswered(2, 3 * S),
        Event::Tick { at: 9 * S },
    ]]);
    let [problem] = &model.problems[..] else { panic!("{:?}", model.problems) };
    assert_eq!((problem.count, problem.pending, problem.felt()), (0, 2, 2));
    assert_eq!(problem.last, model.end());
    assert_eq!(model.shown.iter().filter(|shown| shown.pending).count(), 2);
    assert_eq!(super::super::phrases::headline(&model), "2 attempts to reach an upstream pending");
}

#[test]
fn a_storm_is_told_by_its_first_and_last_ones() {
    let failed = (0..500).map(|n| refused(n, 2 * S + n * MS, "10.0.0.2:8080"));
    let model = story_of(&[[host("web1")].into_iter().chain(failed).collect()]);
    assert_eq!(model.problems[0].count, 500);
    let shown: Vec<_> = model.shown.iter().map(|shown| shown.verdict.attempt.to_kernel()).collect();
    assert_eq!(shown, [0, 1, 2, 3, 4, 5, 496, 497, 498, 499]);
    assert_eq!(model.timeline.counts.values().sum::<u64>(), 500);
}

#[test]
fn counters_become_gains() {
    let samples = (1..=600).map(|n| sample(n * S, 10 * n));
    let model = story_of(&[[host("web1")].into_iter().chain(samples).collect()]);
    let series = &model.traffic.series["10.0.0.2:8080"];
    assert!(series.points.len() <= 240 && model.traffic.width > SECOND, "{}", series.points.len());
    let total = series.total();
    assert_eq!((total.attempts, total.requests, &total.connect[..]), (6_000, 18_000, &[0, 6_000][..]));
}

#[test]
fn times_far_apart_are_told_coarsely() {
    let mut timeline = Timeline::default();
    for n in 0..100_000 {
        timeline.add(n * 250_000, "port-refused");
    }
    assert!(timeline.counts.len() <= 20_000 && timeline.width > 100_000);
    assert_eq!(timeline.counts.values().sum::<u64>(), 100_000);
}
