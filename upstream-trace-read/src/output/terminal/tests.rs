use std::io::ErrorKind;

use super::super::layout::tests::assert_fits;
use super::super::pipe::tests::Failing;
use super::super::tests::{BEGIN, MS, SECOND, extra, host, summary, verdict};
use upstream_trace_core::event::Upstream;
use upstream_trace_core::verdict::Confidence;

use super::*;

const LOOK: Look = Look { width: 80, colour: false, status_colour: false, verbose: false };

/// What was written to stdout and stderr.
fn run(steps: impl FnOnce(&mut dyn Sink)) -> (String, String) {
    let (mut results, mut status) = (Vec::new(), Vec::new());
    let mut terminal = Terminal::new(&mut results, &mut status, LOOK);
    terminal.start(&host());
    steps(&mut terminal);
    (String::from_utf8(results).unwrap(), String::from_utf8(status).unwrap())
}

fn nth(attempt: u64, at: Nanos) -> Verdict {
    Verdict { attempt: AttemptId::from_kernel(attempt), at, since: at - SECOND, ..verdict() }
}

fn blocks(text: &str) -> usize {
    text.matches("= help:").count()
}

#[test]
fn a_storm_is_one_block_and_a_count() {
    let (results, _) = run(|sink| {
        for i in 0..=37 {
            let mut failure = nth(i, BEGIN + i * 20 * MS);
            failure.recovered = i % 2 == 1;
            sink.output(&Output::Failure(failure));
            sink.tick(BEGIN + i * 20 * MS);
        }
        sink.tick(BEGIN + SECOND);
        sink.tick(BEGIN + 4 * SECOND);
    });
    assert_eq!(blocks(&results), 1, "{results}");
    let last = results.lines().last().unwrap();
    assert!(
        results.contains("\n… 37 more firewall-drop-local at 10.99.0.2:8082 in the last 1.0 s, 19 of them\n"),
        "{last}"
    );
    assert_fits(&results, 80);
}

#[test]
fn a_storm_is_that_of_one_nginx() {
    let of = |attempt, unit: &str| {
        let mut failure = nth(attempt, BEGIN);
        failure.details.workload = Some(Workload::Unit(unit.to_owned()));
        Output::Failure(failure)
    };
    let (results, _) = run(|sink| {
        for (attempt, unit) in ["a.service", "b.service", "b.service"].into_iter().enumerate() {
            sink.output(&of(attempt as u64, unit));
        }
        sink.tick(BEGIN + SECOND);
    });
    assert_eq!(blocks(&results), 2, "{results}");
    let more = "… 1 more firewall-drop-local at 10.99.0.2:8082 from b.service in";
    assert!(results.replace("\n  ", " ").contains(more), "{results}");
}

#[test]
fn many_storms_share_a_line() {
    let (results, _) = run(|sink| {
        for i in 0..200_u64 {
            let upstream = Some(Upstream::Tcp(([10, 0, 0, u8::try_from(i % 100).unwrap()], 80).into()));
            sink.output(&Output::Failure(Verdict { upstream, ..nth(i, BEGIN) }));
        }
        sink.tick(BEGIN + SECOND);
    });
    assert_eq!(blocks(&results), 100);
    assert_eq!(results.lines().filter(|line| line.starts_with('…')).count(), LINES);
    assert_eq!(results.lines().last(), Some("… 95 more of 95 other kinds in the last 1.0 s"));
}

#[test]
fn a_pending_one_is_told_again_only_if_the_verdict_changed() {
    let (results, _) = run(|sink| {
        let mut pending = nth(1, BEGIN + SECOND);
        sink.output(&Output::Pending(pending.clone()));
        pending.at += SECOND;
        sink.output(&Output::Pending(pending.clone()));
        pending.cause = "port-refused";
        sink.output(&Output::Pending(pending));
    });
    assert_eq!(results.matches("  pending  ").count(), 2, "{results}");
    assert_eq!(blocks(&results), 2, "{results}");
}

#[test]
fn the_failure_of_a_pending_one_is_short_if_nothing_changed() {
    let (results, _) = run(|sink| {
        sink.output(&Output::Pending(nth(1, BEGIN + SECOND)));
        sink.output(&Output::Failure(nth(1, BEGIN + 60 * SECOND)));
    });
    assert_eq!(blocks(&results), 1, "{results}");
    assert!(results.contains("pending since 09:12:01.000Z"), "{results}");
    let (results, _) = run(|sink| {
        sink.output(&Output::Pending(nth(1, BEGIN + SECOND)));
        sink.output(&Output::Failure(Verdict { cause: "connect-slow", ..nth(1, BEGIN + 60 * SECOND) }));
    });
    assert_eq!(blocks(&results), 2, "another cause is told in full: {results}");
}

#[test]
fn an_attempt_that_ended_well_takes_one_line() {
    let resolved = |attempt| Resolved {
        attempt: AttemptId::from_kernel(attempt),
        at: BEGIN + 3 * SECOND,
        upstream: verdict().upstream,
        how: "answered",
    };
    let (results, _) = run(|sink| {
        sink.output(&Output::Pending(nth(1, BEGIN + SECOND)));
        sink.output(&Output::Resolved(resolved(1)));
        sink.output(&Output::Resolved(resolved(2)));
    });
    let line = "09:12:03.000Z  answered  10.99.0.2:8082  that was pending: firewall-drop-local";
    assert_eq!(results.lines().last(), Some(line));
    assert_eq!(results.matches("answered").count(), 1, "what was never told pending needs no end: {results}");
}

#[test]
fn status_goes_to_the_other_writer() {
    let (results, status) = run(|sink| {
        sink.output(&Output::Note(Note {
            at: BEGIN + SECOND,
            text: "Worker 1713 died by\x1b signal 9.".into(),
        }));
        for _ in 0..3 {
            let lost = Lost {
                at: BEGIN + SECOND,
                count: 5,
                place: "ring-buffer".into(),
                since: BEGIN,
                upstream: None,
            };
            sink.output(&Output::Lost(lost));
        }
        sink.tick(BEGIN + 2 * SECOND);
    });
    assert_eq!(results, "");
    assert!(status.starts_with("watching nginx: master 1712"), "{status}");
    assert!(status.contains("\n09:12:01.000Z  Worker 1713 died by\\x1b signal 9.\n"), "{status}");
    assert!(status.contains("5 events lost since 09:12:00.000Z"), "{status}");
    assert!(status.contains("10 events lost since 09:12:01.000Z"), "{status}");
    assert_eq!(status.matches("warning:").count(), 2, "{status}");
}

#[test]
fn a_closed_pipe_ends_the_results_quietly() {
    let mut results = Failing { writes: 0, good: 1, kind: ErrorKind::BrokenPipe };
    let mut status = Vec::new();
    let mut terminal = Terminal::new(&mut results, &mut status, LOOK);
    terminal.start(&host());
    for i in 0..3 {
        assert_eq!(terminal.state() == SinkState::Closed, i == 2);
        let upstream = Some(Upstream::Unix(i.to_string()));
        terminal.output(&Output::Failure(Verdict { upstream, ..nth(i, BEGIN + SECOND) }));
    }
    terminal.summary(&summary(), &extra());
    assert_eq!(results.writes, 2);
    assert!(!String::from_utf8(status).unwrap().contains("cannot write"));
}

#[test]
fn no_escapes_without_colours() {
    let (results, status) = run(|sink| {
        sink.output(&Output::Pending(nth(1, BEGIN + SECOND)));
        sink.output(&Output::Failure(nth(2, BEGIN + SECOND)));
        sink.summary(&summary(), &extra());
    });
    assert!(!results.contains('\x1b') && !status.contains('\x1b'));
}

#[test]
fn what_is_still_pending_is_counted_at_the_end_and_failures_are_not_told_twice() {
    let (results, _) = run(|sink| {
        for i in 0..4 {
            sink.output(&Output::Pending(nth(i, BEGIN + SECOND)));
            sink.output(&Output::Failure(Verdict { cause: "port-refused", ..nth(i + 100, BEGIN + SECOND) }));
        }
        sink.tick(BEGIN + SECOND + 500 * MS);
        sink.summary(&summary(), &extra());
    });
    let counts: Vec<_> = results.lines().filter(|line| line.starts_with('…')).collect();
    assert!(results.contains("500 ms\n\n38 failed attempts"), "an empty line before the summary: {results}");
    assert_eq!(counts, ["… 3 more pending firewall-drop-local at 10.99.0.2:8082 in the last 500 ms"]);
}

#[test]
fn every_storm_line_fits() {
    let (results, _) = run(|sink| {
        for i in 0..3 {
            let upstream =
                Some(Upstream::Unix("/run/a/path/that/is/longer/than/most/of/them/app.sock".into()));
            let confidence = Confidence::Possible;
            sink.output(&Output::Failure(Verdict { upstream, confidence, ..nth(i, BEGIN + SECOND) }));
        }
        sink.tick(BEGIN + 3 * SECOND);
    });
    assert!(results.contains("… 2 more firewall-drop-local (possible) at"), "{results}");
    assert_fits(&results, 80);
}
