//! The files that are read.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use upstream_trace_core::event::Nanos;

use super::envelopes::Kept;
use super::file::FileId;
use super::judge::{self, Header, Kind, Level};
use super::same::Same;
use super::tail::Tail;
use crate::host::regular_file;

/// Files that are read at the same time.
const MOST: usize = 512;

/// Of these, in one turn.
const ONE_TURN: usize = 128;

/// Bytes of one turn, of all files together.
const BUDGET: usize = 1 << 20;

/// No file gets less than this.
const SHARE: usize = 64 << 10;

/// A file that no process has open any more is read until it is quiet for so long.
const QUIET: Nanos = 2_000_000_000;

/// Times of files come from a clock that goes in steps, and lags behind by one.
const COARSE: Duration = Duration::from_millis(20);

/// Files whose position is remembered after they were closed.
const REMEMBERED: usize = 256;

/// A line of an error.log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) header: Header,
    pub(super) text: &'a [u8],
    pub(super) file: FileId,
    pub(super) name: &'a str,
    /// It was not there yet at this time, or 0.
    pub(super) after: Nanos,
    pub(super) kept: Kept,
}

/// The files that are read, and those that are known to be something else.
#[derive(Debug)]
pub(super) struct Files {
    tails: Vec<Tail>,
    others: HashSet<(FileId, Arc<str>)>,
    left: VecDeque<(FileId, u64)>,
    same: Same,
    /// Files that are there already are read from their end on.
    started: SystemTime,
    running: bool,
    turn: usize,
    buffer: Vec<u8>,
    /// How often something could not be read.
    pub(super) gaps: u64,
}

impl Files {
    pub(super) fn new() -> Self {
        Self {
            tails: Vec::new(),
            others: HashSet::new(),
            left: VecDeque::new(),
            same: Same::default(),
            started: SystemTime::now() - COARSE,
            running: false,
            turn: 0,
            buffer: vec![0; SHARE],
            gaps: 0,
        }
    }

    /// Files that were made from now on are read from their beginning.
    pub(super) fn begin(&mut self) {
        self.running = true;
    }

    pub(super) fn get(&self, id: FileId) -> Option<&Tail> {
        self.tails.iter().find(|tail| tail.id == id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Tail> {
        self.tails.iter()
    }

    /// It was looked at before.
    pub(super) fn knows(&self, id: FileId, name: &str) -> bool {
        self.get(id).is_some() || self.others.contains(&(id, name.into()))
    }

    /// Follows the file behind `path` if it is an error.log or may become one; of one that is `certain` that is known.
    pub(super) fn add(&mut self, path: &Path, name: &str, certain: bool, now: Nanos) -> io::Result<()> {
        let (file, metadata) = regular_file(path)?;
        let id = FileId::of(&metadata);
        if self.knows(id, name) || self.tails.len() >= MOST {
            return Ok(());
        }
        let mut judged = judge::judge(&file, metadata.len(), name, certain)?;
        if judged.kind == Kind::Other {
            self.others.insert((id, name.into()));
            return Ok(());
        }
        if certain {
            judged.kind = Kind::Error;
        }
        let offset = self.first_offset(id, name, metadata.len());
        let mut tail = Tail::new(file, id, name, judged, offset);
        tail.busy = now;
        self.tails.push(tail);
        Ok(())
    }

    /// Follows an error.log, whose lines may be in envelopes.
    pub(super) fn add_kept(&mut self, path: &Path, name: &str, now: Nanos) -> io::Result<()> {
        let before = self.tails.len();
        self.add(path, name, true, now)?;
        for tail in &mut self.tails[before..] {
            tail.expect_envelopes();
        }
        Ok(())
    }

    fn first_offset(&self, id: FileId, name: &str, size: u64) -> u64 {
        if let Some((_, position)) = self.left.iter().rev().find(|(left, _)| *left == id) {
            return *position;
        }
        let known_name = || self.tails.iter().any(|tail| &*tail.name == name);
        let young = id.born().map_or_else(known_name, |born| born >= self.started);
        if self.running && young { 0 } else { size }
    }

    /// Hands out the lines that came since the last time, each once, up to a bound. Returns how many bytes were read.
    pub(super) fn read(&mut self, now: Nanos, give: &mut dyn FnMut(Line<'_>)) -> usize {
        let count = self.tails.len();
        let share = (BUDGET / count.max(1)).max(SHARE);
        let (mut total, first) = (0, self.turn);
        for step in 0..count.min(ONE_TURN) {
            if total >= BUDGET {
                break;
            }
            total += self.read_one((first + step) % count, share, now, give);
            self.turn = (first + step + 1) % count;
        }
        self.forget_others();
        total
    }

    fn read_one(&mut self, index: usize, share: usize, now: Nanos, give: &mut dyn FnMut(Line<'_>)) -> usize {
        let several = self.tails.len() > 1;
        let tail = &mut self.tails[index];
        let (file, name, same) = (tail.id, Arc::clone(&tail.name), &mut self.same);
        let (mut kind, mut level, after) = (tail.kind, tail.level, tail.whole);
        let before = tail.left_out;
        let mut line = |text: &[u8], kept: Kept| {
            let header = Header::read(text);
            if kind == Kind::Undecided {
                kind = if header.is_some() { Kind::Error } else { Kind::Other };
            }
            let Some(header) = header.filter(|_| kind == Kind::Error) else { return };
            level = Some(level.map_or(header.level, |level| level.min(header.level)));
            if header.level != Level::DEBUG && (!several || same.is_new(text, file, now)) {
                give(Line { header, text, file, name: &name, after, kept });
            }
        };
        let mut envelopes = tail.envelopes.take();
        let result = tail.read(&mut self.buffer, share, &mut |text| match &mut envelopes {
            Some(envelopes) => envelopes.open(text, &mut line),
            None => line(text, Kept::default()),
        });
        tail.envelopes = envelopes;
        (tail.kind, tail.level) = (kind, level);
        // A file that cannot be read stays as it is; another one may come.
        if result.as_ref().is_ok_and(|read| *read < share) {
            tail.whole = now;
        }
        let fails = result.is_err();
        if tail.left_out > before || fails && !tail.fails {
            self.gaps += 1;
        }
        tail.fails = fails;
        let read = result.unwrap_or(0);
        if read > 0 {
            tail.busy = now;
        }
        read
    }

    fn forget_others(&mut self) {
        let others = &mut self.others;
        self.tails.retain(|tail| {
            let keep = tail.kind != Kind::Other;
            if !keep {
                others.insert((tail.id, Arc::clone(&tail.name)));
            }
            keep
        });
    }

    /// Closes files that nobody has open any more and that are quiet.
    pub(super) fn close_unused(&mut self, now: Nanos, held: impl Fn(FileId) -> bool) {
        let left = &mut self.left;
        self.tails.retain_mut(|tail| {
            if held(tail.id) {
                tail.busy = now;
            }
            let keep = now.saturating_sub(tail.busy) < QUIET;
            if !keep {
                left.push_back((tail.id, tail.position()));
            }
            keep
        });
        while left.len() > REMEMBERED {
            left.pop_front();
        }
        self.others.retain(|(id, _)| held(*id));
    }
}
