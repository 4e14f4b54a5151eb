//! The thread that compresses and writes a recording, and what ends it.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use zstd::stream::write::Encoder;

use super::space::{self, Space};
use super::{LEVEL, WINDOW_LOG};
use crate::output::{escape, progress, stream};

/// What is in the compressor may still come once the limit is reached: so much is kept for it.
pub(super) const MARGIN: u64 = 256 << 10;

/// The free space is looked at after so many bytes, and at each flush.
const LOOK: u64 = 1 << 20;

/// Lines on their way to the disk.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) lines: Vec<u8>,
    pub(super) flush: bool,
}

/// Where a recording goes.
pub(super) struct Target<W> {
    pub(super) file: W,
    /// Bytes that the file may have.
    pub(super) limit: u64,
    /// The room that there is, if that is known.
    pub(super) space: fn(&W) -> Option<Space>,
    /// Bytes that the file has.
    pub(super) written: Arc<AtomicU64>,
}

impl Target<File> {
    pub(super) fn file(file: File, limit: u64) -> Self {
        Self { file, limit, space: space::of, written: Arc::default() }
    }
}

/// Why a recording ends before the run does.
#[derive(Debug)]
pub(super) enum Stop {
    Limit(u64),
    Space(Space),
    Error(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Error(error)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(bytes) => write!(f, "it reached the {} MiB of --record-limit", bytes >> 20),
            Self::Space(space) => write!(f, "the disk is nearly full, {} MiB are free", space.free >> 20),
            Self::Error(error) => error.fmt(f),
        }
    }
}

impl<W: Write> Write for Target<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.file.write(bytes)?;
        self.written.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<W: Write> Target<W> {
    /// Why no more may be written.
    fn stop(&self, checked: &mut u64, flushed: bool) -> Option<Stop> {
        let written = self.written.load(Ordering::Relaxed);
        if written.saturating_add(MARGIN) > self.limit {
            return Some(Stop::Limit(self.limit));
        }
        if !flushed && written.saturating_sub(*checked) < LOOK {
            return None;
        }
        *checked = written;
        (self.space)(&self.file).filter(|space| space.is_low()).map(Stop::Space)
    }
}

/// Compresses and writes all that comes. An empty file stays empty if nothing does.
pub(super) fn write<W: Write>(target: Target<W>, chunks: &Receiver<Chunk>) -> Result<(), Stop> {
    let Ok(first) = chunks.recv() else { return Ok(()) };
    let mut encoder = Encoder::new(target, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.window_log(WINDOW_LOG)?;
    let mut checked = 0;
    let mut next = Some(first);
    let mut stop = None;
    while let Some(chunk) = next {
        stop = encoder.get_ref().stop(&mut checked, chunk.flush);
        if stop.is_some() {
            break;
        }
        encoder.write_all(&chunk.lines)?;
        if chunk.flush {
            // Ends a block: what stands before a cut can be read up to here.
            encoder.flush()?;
        }
        next = chunks.recv().ok();
    }
    encoder.finish()?.flush()?;
    stop.map_or(Ok(()), Err)
}

/// Says why the recording of this name ends.
pub(super) fn warn(name: &str, why: &str) {
    say(&format!("the recording {name} ends here: {why}; tracing goes on"));
}

/// Says what is wrong with a recording.
pub(super) fn say(text: &str) {
    progress::clear();
    // Nobody may be reading; the trace goes on all the same.
    let _closed = writeln!(stream::stderr(), "warning: {}", escape(text));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    const FULL: Space = Space { free: 1 << 20, total: 1 << 40 };

    /// Writes that many chunks of noise; what stops it, and the bytes of the file.
    fn run(limit: u64, space: fn(&Vec<u8>) -> Option<Space>, count: u64) -> (Result<(), Stop>, u64) {
        let (to, chunks) = sync_channel(usize::try_from(count).unwrap());
        let mut noise = 1_u64;
        for _ in 0..count {
            let mut lines = Vec::new();
            for _ in 0..4_096 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                lines.extend((noise >> 8).to_le_bytes());
            }
            to.send(Chunk { lines, flush: false }).unwrap();
        }
        drop(to);
        let written = Arc::new(AtomicU64::new(0));
        let target = Target { file: Vec::new(), limit, space, written: Arc::clone(&written) };
        (write(target, &chunks), written.load(Ordering::Relaxed))
    }

    #[test]
    fn the_limit_is_kept() {
        let limit = 1 << 20;
        let (result, written) = run(limit, |_| None, 100);
        assert!(matches!(result, Err(Stop::Limit(_))), "{result:?}");
        assert!((limit / 2..=limit).contains(&written), "{written}");
        assert!(run(u64::MAX, |_| None, 100).0.is_ok());
    }

    #[test]
    fn the_last_of_the_disk_is_left() {
        let (result, written) = run(u64::MAX, |file| (file.len() > 1 << 20).then_some(FULL), 200);
        assert!(matches!(result, Err(Stop::Space(FULL))), "{result:?}");
        assert!((LOOK..3 * LOOK).contains(&written), "{written}");
    }
}
