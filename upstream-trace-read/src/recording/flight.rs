//! A flight recorder: the last hours of a run in a folder, in parts that can each be read by themselves.
//!
//! The event loop begins a new part by handing the thread of the old one its end. Files are made and removed on the
//! threads that write: a file system that hangs holds up nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use upstream_trace_core::event::{Event, Nanos};

use super::End;
use super::preamble::Preamble;
use super::space::{self, Space};
use super::write::{Part, Recorder};
use super::writer::Target;
use crate::new_file;

/// Parts of the time that is kept, and how long one lasts at least and at most.
const PARTS: u32 = 12;
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(10);

/// What is kept, and how.
#[derive(Clone, Debug)]
pub struct Keep {
    /// The folder.
    pub folder: PathBuf,
    /// Parts that ended longer ago are removed.
    pub time: Duration,
    /// Bytes of all parts.
    pub limit: u64,
    /// Runs first on each thread that writes.
    pub on_start: fn(),
}

/// Records into parts.
#[derive(Debug)]
pub struct Flight {
    keep: Arc<Keep>,
    preamble: Preamble,
    current: Option<Recorder>,
    /// When the current part began; `None` before the first event.
    begun: Option<Nanos>,
    /// Which run of the program its parts are of.
    run: i64,
    parts: u64,
    /// The room that there is for a file, if that is known.
    space: fn(&Lazy) -> Option<Space>,
}

impl Flight {
    /// Makes the folder if it is not there, for its owner and group.
    ///
    /// # Errors
    /// If that cannot be done, or it is no folder.
    pub fn create(keep: Keep) -> Result<Self> {
        let cannot = || format!("cannot record to {}", keep.folder.display());
        fs::create_dir_all(&keep.folder).with_context(cannot)?;
        let found = fs::metadata(&keep.folder).with_context(cannot)?;
        ensure!(
            found.is_dir(),
            "cannot record to {}: with --keep it must be a folder",
            keep.folder.display()
        );
        let run = Timestamp::now().as_microsecond();
        let keep = Arc::new(keep);
        let space = |lazy: &Lazy| lazy.file.as_ref().and_then(space::of);
        Ok(Self { keep, preamble: Preamble::default(), current: None, begun: None, run, parts: 0, space })
    }

    /// Records an event that the engine was given, and whether that made it say something.
    pub fn record(&mut self, event: &Event, said: bool) {
        let at = event.at();
        let part = (self.keep.time / PARTS).clamp(SHORTEST, LONGEST);
        let part = Nanos::try_from(part.as_nanos()).unwrap_or(Nanos::MAX);
        // Only between two turns: what belongs to one tick stays together.
        let over = self.begun.is_some_and(|begun| at.saturating_sub(begun) >= part);
        if self.begun.is_none() || over && matches!(event, Event::Tick { .. }) {
            self.next(at);
        }
        self.preamble.note(event);
        if let Some(current) = &mut self.current {
            current.record(event, said);
        }
    }

    /// Bytes that are in the current part by now.
    #[must_use]
    pub fn written(&self) -> Option<u64> {
        self.current.as_ref()?.written()
    }

    /// Records the end of the run.
    pub fn finish(mut self, end: End) {
        if let Some(current) = self.current.take() {
            current.finish(end);
        }
    }

    fn next(&mut self, at: Nanos) {
        let first = self.begun.is_none();
        self.begun = Some(at);
        self.end_part(at);
        self.parts += 1;
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let path = self.keep.folder.join(format!("{PREFIX}{now}-{:06}{SUFFIX}", self.parts));
        let file = Lazy { path: path.clone(), keep: Arc::clone(&self.keep), file: None };
        let limit = (self.keep.limit / u64::from(PARTS)).max(1 << 20);
        let target = Target { file, limit, space: self.space, written: Arc::default() };
        let part = Part { run: self.run, begins: (!first).then_some(at) };
        match Recorder::part(target, path.display().to_string(), self.keep.on_start, part) {
            Ok(mut recorder) => {
                self.preamble.events(at).for_each(|event| recorder.record(&event, true));
                self.current = Some(recorder);
            }
            Err(error) => super::writer::warn(&path.display().to_string(), &format!("{error:#}")),
        }
    }

    /// Ends the current part; a thread waits for its disk.
    fn end_part(&mut self, at: Nanos) {
        let Some(current) = self.current.take() else { return };
        let end = move || current.finish(End { at, attempts: 0 });
        // Without a thread the part has no end: it reads like one that was cut off.
        let _ended = thread::Builder::new().name("part".to_owned()).spawn(end);
    }
}

const PREFIX: &str = "upstream-trace-";
const SUFFIX: &str = ".zst";

/// Whether a file is named as a part is.
fn is_part(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX)).is_some_and(|name| {
        name.len() >= 23 && name.bytes().all(|byte| byte.is_ascii_digit() || b"TZ-".contains(&byte))
    })
}

/// The parts in a folder, oldest first.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn parts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut parts: Vec<_> =
        entries.into_iter().map(|entry| entry.path()).filter(|path| is_part(path)).collect();
    parts.sort();
    Ok(parts)
}

/// A file that is made when the first byte comes, on the thread that writes. Then older parts make room.
#[derive(Debug)]
struct Lazy {
    path: PathBuf,
    keep: Arc<Keep>,
    file: Option<File>,
}

impl Write for Lazy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() {
            prune(&self.keep);
            let made = new_file::create(&self.path).map_err(|error| io::Error::other(format!("{error:#}")));
            self.file = Some(made?);
        }
        self.file.as_ref().map_or(Ok(0), |mut file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Removes parts that ended too long ago, and the oldest ones while all are too large.
fn prune(keep: &Keep) {
    let Ok(parts) = parts(&keep.folder) else { return };
    let sizes: Vec<_> = parts.iter().map(|part| fs::metadata(part).ok()).collect();
    let mut bytes: u64 = sizes.iter().flatten().map(fs::Metadata::len).sum();
    let room = keep.limit - keep.limit / u64::from(PARTS);
    for (part, found) in parts.iter().zip(&sizes) {
        let Some(found) = found else { continue };
        let age = found.modified().ok().and_then(|time| time.elapsed().ok()).unwrap_or_default();
        if age <= keep.time && bytes <= room {
            continue;
        }
        // One that cannot be removed is tried again with the next part.
        if fs::remove_file(part).is_ok() {
            bytes = bytes.saturating_sub(found.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use upstream_trace_core::event::{Host, SECOND, Upstream, UpstreamSample};

    use super::*;
    use crate::recording::{Ending, Reader};

    fn keep(folder: &Path, time: Duration) -> Keep {
        Keep { folder: folder.to_owned(), time, limit: 1 << 30, on_start: || () }
    }

    fn sample(at: Nanos, attempts: u64) -> Event {
        Event::Upstream(UpstreamSample {
            at,
            upstream: Some(Upstream::Unix("/x".into())),
            attempts,
            established: 0,
            requests: 0,
            answers: 0,
            last_established: 0,
            last_answer: 0,
            sub_bits: 0,
            connect: vec![attempts],
            first_byte: Vec::new(),
        })
    }

    /// A minute of a run, with one attempt a second, in parts of five seconds.
    fn run(folder: &Path, time: Duration) {
        let mut flight = Flight::create(keep(folder, time)).unwrap();
        // However full the disk of the tests is.
        flight.space = |_| None;
        flight.record(&Event::Host(Host { at: SECOND, unix_us: 1_000_000, ..Host::default() }), true);
        for second in 1..=60 {
            flight.record(&sample(second * SECOND, second), true);
            flight.record(&Event::Tick { at: second * SECOND + 1 }, true);
        }
        flight.finish(End { at: 61 * SECOND, attempts: 60 });
        // Threads of earlier parts end by themselves.
        let begun = std::time::Instant::now();
        let whole = |path: &PathBuf| {
            Reader::open(path).is_ok_and(|mut reader| {
                reader.by_ref().for_each(drop);
                matches!(reader.ending(), Ending::Complete(_))
            })
        };
        while !parts(folder).unwrap().iter().all(whole) || parts(folder).unwrap().len() < 12 {
            assert!(begun.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn each_part_can_be_read_and_counts_its_own() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), Duration::from_mins(1));
        let parts = parts(folder.path()).unwrap();
        assert_eq!(parts.len(), 12, "{parts:?}");
        let reader = Reader::open(&parts[3]).unwrap();
        assert!(reader.is_part());
        let events: Vec<_> = reader.collect();
        assert!(matches!(&events[0], Event::Host(host) if host.unix_us > 15_000_000), "{:?}", events[0]);
        let attempts = events.iter().rev().find_map(|event| match event {
            Event::Upstream(sample) => Some((sample.attempts, sample.connect[0])),
            _ => None,
        });
        assert_eq!(attempts, Some((5, 5)));
    }

    #[test]
    fn a_folder_reads_as_one_run_from_a_time_on() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), Duration::from_mins(1));
        let read = |since: Option<u64>| {
            let mut readers = Reader::open_all(folder.path(), since.map(Duration::from_secs)).unwrap();
            assert_eq!(readers.len(), 1);
            let events: Vec<_> = readers.remove(0).1.collect();
            let last = events.iter().rev().find_map(|event| match event {
                Event::Upstream(sample) => Some(sample.attempts),
                _ => None,
            });
            let first = events.iter().map(Event::at).min();
            (last, first.map(|at| at / SECOND))
        };
        assert_eq!(read(None), (Some(60), Some(1)));
        assert_eq!(read(Some(13)), (Some(13), Some(47)));
    }

    #[test]
    fn old_parts_make_room_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["upstream-trace-20200101T000000Z-000001.zst", "upstream-trace-monday.zst", "x"] {
            fs::write(at(name), "x").unwrap();
        }
        let old = std::time::SystemTime::now() - Duration::from_hours(10);
        File::options()
            .write(true)
            .open(at("upstream-trace-20200101T000000Z-000001.zst"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        prune(&keep(folder.path(), Duration::from_hours(1)));
        assert!(!at("upstream-trace-20200101T000000Z-000001.zst").exists());
        assert!(at("upstream-trace-monday.zst").exists() && at("x").exists());
    }
}
