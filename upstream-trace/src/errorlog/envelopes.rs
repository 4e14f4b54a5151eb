//! Lines of a log that a container runtime keeps: taken out of their envelopes.

use std::time::SystemTime;

use upstream_trace_core::errorlog::{LONGEST_ENVELOPE, Pieces, Stream, Wrapping};
use upstream_trace_core::event::{LogSource, Nanos};

/// What there is to know about a line beside its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Who kept it, if that is not nginx's own file.
    pub(super) source: Option<LogSource>,
    /// How long ago the runtime received it.
    pub(super) age: Option<Nanos>,
    /// The process that wrote it, in the host's numbering, if the kernel said so to whoever kept it.
    pub(super) pid: Option<u32>,
    /// Where it was written, if that is told.
    pub(super) stream: Option<Stream>,
}

/// What nginx wrote reaches its runtime within this time, on a busy host.
const DELAY: Nanos = 500_000_000;

impl Kept {
    /// Before when nginx did not write the line, if its file was last seen without it at `after`. A runtime writes it some
    /// time after nginx has, and the journal gathers what it has for 250 ms before it says so: there only the time counts
    /// at which it was received.
    pub(super) fn not_before(self, after: Nanos, received: Nanos) -> Nanos {
        if self.source.is_none() { after } else { after.min(received.saturating_sub(DELAY)) }
    }
}

/// Takes lines out of their envelopes; those without one pass as they are.
#[derive(Debug, Default)]
pub(super) struct Envelopes {
    pieces: Pieces,
    wrapping: Option<Wrapping>,
    /// Lines that whoever kept the others left out, since somebody last took note.
    pub(super) suppressed: u64,
}

impl Envelopes {
    /// Longest line that is read, bytes.
    pub(super) const LONGEST: usize = LONGEST_ENVELOPE;

    /// Hands out the line, if it is whole now.
    pub(super) fn open(&mut self, line: &[u8], give: &mut dyn FnMut(&[u8], Kept)) {
        let known = self.wrapping.and_then(|wrapping| Some((wrapping, wrapping.open(line)?)));
        let found = known.or_else(|| {
            let wrapping = Wrapping::of(line)?;
            Some((wrapping, wrapping.open(line)?))
        });
        let Some((wrapping, piece)) = found else {
            self.pieces.clear();
            give(line, Kept::default());
            return;
        };
        self.wrapping = Some(wrapping);
        if piece.suppressed > 0 {
            self.suppressed += piece.suppressed;
            return;
        }
        let age = piece.received.and_then(age);
        let kept = Kept { source: Some(source(wrapping)), age, pid: piece.pid, stream: piece.stream };
        self.pieces.add(&piece, &mut |text| give(text, kept));
    }
}

fn source(wrapping: Wrapping) -> LogSource {
    match wrapping {
        Wrapping::Docker => LogSource::DockerJson,
        Wrapping::Cri => LogSource::Cri,
        Wrapping::Journal => LogSource::Journal,
        Wrapping::Syslog => LogSource::Syslog,
    }
}

/// How long ago that was, nanoseconds since 1970; `None` if the clock was set back since.
fn age(received: u64) -> Option<Nanos> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(now.as_nanos()).ok()?.checked_sub(received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_an_envelope() {
        let mut envelopes = Envelopes::default();
        let mut found = Vec::new();
        for line in [
            &b"2026/11/20 09:12:01 [error] 1#1: plain"[..],
            b"2016-10-06T00:17:10.113242941Z stderr P in ",
            b"2016-10-06T00:17:10.113242941Z stderr F two",
            b"Nov 28 22:55:25 host nginx: 2026/11/20 09:12:01 [error] 1#1: three",
            br#"{"log":"one\n","stream":"stderr","time":"2016-10-06T00:17:10Z"}"#,
        ] {
            envelopes.open(line, &mut |text, kept| {
                found.push((String::from_utf8_lossy(text).into_owned(), kept.source, kept.age.is_some()));
            });
        }
        assert_eq!(
            found,
            [
                ("2026/11/20 09:12:01 [error] 1#1: plain".to_owned(), None, false),
                ("in two".to_owned(), Some(LogSource::Cri), true),
                ("2026/11/20 09:12:01 [error] 1#1: three".to_owned(), Some(LogSource::Syslog), false),
                ("one".to_owned(), Some(LogSource::DockerJson), true),
            ]
        );
        assert_eq!((age(u64::MAX), envelopes.suppressed), (None, 0));
        let left_out = br#"{"__REALTIME_TIMESTAMP":"7","MESSAGE":"Suppressed 12 messages from a","_TRANSPORT":"driver"}"#;
        envelopes.open(left_out, &mut |_, _| panic!("no line"));
        assert_eq!(envelopes.suppressed, 12);
        let kept = |source| Kept { source, ..Kept::default() };
        let (after, received) = (2 * DELAY, 2 * DELAY + 7);
        assert_eq!(kept(None).not_before(after, received), after);
        assert_eq!(kept(Some(LogSource::Cri)).not_before(after, received), DELAY + 7);
        assert_eq!(kept(Some(LogSource::Journal)).not_before(DELAY, 3 * DELAY), DELAY);
    }
}
