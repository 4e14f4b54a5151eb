mod writing;

use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use upstream_trace_core::event::{
    AttemptId, ConnectError, Event, Lost, Nanos, Process, ProcessChange, Upstream,
};

use super::*;

const SECOND: Nanos = 1_000_000_000;
const MS: Nanos = 1_000_000;
const THE_END: End = End { at: 9 * SECOND, attempts: 7 };

/// A file in memory, with room for so many bytes.
#[derive(Clone)]
pub(crate) struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

impl Disk {
    pub(crate) fn new(room: usize) -> Self {
        Self { bytes: Arc::default(), room }
    }

    pub(crate) fn take(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.bytes.lock().unwrap();
        let fits = bytes.len().min(self.room - all.len());
        all.extend(&bytes[..fits]);
        if fits == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(fits) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn events() -> Vec<Event> {
    let upstream = Upstream::Unix("/run/\u{fffd}\n\".sock".into());
    let refused = |at, id| {
        let retry_of = Some(AttemptId::from_kernel(u64::MAX));
        let error = ConnectError::blank(AttemptId::from_kernel(id), at, 9, upstream.clone(), 111);
        Event::ConnectError(ConnectError { retry_of, took: 3, ..error })
    };
    let mut events =
        vec![Event::Process(Process { at: SECOND, pid: 9, change: ProcessChange::WorkerDraining })];
    for n in 0..20 {
        events.push(refused(SECOND + n * 300 * MS, n << 40));
    }
    events.push(Event::Lost(Lost {
        at: 8 * SECOND,
        count: 3,
        place: "ring-buffer".into(),
        since: SECOND,
        upstream: None,
    }));
    events
}

fn record(events: &[Event]) -> Vec<u8> {
    let disk = Disk::new(usize::MAX);
    let mut recorder = Recorder::to(disk.clone(), "test".into(), || {}).unwrap();
    for event in events {
        recorder.record(event, true);
    }
    recorder.finish(THE_END);
    disk.take()
}

fn unpack(recording: &[u8]) -> Vec<u8> {
    zstd::decode_all(recording).unwrap()
}

fn read(recording: &[u8]) -> anyhow::Result<(Vec<Event>, Ending)> {
    let mut reader = Reader::new(Cursor::new(recording.to_vec()))?;
    let events = reader.by_ref().collect();
    Ok((events, reader.ending().clone()))
}

fn refusal(recording: &[u8]) -> String {
    format!("{:#}", read(recording).unwrap_err())
}

fn header_and(rest: &str) -> Vec<u8> {
    format!("{{\"recording\":\"upstream-trace\",\"version\":1}}\n{rest}").into_bytes()
}

#[test]
fn what_was_recorded_is_read() {
    let recording = record(&events());
    let expected = (events(), Ending::Complete(THE_END));
    assert_eq!(read(&recording).unwrap(), expected);
    assert_eq!(read(&unpack(&recording)).unwrap(), expected);
}

#[test]
fn each_event_of_an_older_recording_is_a_tick() {
    let all = "{\"event\":\"client-gone\",\"at\":5,\"attempt\":1}\n{\"event\":\"tick\",\"at\":6}\n";
    let gone = Event::ClientGone { at: 5, attempt: AttemptId::from_kernel(1) };
    let ticks = [Event::Tick { at: 5 }, Event::Tick { at: 6 }];
    assert_eq!(read(&header_and(all)).unwrap().0, [gone.clone(), ticks[0].clone(), ticks[1].clone()]);
    let newer = format!("{{\"recording\":\"upstream-trace\",\"version\":1,\"ticks\":true}}\n{all}");
    assert_eq!(read(newer.as_bytes()).unwrap().0, [gone, ticks[1].clone()]);
}

#[test]
fn a_cut_anywhere_leaves_what_stands_before_it() {
    let (recording, all) = (record(&events()), events());
    let mut most = 0;
    for whole in [unpack(&recording), recording] {
        for cut in 0..whole.len() {
            match read(&whole[..cut]) {
                Ok((events, Ending::Complete(_))) => assert_eq!(events, all, "{cut}"),
                Ok((events, ending)) => {
                    most = most.max(events.len());
                    assert_eq!(ending, Ending::CutOff { line: events.len() as u64 + 2 }, "{cut}");
                    assert_eq!(events, all[..events.len()], "{cut}");
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.contains("cut off before the first event") || text.contains("empty") || cut < 4,
                        "{text}"
                    );
                }
            }
        }
    }
    assert_eq!(most, all.len());
}

#[test]
fn a_second_after_it_was_seen_it_can_be_read() {
    let disk = Disk::new(usize::MAX);
    let mut recorder = Recorder::to(disk.clone(), "test".into(), || {}).unwrap();
    for event in events() {
        recorder.record(&event, true);
    }
    std::mem::forget(recorder);
    // The last event is more than a second after the others.
    let seen = || read(&disk.take()).map(|(events, _)| events.len()).unwrap_or_default();
    for _ in 0..500 {
        if seen() == events().len() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{} events", seen());
}

#[test]
fn damage_anywhere_is_no_panic() {
    let recording = record(&events());
    for whole in [unpack(&recording), recording] {
        for at in 0..whole.len() {
            for flip in [0x01, 0x20, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                let _anything = read(&damaged);
            }
        }
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    for garbage in [
        &b"x"[..],
        b"\n",
        b"{}\n",
        b"GET / HTTP/1.1\r\n",
        b"[[[[",
        b"\xff\xfe\xfd",
        b"{\"event\":\"tick\",\"at\":1}\n",
    ] {
        assert!(refusal(garbage).contains("not a recording"), "{garbage:?}: {}", refusal(garbage));
    }
    assert!(refusal(b"").contains("empty"));
    let deep = "[".repeat(100_000);
    assert!(refusal(deep.as_bytes()).contains("not a recording"));
    let zstd = zstd::encode_all(&b"no recording\n"[..], 3).unwrap();
    assert!(refusal(&zstd).contains("not a recording"));
    let newer = refusal(b"{\"recording\":\"upstream-trace\",\"version\":2,\"by\":\"7.1.0\",\"new\":0}\n");
    assert!(newer.contains("7.1.0") && newer.contains("version 2") && newer.contains("later"), "{newer}");
    assert!(Reader::open(&PathBuf::from("/")).is_err_and(|error| format!("{error:#}").contains("directory")));
}

#[test]
fn damage_is_told_with_its_line() {
    let good = "{\"event\":\"tick\",\"at\":1}\n";
    for (bad, why) in [
        ("{\"event\":\"tick\",\"at\":}\n", "expected value"),
        ("{\"event\":\"tick\",\"at\":18446744073709551615}\n", "time"),
        ("{\"recording\":\"upstream-trace\",\"version\":1}\n", "another recording"),
        ("{\"recording\":\"end\"}\n", "missing field"),
        ("7\n", "not an event"),
    ] {
        let (events, ending) = read(&header_and(&format!("{good}{bad}{good}"))).unwrap();
        let Ending::Damaged { line: 3, why: told } = ending else { panic!("{bad}: {ending:?}") };
        assert!(events.len() == 1 && told.contains(why), "{bad}: {told}");
    }
}

#[test]
fn unknown_events_are_skipped_and_counted() {
    let new = "{\"event\":\"of-the-future\",\"at\":1}\n";
    let known = "{\"event\":\"tick\",\"at\":2,\"field\":\"of-the-future\"}\n";
    let recording = header_and(&format!("{known}{new}{known}{new}"));
    let mut reader = Reader::new(Cursor::new(recording)).unwrap();
    assert_eq!(reader.by_ref().count(), 2);
    assert_eq!(reader.skipped(), Some(Skipped { count: 2, line: 3 }));
    assert_eq!(reader.ending(), &Ending::CutOff { line: 6 });
}

#[test]
fn an_endless_line_costs_no_memory() {
    let bomb =
        zstd::encode_all(Cursor::new(header_and("")).chain(io::repeat(b' ').take(200 << 20)), 3).unwrap();
    let (events, ending) = read(&bomb).unwrap();
    assert!(events.is_empty());
    assert!(matches!(&ending, Ending::Damaged { line: 2, why } if why.contains("longer")), "{ending:?}");
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&header_and("")).unwrap();
    let greedy = encoder.finish().unwrap();
    assert!(refusal(&greedy).contains("memory"), "{}", refusal(&greedy));
}
