//! Which process has which files open. Looking through all descriptors of a busy worker takes milliseconds, so that
//! it is done only where something changed, and now and then for one process after the other.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use upstream_trace_core::event::Nanos;

use super::file::FileId;
use super::find::{self, Elsewhere, Open, Scan};
use super::pids::REMEMBERED;
use super::watchdog::Watchdog;

/// Between two looks at whether files were opened again.
const CHECK: Nanos = 250_000_000;

/// However long a check takes, the next one comes within this time.
const LATEST: Nanos = 5_000_000_000;

/// What is done again and again may not take more than this part of the time.
const PART: u32 = 100;

/// Between two looks through all descriptors of some process, at least.
const TURN: Nanos = 1_000_000_000;

/// Descriptors are looked through for so long in one turn; what is left waits for the next.
const BUDGET: Duration = Duration::from_millis(5);

/// Files of one process that it had open until a short time ago.
const MAX_EARLIER: usize = 4_096;

/// What is known of a process.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) files: Vec<Open>,
    pub(super) elsewhere: Elsewhere,
    /// Its descriptors were looked through.
    pub(super) known: bool,
    /// Why they could not be.
    pub(super) refused: Option<io::ErrorKind>,
    /// It has more files open than are looked at.
    pub(super) too_many: bool,
    /// A file on a file system that does not answer.
    pub(super) hanging: Option<Arc<str>>,
    /// Files that it had open until then: what it wrote to them before is read after.
    earlier: Vec<(FileId, Nanos)>,
    /// Not before this time it is looked through because of a line.
    next_request: Nanos,
}

impl Held {
    /// A process that was looked through.
    #[cfg(test)]
    pub(super) fn of(files: Vec<Open>) -> Self {
        Self { files, known: true, ..Self::default() }
    }

    fn holds(&self, id: FileId, now: Nanos) -> bool {
        let recent = |(file, until): &(FileId, Nanos)| *file == id && now.saturating_sub(*until) < REMEMBERED;
        self.files.iter().any(|open| open.id == id) || self.earlier.iter().any(recent)
    }

    /// It was looked through again.
    fn renew(&mut self, scan: Scan, now: Nanos) {
        self.earlier.retain(|(_, until)| now.saturating_sub(*until) < REMEMBERED);
        for open in std::mem::take(&mut self.files) {
            if scan.files.iter().all(|still| still.id != open.id) && self.earlier.len() < MAX_EARLIER {
                self.earlier.push((open.id, now));
            }
        }
        (self.files, self.elsewhere, self.too_many) = (scan.files, scan.elsewhere, scan.too_many);
        (self.known, self.refused, self.hanging) = (true, None, scan.hanging);
    }
}

/// The processes and what they have open.
#[derive(Debug, Default)]
pub(super) struct Processes {
    held: BTreeMap<u32, Held>,
    /// Processes that are gone, and since when: their last lines are read after their end.
    gone: BTreeMap<u32, (Held, Nanos)>,
    last: Vec<u32>,
    now: Nanos,
    due: VecDeque<u32>,
    next_check: Nanos,
    /// Whose turn it was.
    turn: u32,
    next_turn: Nanos,
    /// How long it took to look through the descriptors of one process.
    took: Duration,
    watchdog: Watchdog,
}

impl Processes {
    pub(super) fn new(watchdog: Watchdog) -> Self {
        Self { watchdog, ..Self::default() }
    }

    pub(super) fn get(&self, pid: u32) -> Option<&Held> {
        self.held.get(&pid)
    }

    /// Processes that write to a pipe or a socket, and what they have open.
    pub(super) fn writing_elsewhere(&self) -> impl Iterator<Item = (u32, &Held)> {
        let elsewhere = |held: &Held| matches!(held.elsewhere, Elsewhere::Pipe | Elsewhere::Socket);
        self.held
            .iter()
            .filter(move |(_, held)| held.known && elsewhere(held))
            .map(|(pid, held)| (*pid, held))
    }

    pub(super) fn holds(&self, pid: u32, id: FileId) -> bool {
        let held = self.held.get(&pid).or_else(|| self.gone.get(&pid).map(|(held, _)| held));
        held.is_some_and(|held| held.holds(id, self.now))
    }

    pub(super) fn anyone_holds(&self, id: FileId) -> bool {
        self.held.values().flat_map(|held| &held.files).any(|open| open.id == id)
    }

    /// Takes note of which processes there are. Returns those that are new, and those that are gone.
    pub(super) fn update(&mut self, pids: &[u32], now: Nanos) -> (Vec<u32>, Vec<u32>) {
        self.now = now;
        if self.last == pids {
            return (Vec::new(), Vec::new());
        }
        self.last = pids.to_vec();
        let there: HashSet<u32> = pids.iter().copied().collect();
        let gone: Vec<u32> = self.held.keys().filter(|pid| !there.contains(pid)).copied().collect();
        let new: Vec<u32> = there.into_iter().filter(|pid| !self.held.contains_key(pid)).collect();
        self.gone.retain(|_, (_, since)| now.saturating_sub(*since) < REMEMBERED);
        for pid in &gone {
            self.gone.extend(self.held.remove(pid).map(|held| (*pid, (held, now))));
        }
        for pid in &new {
            self.held.insert(*pid, Held::default());
            self.due.push_back(*pid);
        }
        (new, gone)
    }

    /// Looks, if it is time, whether logs were opened again; true if it was time.
    pub(super) fn check(&mut self, now: Nanos) -> bool {
        if now < self.next_check {
            return false;
        }
        let begun = Instant::now();
        let Self { held, due, watchdog, .. } = self;
        for (pid, held) in held {
            // nginx opens all of its logs again or none; stderr, the first, may be none of them.
            let ends = held.files.first().into_iter().chain(held.files.last());
            if ends.into_iter().any(|open| !find::is_still(*pid, open, watchdog)) && !due.contains(pid) {
                due.push_back(*pid);
            }
        }
        if now >= self.next_turn {
            self.next_in_turn();
            self.next_turn = now + part(self.took).max(TURN);
        }
        self.next_check = now + part(begun.elapsed()).clamp(CHECK, LATEST);
        true
    }

    fn next_in_turn(&mut self) {
        let next = self.held.range(self.turn + 1..).next().or_else(|| self.held.iter().next());
        let Some((pid, _)) = next else { return };
        self.turn = *pid;
        if !self.due.contains(pid) {
            self.due.push_back(*pid);
        }
    }

    /// A process wrote to a file that it is not known to have open. It is looked through, though not for each line.
    pub(super) fn request(&mut self, pid: u32) {
        let Some(held) = self.held.get_mut(&pid).filter(|held| held.next_request <= self.now) else { return };
        held.next_request = self.now.saturating_add(part(self.took).max(CHECK));
        if !self.due.contains(&pid) {
            self.due.push_back(pid);
        }
    }

    /// Looks through the descriptors of processes where that is due; of all of them if `all`. Whether any was.
    pub(super) fn scan(&mut self, all: bool, found: &mut dyn FnMut(u32, &Open)) -> bool {
        let begun = Instant::now();
        let mut any = false;
        while let Some(pid) = self.due.pop_front() {
            let Some(held) = self.held.get_mut(&pid) else { continue };
            let one = Instant::now();
            any = true;
            match find::scan(pid, &self.watchdog) {
                Ok(scan) => {
                    held.renew(scan, self.now);
                    held.files.iter().for_each(|open| found(pid, open));
                }
                // It has just ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => *held = Held { known: true, refused: Some(error.kind()), ..Held::default() },
            }
            self.took = one.elapsed();
            if !all && begun.elapsed() > BUDGET {
                break;
            }
        }
        any
    }
}

/// How long to wait after something that took so long.
fn part(took: Duration) -> Nanos {
    Nanos::try_from((took * PART).as_nanos()).unwrap_or(LATEST)
}
