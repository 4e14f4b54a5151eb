//! One file, read as it grows.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use upstream_trace_core::event::Nanos;

use super::classify::{Classified, Kind, Level};
use super::envelopes::Envelopes;
use super::file::FileId;
use super::record::Record;
use super::watchdog::Mount;

/// Longest line; nginx's own end at half of it.
const LINE: usize = 4096;

/// Further behind than this what is between is left out.
const MAX_BEHIND: u64 = 16 << 20;

/// How much of it is read all the same.
const MAX_CATCH_UP: u64 = 1 << 20;

/// A file, and how far it was read.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) id: FileId,
    /// Its name as the process that writes it knows it, from when it was found.
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    /// The finest level that was seen in it.
    pub(super) level: Option<Level>,
    /// When it last grew, or was last held open by a process of nginx.
    pub(super) busy: Nanos,
    /// All that was written before this time has been read.
    pub(super) whole: Nanos,
    /// Bytes that were left out because it grows faster than it can be read.
    pub(super) left_out: u64,
    /// Whether the last record goes on.
    pub(super) record: Record,
    /// When lines were last left out by whoever keeps them; 0 if that is long ago.
    pub(super) suppressed: Nanos,
    /// It could not be read the last time.
    pub(super) fails: bool,
    /// Takes lines out of their envelopes, if they may be in some.
    pub(super) envelopes: Option<Envelopes>,
    /// Longest line that is read whole.
    longest: usize,
    /// Where it is mounted.
    pub(super) mount: Mount,
    /// None once it was closed.
    file: Option<File>,
    offset: u64,
    partial: Vec<u8>,
    /// What comes up to the next end of a line is not wanted.
    skipping: bool,
}

impl Tail {
    /// Reads from `offset` on.
    pub(super) fn new(file: File, id: FileId, name: &str, classified: Classified, offset: u64) -> Self {
        Self {
            id,
            name: name.into(),
            kind: classified.kind,
            level: classified.level,
            busy: 0,
            whole: 0,
            left_out: 0,
            record: Record::default(),
            suppressed: 0,
            fails: false,
            envelopes: None,
            longest: LINE,
            mount: 0,
            file: Some(file),
            offset,
            partial: Vec::new(),
            skipping: false,
        }
    }

    /// Its lines may be in envelopes.
    pub(super) fn expect_envelopes(&mut self) {
        self.envelopes = Some(Envelopes::default());
        self.longest = Envelopes::LONGEST;
    }

    /// Where to go on if the file is opened again: at the beginning of a line.
    pub(super) fn position(&self) -> u64 {
        self.offset.saturating_sub(self.partial.len() as u64)
    }

    /// Closes the file, which on some file systems asks a server.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// Hands out the lines that came, up to `most` bytes. Returns how many bytes were read.
    ///
    /// What is read has come after [`whole`](Self::whole), of which the caller takes care.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        most: usize,
        line: &mut dyn FnMut(&[u8]),
    ) -> io::Result<usize> {
        self.catch_up()?;
        let mut total = 0;
        while total < most {
            let Some(file) = &self.file else { break };
            let piece = buffer.len().min(most - total);
            let read = match file.read_at(&mut buffer[..piece], self.offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            if read == 0 {
                break;
            }
            self.offset += read as u64;
            total += read;
            self.split(&buffer[..read], line);
        }
        Ok(total)
    }

    /// Begins again if the file was cut (`copytruncate`), and leaves out what can no longer be caught up with.
    fn catch_up(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let size = file.metadata()?.len();
        if size < self.offset {
            self.offset = 0;
            self.partial.clear();
            self.skipping = false;
        } else if size - self.offset > MAX_BEHIND {
            self.left_out += size - MAX_CATCH_UP - self.offset;
            self.offset = size - MAX_CATCH_UP;
            self.partial.clear();
            self.skipping = true;
        }
        Ok(())
    }

    fn split(&mut self, bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = piece.ends_with(b"\n");
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            if self.skipping {
                self.skipping = !whole;
            } else if whole && self.partial.is_empty() {
                line(&text[..text.len().min(self.longest)]);
            } else {
                let room = self.longest - self.partial.len();
                self.partial.extend_from_slice(&text[..text.len().min(room)]);
                if whole || text.len() > room {
                    line(&self.partial);
                    self.partial.clear();
                    self.skipping = !whole;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::Dir;
    use super::*;
    use crate::host::regular_file;

    fn follow(dir: &Dir, offset: u64) -> Tail {
        let (file, metadata) = regular_file(&dir.path("error.log")).unwrap();
        Tail::new(file, FileId::of(&metadata), "", Classified { kind: Kind::Error, level: None }, offset)
    }

    fn lines(tail: &mut Tail) -> Vec<String> {
        let mut lines = Vec::new();
        let mut add = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
        tail.read(&mut [0; 64], usize::MAX, &mut add).unwrap();
        lines
    }

    #[test]
    fn a_line_comes_when_it_is_whole() {
        let dir = Dir::new("whole");
        dir.write("error.log", "old\n");
        let mut tail = follow(&dir, 4);
        assert!(lines(&mut tail).is_empty());
        dir.append("error.log", "one\ntwo\nthr");
        assert_eq!(lines(&mut tail), ["one", "two"]);
        assert_eq!((lines(&mut tail).len(), tail.position()), (0, 12));
        dir.append("error.log", "ee\n\n");
        assert_eq!(lines(&mut tail), ["three", ""]);
    }

    #[test]
    fn a_file_that_was_cut_begins_again() {
        let dir = Dir::new("cut");
        dir.write("error.log", "one\nrest of a li");
        let mut tail = follow(&dir, 0);
        assert_eq!(lines(&mut tail), ["one"]);
        fs::OpenOptions::new().write(true).open(dir.path("error.log")).unwrap().set_len(0).unwrap();
        assert!(lines(&mut tail).is_empty());
        dir.append("error.log", "two\n");
        assert_eq!(lines(&mut tail), ["two"]);
    }

    #[test]
    fn long_lines_are_cut_and_memory_stays_small() {
        let dir = Dir::new("long");
        dir.write("error.log", &format!("{}\nnext\n{}", "x".repeat(100_000), "y".repeat(100_000)));
        let mut tail = follow(&dir, 0);
        let found = lines(&mut tail);
        assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), [LINE, 4, LINE]);
        assert!(tail.partial.is_empty() && tail.skipping);
        dir.append("error.log", "yy\nlast\n");
        assert_eq!(lines(&mut tail), ["last"]);
    }

    #[test]
    fn a_line_of_just_the_longest_length() {
        let dir = Dir::new("longest");
        dir.write("error.log", &format!("{}\nnext\n", "x".repeat(LINE)));
        assert_eq!(lines(&mut follow(&dir, 0)).iter().map(String::len).collect::<Vec<_>>(), [LINE, 4]);
    }

    #[test]
    fn no_more_than_asked_for() {
        let dir = Dir::new("bound");
        dir.write("error.log", &"123456789\n".repeat(100));
        let (mut tail, mut count) = (follow(&dir, 0), 0);
        let read = tail.read(&mut [0; 64], 500, &mut |_| count += 1).unwrap();
        assert_eq!((read, count), (500, 50));
    }

    #[test]
    fn what_cannot_be_caught_up_with_is_left_out() {
        let dir = Dir::new("behind");
        dir.write("error.log", "");
        let mut tail = follow(&dir, 0);
        dir.write("error.log", &"123456789\n".repeat(2 << 20));
        let mut count = 0u64;
        tail.read(&mut [0; 4096], usize::MAX, &mut |line| {
            assert_eq!(line.len(), 9);
            count += 1;
        })
        .unwrap();
        assert_eq!(tail.left_out, (20 << 20) - MAX_CATCH_UP);
        assert!(count * 10 <= MAX_CATCH_UP && count * 10 > MAX_CATCH_UP - 20);
    }
}
