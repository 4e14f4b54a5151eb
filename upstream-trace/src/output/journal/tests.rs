use std::collections::BTreeMap;

use super::*;
use crate::output::testkit::{failure, server};

/// Takes an entry apart as journald does.
fn fields(mut entry: &[u8]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    while !entry.is_empty() {
        let end = entry.iter().position(|byte| *byte == b'\n').unwrap();
        let (line, rest) = entry.split_at(end);
        entry = &rest[1..];
        let line = std::str::from_utf8(line).unwrap();
        let (name, value) = if let Some(pair) = line.split_once('=') {
            pair
        } else {
            let (length, rest) = entry.split_first_chunk::<8>().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            entry = &rest[length + 1..];
            (line, std::str::from_utf8(&rest[..length]).unwrap())
        };
        all.insert(name.to_owned(), value.to_owned());
    }
    all
}

fn receive(socket: &UnixDatagram) -> BTreeMap<String, String> {
    let mut buffer = vec![0; 256 << 10];
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = socket.recv(&mut buffer).unwrap();
    fields(&buffer[..length])
}

#[test]
fn entries_have_fields_to_select_by_and_storms_fold() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut journal = Journal::to(&path, || ()).unwrap();
    journal.start(&Host { nginx: vec!["nginx/1.22.1".into()], workers: vec![1, 2], ..Host::default() });
    for attempt in 0..5 {
        let mut verdict = failure(attempt, &server(80));
        verdict.fix = "one\ntwo".into();
        journal.output(&Output::Failure(verdict));
    }
    journal.tick(60_000_000_000);
    journal.summary(&Summary { attempts: 5, failures: 5, ..Summary::default() }, &Extra::default());
    journal.finish().unwrap();
    let started = receive(&socket);
    assert_eq!((started["MESSAGE_ID"].as_str(), started["PRIORITY"].as_str()), (STARTED, "6"));
    let failed = receive(&socket);
    for (name, value) in [
        ("MESSAGE", "Nothing listens there."),
        ("MESSAGE_ID", FAILURE),
        ("PRIORITY", "3"),
        ("SYSLOG_IDENTIFIER", "upstream-trace"),
        ("UPSTREAM_TRACE_CAUSE", "port-refused"),
        ("UPSTREAM_TRACE_SERVER", "10.0.0.1:80"),
        ("UPSTREAM_TRACE_FIX", "one\ntwo"),
        ("ERRNO", "111"),
    ] {
        assert_eq!(failed[name], value, "{name}");
    }
    let object: serde_json::Value = serde_json::from_str(&failed["UPSTREAM_TRACE_JSON"]).unwrap();
    assert_eq!((&object["type"], &object["cause"]), (&"failure".into(), &"port-refused".into()));
    let more = receive(&socket);
    assert_eq!((more["MESSAGE_ID"].as_str(), more["UPSTREAM_TRACE_COUNT"].as_str()), (REPEATED, "4"));
    assert_eq!(receive(&socket)["MESSAGE"], "5 attempts, 5 failed, 0 of them recovered");
}

#[test]
fn a_journal_that_comes_back_is_found_and_what_was_lost_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    assert!(Journal::to(&path, || ()).is_err());
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut journal = Journal::to(&path, || ()).unwrap();
    drop(socket);
    std::fs::remove_file(&path).unwrap();
    journal.start(&Host::default());
    while journal.queue.lost() == 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let socket = UnixDatagram::bind(&path).unwrap();
    journal.output(&Output::Failure(failure(1, &server(80))));
    assert_eq!(receive(&socket)["MESSAGE_ID"], FAILURE);
    let mut lost = Vec::new();
    journal.lost(&mut lost);
    assert_eq!(lost, [(LossPlace::Journal, 1)]);
}
