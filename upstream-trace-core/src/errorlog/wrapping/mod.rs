//! Lines of a log as container runtimes and the journal keep them: each in an envelope with a time, and a long one in
//! several pieces.
//!
//! The time is the runtime's own, of when it received the line: nanoseconds, where nginx prints whole seconds.

mod cri;
mod docker;
mod journal;
mod pieces;
mod syslog;

use std::borrow::Cow;

pub use pieces::Pieces;

/// Longest envelope that is read, bytes: that of a longest line, all of it escaped.
pub const LONGEST_ENVELOPE: usize = 32 * 1024;

/// Who put the lines into envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrapping {
    /// Docker's `json-file`: `{"log":"...\n","stream":"stderr","time":"..."}`.
    Docker,
    /// containerd, CRI-O, and podman's `k8s-file`: `TIME stderr F ...`.
    Cri,
    /// The journal: `journalctl -o json`.
    Journal,
    /// A datagram of syslog, or a line of the file that a daemon writes it to.
    Syslog,
}

/// Where the writer wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Its stdout.
    Stdout,
    /// Its stderr.
    Stderr,
}

/// What an envelope holds: a line, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The text, without the end of the line.
    pub text: Cow<'a, [u8]>,
    /// When the runtime received it: nanoseconds since 1970.
    pub received: Option<u64>,
    /// Where it was written, if that is told.
    pub stream: Option<Stream>,
    /// More of the same line follows.
    pub partial: bool,
    /// Full id of the container, if the envelope names one.
    pub container: Option<Cow<'a, str>>,
    /// The unit of systemd, if the envelope names one.
    pub unit: Option<Cow<'a, str>>,
    /// The process that wrote it, in the host's numbering, if the envelope names it.
    pub pid: Option<u32>,
    /// Lines that were not kept because there were too many at once: whoever kept the others says so here, and this is none.
    pub suppressed: u64,
}

impl Wrapping {
    /// Which envelope this line is; `None` if it is in none.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        let all = [Self::Docker, Self::Cri, Self::Journal, Self::Syslog];
        all.into_iter().find(|wrapping| wrapping.open(line).is_some())
    }

    /// Opens an envelope; `None` if it is not one of these.
    #[must_use]
    pub fn open(self, line: &[u8]) -> Option<Piece<'_>> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.len() > LONGEST_ENVELOPE {
            return None;
        }
        match self {
            Self::Docker => docker::open(line),
            Self::Cri => cri::open(line),
            Self::Journal => journal::open(line),
            Self::Syslog => syslog::open(line),
        }
    }
}

/// Nanoseconds since 1970 of a time in the form of RFC 3339; `None` for one before that.
fn received(time: &str) -> Option<u64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests;
