//! Recordings of anybody: small files that unpack to large ones are reported in little memory, and the page has a bound.
//!
//! `HOSTILE=20000` tries so many lines of each kind.

use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use zstd::stream::write::Encoder;

/// Lines of each kind, if `HOSTILE` says nothing else.
const LINES: u64 = 300;
/// Most memory that a report may take, KiB.
const MEMORY: i64 = 300 * 1024;
/// Largest page, bytes.
const PAGE: u64 = 64 << 20;

const HEAD: &str = concat!(
    r#"{"recording":"upstream-trace","version":1,"ticks":true}"#,
    "\n",
    r#"{"event":"host","at":1,"unix_us":1,"version":"1","kernel":"6","hooks":[],"masters":[1],"workers":[11],"slow":1}"#,
    "\n"
);

fn recording(path: &Path, line: impl Fn(u64) -> String, lines: u64) {
    let mut encoder = Encoder::new(fs::File::create(path).unwrap(), 19).unwrap();
    encoder.write_all(HEAD.as_bytes()).unwrap();
    for n in 0..lines {
        writeln!(encoder, "{}", line(n)).unwrap();
    }
    encoder.finish().unwrap();
}

/// A line of error.log about a failed attempt, as long as it may be.
fn log(n: u64) -> String {
    let text = "a".repeat(15_000);
    format!(
        r#"{{"event":"log","at":{n},"worker":11,"pid":11,"time":"t","level":"error","connection":{n},"message":"upstream sent {text}","client":"c","truncated":false}}"#
    )
}

/// A refused connection to an upstream of its own, with a long past.
fn attempt(n: u64) -> String {
    let moment = r#"{"at":1,"step":{"what":"syn-sent"}}"#;
    let trail = vec![moment; 1_200].join(",");
    let (a, b) = (n / 250, n % 250);
    format!(
        r#"{{"event":"end","id":{id},"seen":{n},"worker":11,"netns":1,"upstream":{{"tcp":"10.0.{a}.{b}:80"}},"local":"10.9.9.9:1","ended":"broken","begun":{n},"reset":{n},"bytes_sent":0,"bytes_received":0,"requests":0,"adopted":false,"reused":false,"outstanding":false,"sent_after_fin":false,"unacked_at_end":false,"send_blocked":false,"send_error":false,"recv_error":false,"idle_probe":false,"error_fetched":true,"client_gone":false,"client_cut":false,"worker_exiting":false,"no_local_port":false,"drops":0,"retransmits":0,"retransmits_failed":0,"socket":{{"unacked":1,"unsent":0,"unread":0,"received":0,"acked":0,"peer_window":0,"srtt_us":0,"total_retransmits":0,"retransmits":0,"probes":0,"error":111,"soft_error":0}},"trail":[{trail}]}}"#,
        id = n + 1
    )
}

/// Counters with more buckets than there are.
fn sample(n: u64) -> String {
    let buckets = vec!["1"; 15_000].join(",");
    let (a, b) = (n / 250, n % 250);
    format!(
        r#"{{"event":"upstream","at":{n},"upstream":{{"tcp":"10.0.{a}.{b}:80"}},"attempts":1,"established":1,"requests":1,"answers":1,"last_established":1,"last_answer":1,"connect":[{buckets}],"first_byte":[{buckets}]}}"#
    )
}

#[test]
fn hostile_recordings_are_reported_in_little_memory() {
    let lines = env::var("HOSTILE").map_or(LINES, |number| number.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (path, page) = (folder.path().join("hostile.zst"), folder.path().join("page.html"));
    for (name, line) in [("log", log as fn(u64) -> String), ("attempt", attempt), ("sample", sample)] {
        recording(&path, line, lines);
        let mut report = Command::new(env!("CARGO_BIN_EXE_upstream-trace-read"));
        let begun = std::time::Instant::now();
        let output = report.arg("report").arg(&path).arg("--json").arg("--html").arg(&page).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        // The file is cut off at its end, and nothing else is wrong with it: all of it was read.
        assert!(!said.contains("does not know"), "{name}: {said}");
        assert!(said.contains(&format!("cut off at line {}", lines + 3)), "{name}: {said}");
        let (most, size) =
            (getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss(), fs::metadata(&page).unwrap().len());
        println!(
            "{name}: {} bytes, {most} KiB, page {size} bytes, {} bytes of JSON, {:?}",
            fs::metadata(&path).unwrap().len(),
            output.stdout.len(),
            begun.elapsed()
        );
        assert!(most < MEMORY && size < PAGE, "{name}: {most} KiB, a page of {size} bytes");
    }
}
