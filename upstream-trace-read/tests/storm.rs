//! A recording of a storm of failures is reported whole, in little memory, and makes a page that opens.
//!
//! How long that takes is for people to look at: `STORM=100000 STORM_TO=FILE` keeps such a recording.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use upstream_trace_core::event::{
    Attempt, AttemptId, Ended, Event, Host, LogFollowed, LogLine, Moment, Nanos, Netfilter, PacketDrop,
    PacketTuple, Step, Upstream, UpstreamSample,
};
use upstream_trace_read::recording::{End, Recorder};

/// Failures, if `STORM` says nothing else.
const FAILURES: u64 = 5_000;
/// Most memory that a report may take, KiB.
const MEMORY: i64 = 300 * 1024;
const MS: Nanos = 1_000_000;
const S: Nanos = 1_000 * MS;
const WORKER: u32 = 1713;

/// One of 40 upstreams.
fn upstream(n: u64) -> std::net::SocketAddr {
    format!("10.0.{}.{}:80", n % 40 / 10, n % 10 + 1).parse().unwrap()
}

/// One failure in so many of a minute: refused, dropped by the firewall, or never answered.
fn failure(n: u64, all: u64, to: &mut Recorder) {
    let at = 2 * S + n * 60 * S / all;
    let remote = upstream(n);
    let local = format!("10.0.0.1:{}", 1_024 + n % 60_000).parse().unwrap();
    let mut attempt = Attempt::blank(AttemptId::from_kernel(n + 1), at, WORKER, Some(Upstream::Tcp(remote)));
    attempt.local = Some(local);
    let moment = |at, step| Moment { at, step, count: 1, span_ms: 0 };
    attempt.trail.push(moment(at, Step::SynSent));
    let message = match n % 3 {
        0 => {
            (attempt.ended, attempt.reset, attempt.error_fetched) = (Ended::Broken, Some(at), true);
            attempt.socket.error = 111;
            attempt.trail.push(moment(at, Step::Reset { unacked: 0 }));
            "connect() failed (111: Connection refused) while connecting to upstream"
        }
        1 => {
            (attempt.ended, attempt.begun, attempt.drops) = (Ended::ClosedByNginx, at - S, 1);
            attempt.trail.push(moment(at, Step::Closed));
            let netfilter =
                Netfilter { hook: Some("output".into()), by: "nft".into(), family: Some("inet".into()) };
            to.record(
                &Event::Drop(PacketDrop {
                    numbers: None,
                    at,
                    attempt: Some(attempt.id),
                    tuple: Some(PacketTuple { src: local, dst: remote }),
                    tcp_flags: 2,
                    reason: "NETFILTER_DROP".into(),
                    netns: 1,
                    asked: None,
                    function: Some("nft_do_chain".into()),
                    netfilter: Some(netfilter),
                }),
                false,
            );
            "upstream timed out (110: Connection timed out) while connecting to upstream"
        }
        _ => {
            (attempt.ended, attempt.begun) = (Ended::ClosedByNginx, at - S);
            (attempt.established, attempt.request, attempt.outstanding) = (Some(at - S), Some(at - S), true);
            (attempt.bytes_sent, attempt.requests, attempt.socket.acked) = (80, 1, 80);
            attempt
                .trail
                .extend([moment(at - S, Step::Established), moment(at - S, Step::Request { bytes: 80 })]);
            attempt.trail.push(moment(at, Step::Closed));
            "upstream timed out (110: Connection timed out) while reading response header from upstream"
        }
    };
    let line = LogLine {
        at,
        worker: Some(WORKER),
        pid: WORKER,
        time: "2026/11/20 09:12:01".into(),
        level: "error".into(),
        connection: Some(n),
        message: message.into(),
        action: message.split(" while ").nth(1).map(str::to_owned),
        client: Some(format!("192.0.2.{}", n % 250)),
        server: Some("shop.test".into()),
        request: Some(format!("GET /cart/{n} HTTP/1.1")),
        upstream: Some(format!("http://{remote}/cart/{n}")),
        host: Some("shop.test".into()),
        file: "/var/log/nginx/error.log".into(),
        ..LogLine::default()
    };
    to.record(&Event::Log(line), false);
    to.record(&Event::End(attempt), false);
    if n.is_multiple_of(5) {
        to.record(&Event::Tick { at }, true);
    }
    if n % 1_666 < 40 {
        to.record(&Event::Upstream(sample(n, at)), false);
    }
}

fn sample(n: u64, at: Nanos) -> UpstreamSample {
    let mut buckets = vec![0; 24];
    (buckets[7], buckets[12]) = (n / 40, n / 400);
    UpstreamSample {
        at,
        upstream: Some(Upstream::Tcp(upstream(n))),
        attempts: n / 20,
        established: n / 40,
        requests: n / 40,
        answers: n / 80,
        last_established: at,
        last_answer: at,
        sub_bits: 0,
        connect: buckets.clone(),
        first_byte: buckets,
    }
}

fn record(path: &Path, all: u64) {
    let mut recorder = Recorder::create(path, u64::MAX, || {}).unwrap();
    let host = Host {
        at: S,
        unix_us: 1_795_165_920_000_000,
        hostname: "web1".into(),
        masters: vec![WORKER - 1],
        workers: vec![WORKER],
        slow: S,
        ..Host::default()
    };
    recorder.record(&Event::Host(host), true);
    recorder.record(
        &Event::LogFollowed(LogFollowed { at: S, worker: WORKER, followed: true, level: None }),
        false,
    );
    for n in 0..all {
        failure(n, all, &mut recorder);
    }
    recorder.finish(End { at: 63 * S, attempts: all });
}

#[test]
fn a_storm_of_failures() {
    let all = env::var("STORM").map_or(FAILURES, |number| number.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = env::var_os("STORM_TO").map_or_else(|| folder.path().join("storm.zst"), PathBuf::from);
    record(&path, all);
    let page = folder.path().join("storm.html");
    let mut report = Command::new(env!("CARGO_BIN_EXE_upstream-trace-read"));
    let output = report.arg("report").arg(&path).arg("--json").arg("--html").arg(&page).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let failures = text.lines().filter(|line| line.contains(r#""type":"failure""#)).count() as u64;
    assert_eq!(failures, all);
    let joined = text.lines().filter(|line| line.contains(r#""client":"192.0.2."#)).count() as u64;
    assert!(joined > all * 9 / 10, "{joined} lines joined");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.len() < 8_000_000, "a page of {} bytes", page.len());
    assert!(page.contains("<p>1,000 of "), "the cap is said");
    let most = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(most < MEMORY, "{most} KiB");
}
