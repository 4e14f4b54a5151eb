//! Writes a recording beside a running trace.
//!
//! The trace only turns events into lines; a thread compresses and writes them, so that a slow disk delays nothing. A
//! disk that is full or far too slow ends the recording with one warning, never the trace.

use std::io::Write;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, channel, sync_channel,
};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use upstream_trace_core::errorlog;
use upstream_trace_core::event::{Event, Nanos};

use super::writer::{self, Chunk, Target, warn, write};
use super::{END, End, EndLine, Header, NAME, VERSION, longest};
use crate::new_file;

/// What was recorded is on its way to the disk after this time.
const FLUSH: Nanos = 1_000_000_000;

/// So often a recording says that time goes by, though nothing else does.
const IDLE: Nanos = 10_000_000_000;

/// Lines handed over at a time, bytes.
const CHUNK: usize = 32 * 1024;

/// Chunks that may wait for the disk: 64 MiB, two seconds of the worst storm. A recording that ends because nginx left
/// the writer no processor for a moment would end when it matters most.
const WAITING: usize = 2_048;

/// Without progress of the disk for this long, the end of a recording is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which part of which run a recording is of; by default, a whole one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    pub(super) run: i64,
    pub(super) begins: Option<Nanos>,
}

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
    /// Bytes that the disk has taken.
    written: Arc<AtomicU64>,
    /// Disconnected once the writer has ended.
    writer: Receiver<()>,
    /// How long the end is waited for without progress.
    patience: Duration,
    /// An event did not fit a line, and that was said.
    too_long: bool,
}

impl Recorder {
    /// Makes the file, for its owner only. One that has something in it stays as it is, and that is an error. It grows
    /// up to `limit` bytes, and not into the last 5 % of the disk: then the recording ends with a warning.
    ///
    /// `on_start` runs first on the thread that compresses and writes: it drops the capabilities that the thread was
    /// started with.
    pub fn create(path: &Path, limit: u64, on_start: fn()) -> Result<Self> {
        let file = new_file::create(path).with_context(|| format!("cannot record to {}", path.display()))?;
        let target = Target::file(file, limit);
        Self::part(target, path.display().to_string(), on_start, Part::default())
    }

    /// Records to any writer, without a limit; warnings call it by this name.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn to(file: impl Write + Send + 'static, name: String, on_start: fn()) -> Result<Self> {
        let target = Target { file, limit: u64::MAX, space: |_| None, written: Arc::default() };
        Self::part(target, name, on_start, Part::default())
    }

    /// Records a part of a run, or all of it.
    pub(super) fn part(
        target: Target<impl Write + Send + 'static>,
        name: String,
        on_start: fn(),
        part: Part,
    ) -> Result<Self> {
        let (to, chunks) = sync_channel(WAITING);
        let (running, writer) = channel::<()>();
        let called = name.clone();
        let written = Arc::clone(&target.written);
        let write = move || {
            let _running = running;
            on_start();
            if let Err(stop) = write(target, &chunks) {
                warn(&called, &stop.to_string());
            }
        };
        let thread = thread::Builder::new().name("recorder".to_owned()).spawn(write);
        thread.context("cannot start a thread for the recording")?;
        let mut recorder = Self {
            name,
            lines: Vec::new(),
            tick: None,
            last: 0,
            flushed: None,
            to: Some(to),
            written,
            writer,
            patience: PATIENCE,
            too_long: false,
        };
        let by = env!("CARGO_PKG_VERSION").to_owned();
        let Part { run, begins } = part;
        recorder.line(&Header { recording: NAME.to_owned(), version: VERSION, by, ticks: true, run, begins });
        Ok(recorder)
    }

    /// How long the end is waited for while the disk takes nothing.
    #[cfg(test)]
    pub(super) fn patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Bytes that are in the file by now; none if nothing is recorded any more.
    #[must_use]
    pub fn written(&self) -> Option<u64> {
        self.writes().then(|| self.written.load(Ordering::Relaxed))
    }

    fn writes(&self) -> bool {
        self.to.is_some() && self.writer.try_recv() != Err(TryRecvError::Disconnected)
    }

    /// Records an event that the engine was given, and whether that made it say something. Lines of error.log that no
    /// verdict uses are not recorded.
    ///
    /// Of ticks in a row that led to nothing the last one does what all of them did, so only that one is recorded, and
    /// only once something comes after it (or now and then, to say that time goes by).
    pub fn record(&mut self, event: &Event, said: bool) {
        let unused = matches!(event, Event::Log(line) if !errorlog::is_used(line));
        if self.to.is_none() || unused {
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

    /// Records the end of the run, and waits until all is written, or until the disk does nothing for some seconds.
    pub fn finish(mut self, end: End) {
        self.last_tick();
        self.line(&EndLine { recording: END.to_owned(), end });
        self.hand_over(true);
    }

    fn last_tick(&mut self) {
        if let Some(at) = self.tick.take() {
            self.event(&Event::Tick { at }, at);
        }
    }

    fn event(&mut self, event: &Event, at: Nanos) {
        self.last = self.last.max(at);
        self.line(event);
    }

    fn line(&mut self, object: &impl Serialize) {
        let before = self.lines.len();
        let written = serde_json::to_writer(&mut self.lines, object).is_ok();
        self.lines.push(b'\n');
        let line = &self.lines[before..];
        // No event has keys or numbers that JSON has not.
        if written && line.len() <= longest(line) {
            return;
        }
        if !mem::replace(&mut self.too_long, true) {
            writer::say(&format!(
                "the recording {} leaves out an event of {} bytes: it is too long",
                self.name,
                line.len()
            ));
        }
        self.lines.truncate(before);
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

impl Drop for Recorder {
    /// Waits until what was handed over is written, as long as the disk takes something.
    fn drop(&mut self) {
        if self.flushed.is_some() {
            self.hand_over(true);
        }
        self.to = None;
        let mut before = self.written.load(Ordering::Relaxed);
        while self.writer.recv_timeout(self.patience) == Err(RecvTimeoutError::Timeout) {
            let now = self.written.load(Ordering::Relaxed);
            if now == before {
                writer::say(&format!(
                    "the end of the recording {} may be missing: the disk does not respond",
                    self.name
                ));
                return;
            }
            before = now;
        }
    }
}
