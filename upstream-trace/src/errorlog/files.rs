//! The files that are read.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use upstream_trace_core::event::Nanos;

use super::classify::{self, Header, Kind, Level};
use super::envelopes::Kept;
use super::file::FileId;
use super::find::Open;
use super::record::Words;
use super::tail::Tail;
use super::watchdog::{Mount, Watchdog};
use crate::host::regular_file;

/// Files that are read at the same time.
const MAX_FILES: usize = 512;

/// Files beyond that whose number is remembered.
const MAX_BEYOND: usize = 16_384;

/// Bytes of one turn, of all files together.
const BUDGET: usize = 1 << 20;

/// No file gets less than this.
const SHARE: usize = 64 << 10;

/// A file that no process has open any more is read until it is quiet for so long.
const QUIET: Nanos = 2_000_000_000;

/// Times of files come from a clock that goes in steps, and lags behind by one.
const COARSE: Duration = Duration::from_millis(20);

/// So long after lines were left out by whoever keeps them, more may have been: the journal says so when half a minute, as
/// it is set, has passed since the first of them.
const SUPPRESSED: Nanos = 60_000_000_000;

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
    /// It may be an application's.
    pub(super) doubtful: bool,
}

/// A file that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) name: &'a Arc<str>,
    /// It is an error.log, whatever is in it.
    pub(super) certain: bool,
    pub(super) mount: Mount,
}

/// How much was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) bytes: usize,
    /// Every file to its end.
    pub(super) all: bool,
}

/// The files that are read, and those that are known to be something else.
#[derive(Debug)]
pub(super) struct Files {
    tails: Vec<Tail>,
    others: HashSet<(FileId, Arc<str>)>,
    /// Error logs that are not read because there are too many.
    beyond: HashSet<FileId>,
    /// What is known of the files has changed.
    pub(super) changed: bool,
    left: VecDeque<(FileId, u64)>,
    /// Files that are there already are read from their end on.
    started: SystemTime,
    running: bool,
    turn: usize,
    buffer: Vec<u8>,
    watchdog: Watchdog,
    /// How often something could not be read.
    pub(super) gaps: u64,
}

impl Files {
    pub(super) fn new(watchdog: Watchdog) -> Self {
        Self {
            tails: Vec::new(),
            others: HashSet::new(),
            beyond: HashSet::new(),
            changed: false,
            left: VecDeque::new(),
            started: SystemTime::now() - COARSE,
            running: false,
            turn: 0,
            buffer: vec![0; SHARE],
            watchdog,
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

    /// One of these is an error.log.
    pub(super) fn any_error_log(&self, open: &[Open]) -> bool {
        open.iter().filter_map(|open| self.get(open.id)).any(|tail| tail.kind == Kind::Error)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Tail> {
        self.tails.iter()
    }

    /// It was looked at before.
    pub(super) fn knows(&self, id: FileId, name: &str) -> bool {
        let full = self.tails.len() >= MAX_FILES;
        self.get(id).is_some() || self.others.contains(&(id, name.into())) || full && self.is_beyond(id)
    }

    /// It is an error log that is not read because there are too many.
    pub(super) fn is_beyond(&self, id: FileId) -> bool {
        self.beyond.contains(&id)
    }

    /// Follows the file behind `path` if it is an error.log or may become one; of one that is `certain` that is known.
    ///
    /// # Errors
    /// If it cannot be read, or there are too many.
    pub(super) fn add(&mut self, path: &Path, found: &Found<'_>, now: Nanos) -> io::Result<()> {
        let Found { name, certain, mount } = *found;
        if self.watchdog.hangs(mount) {
            return Err(io::Error::other("its file system does not answer"));
        }
        let watchdog = self.watchdog.clone();
        let open = || {
            let (file, metadata) = regular_file(path)?;
            let id = FileId::of(&metadata);
            if self.knows(id, name) {
                return Ok(None);
            }
            let classified = classify::classify(&file, metadata.len(), name, certain)?;
            Ok::<_, io::Error>(Some((file, metadata, id, classified)))
        };
        let opened = watchdog.step(name, mount, open)?;
        let Some((file, metadata, id, mut classified)) = opened else { return Ok(()) };
        if classified.kind == Kind::Other {
            self.others.insert((id, Arc::clone(name)));
            return Ok(());
        }
        self.changed = true;
        if self.tails.len() >= MAX_FILES {
            self.gaps += 1;
            if self.beyond.len() < MAX_BEYOND {
                self.beyond.insert(id);
            }
            return Err(io::Error::other(format!("more than {MAX_FILES} error logs are open")));
        }
        self.beyond.remove(&id);
        if certain {
            classified.kind = Kind::Error;
        }
        let offset = self.first_offset(id, name, metadata.len());
        let mut tail = Tail::new(file, id, name, classified, offset);
        (tail.busy, tail.mount) = (now, mount);
        self.tails.push(tail);
        Ok(())
    }

    /// Follows an error.log, whose lines may be in envelopes. Where it is mounted may not be known.
    pub(super) fn add_kept(&mut self, path: &Path, name: &str, mount: Mount, now: Nanos) -> io::Result<()> {
        let before = self.tails.len();
        self.add(path, &Found { name: &name.into(), certain: true, mount }, now)?;
        for tail in &mut self.tails[before..] {
            tail.expect_envelopes();
        }
        Ok(())
    }

    fn first_offset(&self, id: FileId, name: &str, size: u64) -> u64 {
        if let Some((_, position)) = self.left.iter().rev().find(|(left, _)| *left == id) {
            return *position;
        }
        if let Some(position) = self.watchdog.position(id) {
            return position;
        }
        let known_name = || self.tails.iter().any(|tail| &*tail.name == name);
        let young = id.born().map_or_else(known_name, |born| born >= self.started);
        if self.running && young { 0 } else { size }
    }

    /// Hands out the lines that came since the last time, each once, up to a bound.
    pub(super) fn read(&mut self, now: Nanos, give: &mut dyn FnMut(Line<'_>)) -> Amount {
        let count = self.tails.len();
        let share = (BUDGET / count.max(1)).max(SHARE);
        let (mut amount, first) = (Amount { bytes: 0, all: true }, self.turn);
        for step in 0..count {
            if amount.bytes >= BUDGET {
                amount.all = false;
                break;
            }
            let read = self.read_one((first + step) % count, share, now, give);
            amount.bytes += read;
            amount.all &= read < share;
            self.turn = (first + step + 1) % count;
        }
        self.forget_others();
        amount
    }

    /// What was handed out is known elsewhere by now: another thread may go on from here.
    pub(super) fn remember_positions(&self) {
        self.watchdog.remember(self.tails.iter().map(|tail| (tail.id, tail.position())));
    }

    fn read_one(&mut self, index: usize, share: usize, now: Nanos, give: &mut dyn FnMut(Line<'_>)) -> usize {
        let tail = &mut self.tails[index];
        let (file, name) = (tail.id, Arc::clone(&tail.name));
        let (mut kind, mut level, after) = (tail.kind, tail.level, tail.whole);
        let mut record = tail.record;
        let before = tail.left_out;
        if self.watchdog.hangs(tail.mount) {
            return 0;
        }
        let (watchdog, mount, buffer) = (&self.watchdog, tail.mount, &mut self.buffer);
        let mut line = |text: &[u8], kept: Kept| {
            let words = record.next(text);
            if words == Words::Application {
                return;
            }
            let doubtful = words == Words::Doubtful;
            let header = Header::read(text);
            if kind == Kind::Undecided {
                kind = if header.is_some() { Kind::Error } else { Kind::Other };
            }
            let Some(header) = header.filter(|_| kind == Kind::Error) else { return };
            level = Some(level.map_or(header.level, |level| level.min(header.level)));
            if header.level != Level::DEBUG {
                give(Line { header, text, file, name: &name, after, kept, doubtful });
            }
        };
        let mut envelopes = tail.envelopes.take();
        let mut open = |text: &[u8]| match &mut envelopes {
            Some(envelopes) => envelopes.open(text, &mut line),
            None => line(text, Kept::default()),
        };
        let result = watchdog.step(&name, mount, || tail.read(buffer, share, &mut open));
        let suppressed = envelopes.as_mut().map_or(0, |envelopes| std::mem::take(&mut envelopes.suppressed));
        tail.envelopes = envelopes;
        self.gaps += suppressed;
        let doubtful = tail.suppressed != 0;
        if suppressed > 0 || doubtful && now.saturating_sub(tail.suppressed) > SUPPRESSED {
            tail.suppressed = if suppressed > 0 { now } else { 0 };
            self.changed |= doubtful != (tail.suppressed != 0);
        }
        self.changed |= (tail.kind, tail.level) != (kind, level);
        (tail.kind, tail.level, tail.record) = (kind, level, record);
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

    /// These are something else, whatever their lines look like.
    pub(super) fn leave_out(&mut self, access: &HashSet<FileId>) {
        for tail in self.tails.iter_mut().filter(|tail| access.contains(&tail.id)) {
            tail.kind = Kind::Other;
        }
        self.forget_others();
    }

    fn forget_others(&mut self) {
        let (others, changed) = (&mut self.others, &mut self.changed);
        self.tails.retain(|tail| {
            let keep = tail.kind != Kind::Other;
            if !keep {
                *changed = true;
                others.insert((tail.id, Arc::clone(&tail.name)));
            }
            keep
        });
    }

    /// Closes files that nobody has open any more and that are quiet.
    pub(super) fn close_unused(&mut self, now: Nanos, held: impl Fn(FileId) -> bool) {
        let (left, changed, watchdog) = (&mut self.left, &mut self.changed, &self.watchdog);
        self.tails.retain_mut(|tail| {
            if held(tail.id) {
                tail.busy = now;
            }
            let keep = now.saturating_sub(tail.busy) < QUIET;
            if !keep {
                *changed = true;
                left.push_back((tail.id, tail.position()));
                watchdog.step(&Arc::clone(&tail.name), tail.mount, || tail.close());
            }
            keep
        });
        while left.len() > REMEMBERED {
            left.pop_front();
        }
        self.others.retain(|(id, _)| held(*id));
        self.beyond.retain(|id| held(*id));
    }
}
