//! Reads a recording, line by line, as far as it goes.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use upstream_trace_core::event::{Event, Nanos, Upstream, UpstreamSample};
use zstd::stream::read::Decoder;

use super::bound::bound;
use super::preamble::{not_before, subtract};
use super::redact::Redactor;
use super::{END, End, EndLine, Header, LONGEST, NAME, VERSION, longest};

/// First bytes of zstd.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How a header begins.
const BEGIN: &[u8] = b"{\"recording\":\"upstream-trace\"";

/// A stream that wants more memory than 8 MiB to be unpacked is none of ours.
const MOST_WINDOW_LOG: u32 = 23;

/// No host runs for a century: a later time is damage.
const LATEST: Nanos = 100 * 365 * 86_400 * 1_000_000_000;

/// Gives the events of a recording, and then how it ended.
pub struct Reader {
    lines: Box<dyn BufRead>,
    /// The line that is being read.
    buffer: Vec<u8>,
    number: u64,
    skipped: Option<Skipped>,
    ending: Ending,
    /// Of an older release: each event is a tick as well.
    older: bool,
    tick: Option<Nanos>,
    redactor: Option<Redactor>,
    /// Number of the run, and when it begins, if it is a part of one.
    run: i64,
    begins: Option<Nanos>,
    /// Parts that follow.
    next: VecDeque<PathBuf>,
    /// What came before is not told, but for how things stood.
    from: Option<Nanos>,
    /// How the counters stood then.
    before: HashMap<Option<Upstream>, UpstreamSample>,
}

/// How a recording ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There may be more to read.
    Open,
    /// With the run that it is of.
    Complete(End),
    /// In the middle: the program was killed, the disk was full, or the file is not all of it.
    CutOff {
        /// Number of the first line that is not whole.
        line: u64,
    },
    /// What follows cannot be read.
    Damaged {
        /// Number of the first line that cannot be read.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// Events of kinds that this program does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub count: u64,
    /// Number of the first line.
    pub line: u64,
}

impl Reader {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        let read = || {
            let file = File::open(path)?;
            if file.metadata()?.is_dir() {
                bail!("it is a directory");
            }
            Self::new(file)
        };
        read().with_context(|| format!("cannot report {}", path.display()))
    }

    /// Reads the header of a recording, compressed or not.
    pub fn new(mut input: impl Read + 'static) -> Result<Self> {
        let mut begin = Vec::new();
        input.by_ref().take(ZSTD.len() as u64).read_to_end(&mut begin)?;
        if begin.is_empty() {
            bail!("the file is empty: not a recording");
        }
        let compressed = begin == ZSTD;
        let whole = Cursor::new(begin).chain(input);
        let lines: Box<dyn BufRead> = if compressed {
            let mut decoder = Decoder::new(whole)?;
            decoder.window_log_max(MOST_WINDOW_LOG)?;
            Box::new(BufReader::new(decoder))
        } else {
            Box::new(BufReader::new(whole))
        };
        let mut reader = Self {
            lines,
            buffer: Vec::new(),
            number: 0,
            skipped: None,
            ending: Ending::Open,
            older: false,
            tick: None,
            redactor: None,
            run: 0,
            begins: None,
            next: VecDeque::new(),
            from: None,
            before: HashMap::new(),
        };
        reader.header()?;
        Ok(reader)
    }

    fn header(&mut self) -> Result<()> {
        if let Err(Ending::Damaged { why, .. }) = self.line() {
            bail!("not a recording, or a damaged one: {why}");
        }
        let header: Option<Header> = serde_json::from_slice(&self.buffer).ok();
        let Some(header) = header.filter(|header| header.recording == NAME) else {
            let whole = self.buffer.ends_with(b"\n");
            if !whole && (BEGIN.starts_with(&self.buffer) || self.buffer.starts_with(BEGIN)) {
                bail!("the recording was cut off before the first event; record again");
            }
            bail!("not a recording; give a file that --record has written");
        };
        if header.version > VERSION {
            bail!(
                "upstream-trace {} wrote it in a newer format (version {}, this program reads up to {VERSION}); use that \
                 release or a later one",
                header.by,
                header.version
            );
        }
        self.older = !header.ticks;
        (self.run, self.begins, self.from) = (header.run, header.begins, header.begins);
        Ok(())
    }

    /// Leaves out of the events who asked for what.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        self.redactor = Some(Redactor::default());
        self
    }

    /// Not all of a run is told: the attempts that its end counts are not those of this recording.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.run != 0 || self.from.is_some()
    }

    pub(super) fn run(&self) -> i64 {
        self.run
    }

    pub(super) fn begins(&self) -> Option<Nanos> {
        self.begins
    }

    /// Goes on with these parts of the same run.
    pub(super) fn followed_by(mut self, parts: VecDeque<PathBuf>) -> Self {
        self.next = parts;
        self
    }

    /// Tells nothing of what was before that time, but how things stood.
    pub(super) fn starting(mut self, from: Option<Nanos>) -> Self {
        self.from = from.max(self.from);
        self
    }

    /// Goes on with the next part, if there is one; what it says first is how things stood, which is known.
    fn go_on(&mut self) -> bool {
        while let Some(path) = self.next.pop_front() {
            let Ok(Self { lines, begins, .. }) = Self::open(&path) else { continue };
            (self.lines, self.number, self.ending) = (lines, 1, Ending::Open);
            self.begins = begins;
            return true;
        }
        false
    }

    /// The event as a part of a run tells it; `None` if it is of another part.
    fn within(&mut self, mut event: Event) -> Option<Event> {
        let at = event.at();
        // Counters only grow: those of the next part go on where this one's ended.
        let known = self.from != self.begins && self.begins.is_some_and(|begins| at <= begins);
        if let Event::Upstream(sample) = &mut event {
            if self.from.is_some_and(|from| at <= from) {
                self.before.insert(sample.upstream.clone(), sample.clone());
                return None;
            }
            if let Some(before) = self.before.get(&sample.upstream) {
                subtract(sample, before);
            }
            return (!known).then_some(event);
        }
        match self.from {
            Some(from) if at < from => not_before(&mut event, from).then_some(event),
            _ => Some(event),
        }
    }

    /// How the recording ended, once there are no more events.
    #[must_use]
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Events that were left out because this program does not know their kind.
    #[must_use]
    pub fn skipped(&self) -> Option<Skipped> {
        self.skipped
    }

    /// The next event; `None` for one that is not known.
    fn event(&mut self) -> Result<Option<Event>, Ending> {
        self.line()?;
        let line = self.number;
        let damaged = |why: &str| Ending::Damaged { line, why: why.to_owned() };
        let error = match serde_json::from_slice::<Event>(&self.buffer) {
            Ok(event) if event.at() > LATEST => return Err(damaged("the time is out of range")),
            Ok(mut event) => {
                bound(&mut event);
                return Ok(Some(event));
            }
            Err(error) => error,
        };
        let whole = self.buffer.ends_with(b"\n");
        match serde_json::from_slice::<Value>(&self.buffer) {
            Ok(object) if object["recording"] == END => match serde_json::from_value::<EndLine>(object) {
                Ok(line) => Err(Ending::Complete(line.end)),
                Err(error) => Err(damaged(&error.to_string())),
            },
            Ok(object) if object["recording"] == NAME => {
                Err(damaged("another recording starts here; report each by itself"))
            }
            // Not its column or what was expected: a later release wrote more than this one knows.
            Ok(object) if object["event"].is_string() => {
                self.skipped.get_or_insert(Skipped { count: 0, line }).count += 1;
                Ok(None)
            }
            Ok(_) => Err(damaged("not an event")),
            Err(_) if !whole => Err(Ending::CutOff { line }),
            Err(_) => Err(damaged(&error.to_string())),
        }
    }

    /// Reads a line into the buffer.
    fn line(&mut self) -> Result<(), Ending> {
        self.buffer.clear();
        self.number += 1;
        let line = self.number;
        // As far as the shorter limit goes, and then further if it is of a kind that may be longer.
        let mut read = self.read_to(LONGEST + 1);
        if self.buffer.len() > LONGEST && longest(&self.buffer) > LONGEST {
            read = self.read_to(longest(&self.buffer) + 1);
        }
        let longest = longest(&self.buffer);
        match read {
            Ok(()) if self.buffer.is_empty() => Err(Ending::CutOff { line }),
            Ok(()) if self.buffer.len() > longest => {
                Err(Ending::Damaged { line, why: format!("longer than {longest} bytes") })
            }
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Ending::CutOff { line }),
            Err(error) => Err(Ending::Damaged { line, why: reason(&error) }),
        }
    }

    /// Reads on until the line ends or the buffer has so many bytes.
    fn read_to(&mut self, bytes: usize) -> io::Result<()> {
        let room = bytes.saturating_sub(self.buffer.len());
        if room > 0 && !self.buffer.ends_with(b"\n") {
            self.lines.by_ref().take(room as u64).read_until(b'\n', &mut self.buffer)?;
        }
        Ok(())
    }
}

impl Iterator for Reader {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if let Some(at) = self.tick.take() {
            return Some(Event::Tick { at });
        }
        while self.ending == Ending::Open || self.go_on() {
            match self.event() {
                Ok(Some(event)) => {
                    let Some(mut event) = self.within(event) else { continue };
                    self.tick = (self.older && !matches!(event, Event::Tick { .. })).then(|| event.at());
                    if let Some(redactor) = &mut self.redactor {
                        redactor.event(&mut event);
                    }
                    return Some(event);
                }
                Ok(None) => {}
                Err(ending) => self.ending = ending,
            }
        }
        None
    }
}

fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => format!("cannot be read: {error}"),
        None => format!("cannot be unpacked: {error}"),
    }
}
