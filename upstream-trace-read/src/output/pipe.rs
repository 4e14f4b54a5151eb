//! A writer whose reader may go away.

use std::io::{ErrorKind, Write};

use super::{SinkState, progress};

/// Writes whole texts and flushes them. After the first error nothing more is written: nobody reads it.
#[derive(Debug)]
pub(super) struct Pipe<W> {
    to: W,
    state: SinkState,
}

impl<W: Write> Pipe<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, state: SinkState::Open }
    }

    /// Whether the reader is still there.
    pub(super) fn state(&self) -> SinkState {
        self.state
    }

    /// Writes and flushes. Returns what went wrong, once, unless it is just that the reader has gone.
    pub(super) fn write(&mut self, text: &str) -> Option<String> {
        self.write_bytes(text.as_bytes())
    }

    /// The same for text that is UTF-8 by its making.
    pub(super) fn write_bytes(&mut self, text: &[u8]) -> Option<String> {
        if self.state != SinkState::Open || text.is_empty() {
            return None;
        }
        progress::clear();
        let error = self.to.write_all(text).and_then(|()| self.to.flush()).err()?;
        let gone = error.kind() == ErrorKind::BrokenPipe;
        self.state = if gone { SinkState::Closed } else { SinkState::Failed };
        (!gone).then(|| format!("upstream-trace: cannot write the output: {error}\n"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;

    use super::*;

    /// Fails with this error after so many writes; counts them.
    pub(in crate::output) struct Failing {
        pub(in crate::output) writes: usize,
        pub(in crate::output) good: usize,
        pub(in crate::output) kind: ErrorKind,
    }

    impl Write for &mut Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            if self.writes > self.good { Err(self.kind.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_output_quietly() {
        let mut to = Failing { writes: 0, good: 1, kind: ErrorKind::BrokenPipe };
        let mut pipe = Pipe::new(&mut to);
        for _ in 0..5 {
            assert_eq!(pipe.write("text\n"), None);
        }
        assert_eq!(pipe.state(), SinkState::Closed);
        assert_eq!(to.writes, 2);
    }

    #[test]
    fn a_full_disk_is_named_once() {
        let mut to = Failing { writes: 0, good: 0, kind: ErrorKind::StorageFull };
        let mut pipe = Pipe::new(&mut to);
        assert!(pipe.write("text\n").is_some_and(|error| error.contains(": cannot write the output: ")));
        assert_eq!(pipe.write("text\n"), None);
        assert_eq!(pipe.state(), SinkState::Failed);
    }
}
