//! Writes a recording beside a running trace.
//!
//! The trace only turns events into lines; a thread compresses and writes them, so that a slow disk delays nothing. A
//! disk that is full or far too slow ends the recording with one warning, never the trace.

use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use upstream_trace_core::event::{Event, Nanos};
use zstd::stream::write::Encoder;

use super::redact::Redactor;
use super::{END, End, EndLine, Header, NAME, VERSION};
use crate::new_file;
use crate::output::{escape, progress, stream};

/// What was recorded is on its way to the disk after this time.
const FLUSH: Nanos = 1_000_000_000;

/// So often a recording says that time goes by, though nothing else does.
const IDLE: Nanos = 10_000_000_000;

/// A disk that took nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks at whether all is written.
const LOOK: Duration = Duration::from_millis(2);

/// Lines handed over at a time, bytes.
const CHUNK: usize = 32 * 1024;

/// Chunks that may wait for the disk: 64 MiB, two seconds of the worst storm. A recording that ends because nginx left
/// the writer no processor for a moment would end when it matters most.
const WAITING: usize = 2_048;

pub(super) const LEVEL: i32 = 3;

/// Half a megabyte of what went before is searched for repetitions: more costs memory and saves little.
pub(super) const WINDOW_LOG: u32 = 19;

/// Takes events in.
#[derive(Debug)]
pub struct Recorder {
    name: String,
    lines: Vec<u8>,
    /// The last tick, if it was left out.
    tick: Option<Nanos>,
    /// Time of the last line.
    last: Nanos,
    /// When lines were last flushed; none have been before the first event.
    flushed: Option<Nanos>,
    to: Option<SyncSender<Chunk>>,
    /// Takes out who asked for what.
    redactor: Option<Redactor>,
    /// Bytes that the disk has taken.
    written: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Chunk {
    lines: Vec<u8>,
    flush: bool,
}

impl Recorder {
    /// Makes the file, for its owner only. One that has something in it stays as it is, and that is an error.
    ///
    /// `on_start` runs first on the thread that compresses and writes: it drops the capabilities that the thread was
    /// started with.
    pub fn create(path: &Path, on_start: fn()) -> Result<Self> {
        let file = new_file::create(path).with_context(|| format!("cannot record to {}", path.display()))?;
        Self::to(file, path.display().to_string(), on_start)
    }

    /// Records to any writer, which warnings call by this name.
    pub fn to(file: impl Write + Send + 'static, name: String, on_start: fn()) -> Result<Self> {
        let (to, chunks) = sync_channel(WAITING);
        let called = name.clone();
        let written = Arc::new(AtomicU64::new(0));
        let file = Counted { file, written: Arc::clone(&written) };
        let write = move || {
            on_start();
            if let Err(error) = write(file, &chunks) {
                warn(&called, &error.to_string());
            }
        };
        let writer = thread::Builder::new().name("recorder".to_owned()).spawn(write);
        let writer = Some(writer.context("cannot start a thread for the recording")?);
        let (lines, to) = (Vec::new(), Some(to));
        let mut recorder =
            Self { name, lines, tick: None, last: 0, flushed: None, to, redactor: None, written, writer };
        let by = env!("CARGO_PKG_VERSION").to_owned();
        recorder.line(&Header { recording: NAME.to_owned(), version: VERSION, by, ticks: true });
        Ok(recorder)
    }

    /// Leaves out of everything that follows who asked for what.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        self.redactor = Some(Redactor::default());
        self
    }

    /// Bytes that are in the file by now; none if nothing is recorded any more.
    #[must_use]
    pub fn written(&self) -> Option<u64> {
        let writes = self.to.is_some() && self.writer.as_ref().is_some_and(|writer| !writer.is_finished());
        writes.then(|| self.written.load(Ordering::Relaxed))
    }

    /// Records an event that the engine was given, and whether that made it say something.
    ///
    /// Of ticks in a row that led to nothing the last one does what all of them did, so only that one is recorded, and
    /// only once something comes after it (or now and then, to say that time goes by).
    pub fn record(&mut self, event: &Event, said: bool) {
        if self.to.is_none() {
            return;
        }
        let at = event.at();
        if matches!(event, Event::Tick { .. }) && !said && at.saturating_sub(self.last) < IDLE {
            self.tick = Some(at);
        } else {
            self.last_tick();
            self.event(event, at);
        }
        let due = self.flushed.is_none_or(|flushed| at.saturating_sub(flushed) >= FLUSH);
        if due {
            self.flushed = Some(at);
        }
        if (due && !self.lines.is_empty()) || self.lines.len() >= CHUNK {
            self.hand_over(due);
        }
    }

    /// Records the end of the run, and waits until all is written. A disk that takes nothing for a second is not
    /// waited for: the recording ends there.
    pub fn finish(mut self, end: End) {
        self.last_tick();
        self.line(&EndLine { recording: END.to_owned(), end });
        self.hand_over(true);
        self.close();
    }

    /// Waits until what was handed over is written, unless the disk hangs.
    fn close(&mut self) {
        self.to = None;
        let Some(writer) = self.writer.take() else { return };
        let (mut taken, mut since) = (self.written.load(Ordering::Relaxed), Instant::now());
        while !writer.is_finished() {
            if since.elapsed() >= PATIENCE {
                warn(&self.name, "the disk does not answer");
                return;
            }
            thread::sleep(LOOK);
            let now = self.written.load(Ordering::Relaxed);
            if now != taken {
                (taken, since) = (now, Instant::now());
            }
        }
        let _panicked = writer.join();
    }

    fn last_tick(&mut self) {
        if let Some(at) = self.tick.take() {
            self.event(&Event::Tick { at }, at);
        }
    }

    fn event(&mut self, event: &Event, at: Nanos) {
        self.last = self.last.max(at);
        if let Some(redactor) = &mut self.redactor {
            let mut event = event.clone();
            redactor.event(&mut event);
            self.line(&event);
        } else {
            self.line(event);
        }
    }

    fn line(&mut self, object: &impl Serialize) {
        let before = self.lines.len();
        match serde_json::to_writer(&mut self.lines, object) {
            Ok(()) => self.lines.push(b'\n'),
            // No event has keys or numbers that JSON has not.
            Err(_) => self.lines.truncate(before),
        }
    }

    fn hand_over(&mut self, flush: bool) {
        let Some(to) = &self.to else { return };
        let chunk = Chunk { lines: mem::take(&mut self.lines), flush };
        match to.try_send(chunk) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => warn(&self.name, "the disk is too slow"),
            // The writer has said why it ended.
            Err(TrySendError::Disconnected(_)) => {}
        }
        self.to = None;
    }
}

/// Counts what is written.
struct Counted<W> {
    file: W,
    written: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.file.write(bytes)?;
        self.written.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Recorder {
    /// Waits until what was handed over is written.
    fn drop(&mut self) {
        if self.flushed.is_some() {
            self.hand_over(true);
        }
        self.close();
    }
}

/// Compresses and writes all that comes. An empty file stays empty if nothing does.
fn write(file: impl Write, chunks: &Receiver<Chunk>) -> io::Result<()> {
    let Ok(first) = chunks.recv() else { return Ok(()) };
    let mut encoder = Encoder::new(file, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.window_log(WINDOW_LOG)?;
    let mut next = Some(first);
    while let Some(chunk) = next {
        encoder.write_all(&chunk.lines)?;
        if chunk.flush {
            // Ends a block: what stands before a cut can be read up to here.
            encoder.flush()?;
        }
        next = chunks.recv().ok();
    }
    encoder.finish()?.flush()
}

fn warn(name: &str, why: &str) {
    let text = format!("the recording {name} ends here: {why}; tracing goes on");
    progress::clear();
    // Nobody may be reading; the trace goes on all the same.
    let _closed = writeln!(stream::stderr(), "warning: {}", escape(&text));
}
