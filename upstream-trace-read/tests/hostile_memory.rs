//! A small recording that was made to fill memory is reported in little: compressed, long texts cost next to nothing.

use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use upstream_trace_core::event::{Attempt, AttemptId, Event, Host, LogLine, Nanos, PacketDrop};
use upstream_trace_read::recording::{End, Recorder};

/// Lines of each kind; with the texts whole they would take twice [`MEMORY`].
const LINES: u64 = 40;
/// Bytes of each text, below the longest line that is read.
const TEXT: usize = 900_000;
/// Most memory that a report may take, KiB.
const MEMORY: i64 = 64 * 1024;
const MS: Nanos = 1_000_000;

#[test]
fn long_texts_do_not_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.zst");
    let mut recorder = Recorder::create(&path, u64::MAX, || {}).unwrap();
    recorder.record(&Event::Host(Host { at: 1, slow: 1_000 * MS, ..Host::default() }), true);
    let text = "a".repeat(TEXT);
    for n in 1..=LINES {
        let at = 1_000 * MS + n;
        let message = format!("upstream sent {text}");
        let line = LogLine { at, worker: Some(7), message, level: "error".into(), ..LogLine::default() };
        recorder.record(&Event::Log(line), true);
        let id = AttemptId::from_kernel(n);
        let mut attempt = Attempt::blank(id, at, 7, None);
        (attempt.tls_handshake, attempt.non_tls_prefix) = (true, Some(text.clone()));
        recorder.record(&Event::Trouble(attempt), true);
        let (attempt, tcp_flags, reason, netns) = (Some(id), 2, text.clone(), 1);
        let packet = PacketDrop {
            numbers: None,
            at,
            attempt,
            tuple: None,
            tcp_flags,
            reason,
            netns,
            asked: None,
            function: None,
            netfilter: None,
        };
        recorder.record(&Event::Drop(packet), true);
    }
    recorder.finish(End { at: 2_000 * MS, attempts: LINES });
    let packed = std::fs::metadata(&path).unwrap().len();
    assert!(packed < 2_000_000, "{packed} bytes");
    let mut report = Command::new(env!("CARGO_BIN_EXE_upstream-trace-read"));
    let output = report.arg("report").arg(&path).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let most = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(most < MEMORY, "{most} KiB");
}
