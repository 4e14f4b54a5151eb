//! What is written, and what ends it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use upstream_trace_core::event::{Config, Event, LogLine, Lost};

use super::super::{Ending, Reader, Recorder};
use super::{Disk, MS, SECOND, THE_END, events, header_and, read, record};

#[test]
fn ticks_that_led_to_nothing_are_recorded_only_before_something() {
    let tick = |at| Event::Tick { at };
    let disk = Disk::new(usize::MAX);
    let mut recorder = Recorder::to(disk.clone(), "test".into(), || {}).unwrap();
    let event = &events()[0];
    recorder.record(event, false);
    for n in 1..=5 {
        recorder.record(&tick(SECOND + n * MS), false);
    }
    recorder.record(event, false);
    recorder.record(&tick(SECOND + 6 * MS), false);
    recorder.record(&tick(SECOND + 7 * MS), true);
    for n in 0..2_000 {
        recorder.record(&tick(2 * SECOND + n * 20 * MS), false);
    }
    recorder.finish(THE_END);
    let (events, _) = read(&disk.take()).unwrap();
    let begin =
        [event.clone(), tick(SECOND + 5 * MS), event.clone(), tick(SECOND + 6 * MS), tick(SECOND + 7 * MS)];
    assert_eq!(events[..5], begin);
    assert!((3..=10).contains(&events[5..].len()), "{:?}", &events[5..]);
    assert_eq!(events.last(), Some(&tick(2 * SECOND + 1_999 * 20 * MS)));
}

#[test]
fn a_full_disk_ends_the_recording_and_nothing_else() {
    let whole = record(&events()).len();
    for room in (0..whole).step_by(whole / 8) {
        let disk = Disk::new(room);
        let mut recorder = Recorder::to(disk.clone(), "test".into(), || {}).unwrap();
        for event in events() {
            recorder.record(&event, true);
        }
        recorder.finish(THE_END);
        assert_eq!(disk.take().len(), room);
    }
}

/// A disk that takes so many writes and then hangs.
struct Hung(usize);

impl Write for Hung {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            loop {
                std::thread::park();
            }
        }
        self.0 -= 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_hangs_does_not_hold_up_the_end() {
    for writes in [0, 1, 2] {
        let mut recorder = Recorder::to(Hung(writes), "test".into(), || {}).unwrap();
        recorder.patience(std::time::Duration::from_millis(50));
        for event in events() {
            recorder.record(&event, true);
        }
        recorder.finish(THE_END);
    }
}

#[test]
fn lines_that_no_verdict_uses_are_not_recorded() {
    let line = |message: &str| {
        let (level, client) = ("error".to_owned(), Some("192.0.2.1".to_owned()));
        Event::Log(LogLine { at: SECOND, level, client, message: message.to_owned(), ..LogLine::default() })
    };
    let used = [
        line("no live upstreams while connecting to upstream"),
        line("DNS error (2: Server failure), query id:1"),
    ];
    let mut all = used.to_vec();
    all.push(line("user \"bob\": password mismatch"));
    all.push(line("FastCGI sent in stderr: \"PHP message: dsn=secret\" while reading upstream"));
    assert_eq!(read(&record(&all)).unwrap().0, used);
}

#[test]
fn a_line_is_no_longer_than_it_may_be() {
    let lost = |length| {
        Event::Lost(Lost { at: SECOND, count: 1, place: "x".repeat(length), since: 0, upstream: None })
    };
    let config = |length| {
        Event::Config(Box::new(Config { at: SECOND, file: "x".repeat(length), ..Config::default() }))
    };
    let fit = [lost(60_000), config(1_000_000)];
    let all = [lost(70_000), fit[0].clone(), config(1_100_000), fit[1].clone()];
    // Texts are cut when they are read; which events are there is what counts.
    let (events, ending) = read(&record(&all)).unwrap();
    assert!(matches!(&events[..], [Event::Lost(_), Event::Config(_)]), "{} events", events.len());
    assert_eq!(ending, Ending::Complete(THE_END));
    for event in [&all[0], &all[2]] {
        let text = format!("{}\n", serde_json::to_string(event).unwrap());
        let (events, ending) = read(&header_and(&text)).unwrap();
        assert!(events.is_empty());
        assert!(matches!(&ending, Ending::Damaged { line: 2, why } if why.contains("longer")), "{ending:?}");
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("upstream-trace-recording-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _already_gone = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_that_have_something_in_them_stay() {
    let folder = Folder::new();
    let at = |name: &str| folder.0.join(name);
    let refused = |name: &str| format!("{:#}", Recorder::create(&at(name), u64::MAX, || {}).unwrap_err());
    fs::write(at("full"), "precious").unwrap();
    assert!(refused("full").contains("not overwritten"));
    assert_eq!(fs::read(at("full")).unwrap(), b"precious");
    symlink(at("elsewhere"), at("link")).unwrap();
    assert!(refused("link").contains("symbolic link"));
    assert!(!at("elsewhere").exists());
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (name, why) in [("fifo", "not a file"), (".", ""), ("none/such", "No such file")] {
        let said = refused(name);
        assert!(said.starts_with("cannot record to ") && said.contains(why), "{said}");
    }
    fs::write(at("empty"), "").unwrap();
    for name in ["empty", "new"] {
        drop(Recorder::create(&at(name), u64::MAX, || {}).unwrap());
        // A trace that could not start leaves nothing that would be in the way of the next.
        assert_eq!(fs::metadata(at(name)).unwrap().len(), 0);
        let mut recorder = Recorder::create(&at(name), u64::MAX, || {}).unwrap();
        recorder.record(&events()[0], false);
        recorder.finish(THE_END);
        assert_eq!(fs::metadata(at(name)).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(Reader::open(&at(name)).unwrap().count(), 1);
    }
}
