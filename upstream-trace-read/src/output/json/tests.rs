use std::io::ErrorKind;

use serde_json::{Value, json};
use upstream_trace_core::verdict::{Note, Resolved, Verdict};

use super::super::pipe::tests::Failing;
use super::super::tests::{BEGIN, SECOND, extra, host, summary, verdict};
use upstream_trace_core::event::{AttemptId, Host, Lost};

use super::*;

const LOOK: Look = Look { width: 80, colour: true, status_colour: false, verbose: false };

fn objects(steps: impl FnOnce(&mut dyn Sink)) -> Vec<Value> {
    let (mut results, mut status) = (Vec::new(), Vec::new());
    let mut sink = Json::new(&mut results, &mut status, LOOK);
    sink.start(&host());
    steps(&mut sink);
    assert!(String::from_utf8(status).unwrap().starts_with("watching nginx"));
    let text = String::from_utf8(results).unwrap();
    assert!(text.ends_with('\n') && !text.contains('\x1b'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_start() {
    let start = &objects(|_| ())[0];
    assert_eq!(start["type"], "start");
    assert_eq!(start["schema"], 1);
    assert_eq!(start["time"], "2026-11-20T09:12:00.000000Z");
    assert_eq!(start["master"], 1712);
    assert_eq!(start["workers"], json!([1713, 1714]));
    assert_eq!(start["hooks"][1]["why"], "kprobes are locked down");
}

#[test]
fn times_follow_the_clock_when_it_is_set() {
    let note = |at| Output::Note(Note { at, text: "x".to_owned() });
    let objects = objects(|sink| {
        sink.output(&note(BEGIN + SECOND));
        let ahead = host();
        sink.clock(&Host { at: BEGIN + 2 * SECOND, unix_us: ahead.unix_us + 3_602_000_000, ..ahead });
        sink.output(&note(BEGIN + 3 * SECOND));
    });
    assert_eq!(objects[1]["time"], "2026-11-20T09:12:01.000000Z");
    assert_eq!(objects[2]["time"], "2026-11-20T10:12:03.000000Z");
}

#[test]
fn a_failure_has_every_field_of_the_contract() {
    let failure = &objects(|sink| sink.output(&Output::Failure(verdict())))[1];
    let expected = json!({
        "type": "failure", "time": "2026-11-20T09:12:05.003000Z", "attempt": 1, "worker": 1713,
        "upstream": "10.99.0.2:8082", "transport": "tcp", "local": "10.99.0.1:41234", "phase": "connect",
        "cause": "firewall-drop-local", "reason": 3, "category": "firewall", "confidence": "proven",
        "alternatives": [], "errno": 110, "status": 504, "recovered": false, "reused": false,
        "duration_ms": 4003.0, "bytes_sent": 0, "bytes_received": 0,
        "evidence": [
            {"at_ms": 0.0, "what": "syn-sent"},
            {"at_ms": 0.102, "what": "dropped", "reason": "NETFILTER_DROP", "hook": "output", "family": "inet"},
            {"at_ms": 1013.5, "what": "retransmit", "count": 2, "errno": 1},
        ],
        "summary": verdict().summary, "fix": verdict().fix,
    });
    assert_eq!(failure, &expected);
}

#[test]
fn a_pending_one_has_since_instead_of_a_duration() {
    let pending = &objects(|sink| sink.output(&Output::Pending(verdict())))[1];
    assert_eq!(pending["type"], "pending");
    assert_eq!(pending["since_ms"], 4003.0);
    assert!(pending.get("duration_ms").is_none());
}

/// Ids inside have all of their 64 bits in use, and most readers of JSON round numbers above 2^53.
#[test]
fn attempts_have_small_numbers_that_stay() {
    let at = BEGIN + SECOND;
    let large = |attempt| Verdict { attempt, ..verdict() };
    let objects = objects(|sink| {
        sink.output(&Output::Pending(large(AttemptId::log_line(0))));
        sink.output(&Output::Failure(large(AttemptId::log_line(1))));
        let resolved = Resolved { attempt: AttemptId::log_line(0), at, upstream: None, how: "answered" };
        sink.output(&Output::Resolved(resolved));
    });
    let numbers: Vec<_> = objects[1..].iter().map(|object| object["attempt"].as_u64()).collect();
    assert_eq!(numbers, [1, 2, 1].map(Some));
}

#[test]
fn the_other_objects() {
    let at = BEGIN + SECOND;
    let objects = objects(|sink| {
        sink.output(&Output::Resolved(Resolved {
            attempt: AttemptId::from_kernel(7),
            at,
            upstream: None,
            how: "client-gone",
        }));
        sink.output(&Output::Note(Note { at, text: "a\x1b\nb".into() }));
        sink.output(&Output::Lost(Lost {
            at,
            count: 3,
            place: "ring-buffer".into(),
            since: BEGIN,
            upstream: None,
        }));
    });
    let time = "2026-11-20T09:12:01.000000Z";
    assert_eq!(
        objects[1],
        json!({"type": "resolved", "time": time, "attempt": 1, "upstream": null, "how": "client-gone"})
    );
    assert_eq!(objects[2], json!({"type": "note", "time": time, "text": "a\x1b\nb"}));
    let since = "2026-11-20T09:12:00.000000Z";
    assert_eq!(
        objects[3],
        json!({"type": "lost", "time": time, "count": 3, "where": "ring-buffer", "since": since})
    );
}

#[test]
fn the_summary() {
    let summary = &objects(|sink| sink.summary(&summary(), &extra()))[1];
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["duration_ms"], 60_000.0);
    assert_eq!(summary["failures"], 38);
    assert_eq!(summary["by_cause"][0]["category"], "service-down");
    assert_eq!(summary["by_cause"][0]["first"], "2026-11-20T09:12:01.000000Z");
    assert_eq!(summary["by_cause"][1]["upstream"], Value::Null);
    assert_eq!(summary["upstreams"][0]["connect_ms"], json!({"p50": 0.128, "p90": 0.512, "p99": 1.024}));
    assert_eq!(
        summary["overhead"][0],
        json!({"name": "inet_sock_set_state", "runs": 120_000, "mean_ns": 73, "per_second": 2_000})
    );
    assert_eq!(summary["log_lines"], json!({"seen": 0, "joined": 0, "lost": 0, "passed_over": 0}));
}

#[test]
fn a_closed_pipe_ends_the_output_quietly() {
    let mut results = Failing { writes: 0, good: 0, kind: ErrorKind::BrokenPipe };
    let mut status = Vec::new();
    let mut sink = Json::new(&mut results, &mut status, LOOK);
    sink.start(&host());
    sink.output(&Output::Failure(verdict()));
    sink.summary(&summary(), &extra());
    assert_eq!(sink.state(), SinkState::Closed);
    assert_eq!(results.writes, 1);
    assert!(!String::from_utf8(status).unwrap().contains("cannot write"));
}
