//! Recordings: all that the engine was told in a run, for `report` and for tests.
//!
//! Lines of JSON, one object a line, compressed with zstd. The first line is a header, the last one an [`End`]
//! unless the recording was cut off, and every line between them is an
//! [`Event`], in the order in which the engine took them in. Who feeds them to a new
//! engine gets the verdicts of the run.

mod bound;
mod copy;
mod flight;
mod folder;
mod preamble;
mod read;
mod redact;
mod space;
mod write;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use serde::{Deserialize, Serialize};
use upstream_trace_core::event::{Event, Nanos};

pub use copy::redact;
pub use flight::{Flight, Keep};
pub use read::{Ending, Reader, Skipped};
pub use redact::Redactor;
pub use write::Recorder;

/// What a header calls itself.
const NAME: &str = "upstream-trace";

/// What an end calls itself.
const END: &str = "end";

/// Version of the form. Kinds of events and their fields may be added without a new one: a reader that does not know
/// an event skips it and says so.
const VERSION: u32 = 1;

/// Longest line that is read; those of fixtures have up to 1.5 kB. A recording may be anybody's, and what its lines hold
/// is kept in many places.
const LONGEST: usize = 64 << 10;

/// Longest line of a configuration: it has all groups and locations of one nginx.
const LONGEST_CONFIG: usize = 1 << 20;

/// Longest line with a line of error.log: nginx writes 2,048 bytes, and a byte may be escaped as six.
const LONGEST_LOG: usize = 16 << 10;

/// How such lines begin.
const CONFIG: &[u8] = b"{\"event\":\"config\"";
const LOG: &[u8] = b"{\"event\":\"log\"";

/// zstd's usual level.
const LEVEL: i32 = 3;

/// Half a megabyte of what went before is searched for repetitions: more costs memory and saves little.
const WINDOW_LOG: u32 = 19;

/// Longest line of what begins like this, its end included.
fn longest(line: &[u8]) -> usize {
    match line {
        _ if line.starts_with(CONFIG) => LONGEST_CONFIG,
        _ if line.starts_with(LOG) => LONGEST_LOG,
        _ => LONGEST,
    }
}

/// Where a running trace is recorded to.
#[derive(Debug)]
pub enum Recording {
    /// One file.
    File(Box<Recorder>),
    /// Files of a flight recorder.
    Flight(Box<Flight>),
}

impl Recording {
    /// Records an event that the engine was given, and whether that made it say something.
    pub fn record(&mut self, event: &Event, said: bool) {
        match self {
            Self::File(recorder) => recorder.record(event, said),
            Self::Flight(flight) => flight.record(event, said),
        }
    }

    /// Bytes that are in the file by now; none if nothing is recorded any more.
    #[must_use]
    pub fn written(&self) -> Option<u64> {
        match self {
            Self::File(recorder) => recorder.written(),
            Self::Flight(flight) => flight.written(),
        }
    }

    /// Records the end of the run, and waits until all is written, or until the disk does nothing for a while.
    pub fn finish(self, end: End) {
        match self {
            Self::File(recorder) => recorder.finish(end),
            Self::Flight(flight) => flight.finish(end),
        }
    }
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    /// [`NAME`].
    recording: String,
    /// Version of the form, see [`VERSION`].
    version: u32,
    /// Version of the program that wrote it.
    #[serde(default)]
    by: String,
    /// Its engine decided at ticks alone, and each tick at which it did is there. Before that, any event was one.
    #[serde(default)]
    ticks: bool,
    /// It is a part of a run, of which the other parts have the same number here; 0 for a recording of a whole run.
    #[serde(default, skip_serializing_if = "is_zero")]
    run: i64,
    /// When it begins, if others came before it. What it tells of that time or an earlier one is how things stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begins: Option<Nanos>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What the live run knew at its end and events do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When the run ended.
    pub at: Nanos,
    /// Attempts that the kernel side counted.
    pub attempts: u64,
}

/// An [`End`] as it stands in the recording.
#[derive(Serialize, Deserialize)]
struct EndLine {
    /// [`END`].
    recording: String,
    #[serde(flatten)]
    end: End,
}
