//! Which process has which files open. Looking through all descriptors of a busy worker takes milliseconds, so that
//! it is done only where something changed, and now and then for one process after the other.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use upstream_trace_core::event::Nanos;

use super::file::FileId;
use super::find::{self, Elsewhere, Open, Scan};

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

/// What is known of a process.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) files: Vec<Open>,
    pub(super) elsewhere: Elsewhere,
    /// Its descriptors were looked through.
    pub(super) known: bool,
    /// Why they could not be.
    pub(super) refused: Option<io::ErrorKind>,
}

/// The processes and what they have open.
#[derive(Debug, Default)]
pub(super) struct Processes {
    held: BTreeMap<u32, Held>,
    due: VecDeque<u32>,
    next_check: Nanos,
    /// Whose turn it was.
    turn: u32,
    next_turn: Nanos,
    /// How long it took to look through the descriptors of one process.
    took: Duration,
}

impl Processes {
    pub(super) fn get(&self, pid: u32) -> Option<&Held> {
        self.held.get(&pid)
    }

    /// Processes that write to a pipe or a socket.
    pub(super) fn writing_elsewhere(&self) -> impl Iterator<Item = u32> {
        let elsewhere = |held: &Held| matches!(held.elsewhere, Elsewhere::Pipe | Elsewhere::Socket);
        self.held.iter().filter(move |(_, held)| held.known && elsewhere(held)).map(|(pid, _)| *pid)
    }

    pub(super) fn holds(&self, pid: u32, id: FileId) -> bool {
        self.held.get(&pid).is_some_and(|held| held.files.iter().any(|open| open.id == id))
    }

    pub(super) fn anyone_holds(&self, id: FileId) -> bool {
        self.held.values().flat_map(|held| &held.files).any(|open| open.id == id)
    }

    /// Takes note of which processes there are. Returns those that are new, and those that are gone.
    pub(super) fn update(&mut self, pids: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let gone: Vec<u32> = self.held.keys().filter(|pid| !pids.contains(pid)).copied().collect();
        let new: Vec<u32> = pids.iter().filter(|pid| !self.held.contains_key(pid)).copied().collect();
        for pid in &gone {
            self.held.remove(pid);
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
        let Self { held, due, .. } = self;
        for (pid, held) in held {
            // nginx opens all of its logs again or none; stderr, the first, may be none of them.
            let ends = held.files.first().into_iter().chain(held.files.last());
            if ends.into_iter().any(|open| !find::is_still(*pid, open)) && !due.contains(pid) {
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

    /// Looks through the descriptors of processes where that is due; of all of them if `all`.
    pub(super) fn scan(&mut self, all: bool, found: &mut dyn FnMut(u32, &Open)) {
        let begun = Instant::now();
        while let Some(pid) = self.due.pop_front() {
            let Some(held) = self.held.get_mut(&pid) else { continue };
            let one = Instant::now();
            match find::scan(pid) {
                Ok(Scan { files, elsewhere }) => {
                    *held = Held { files, elsewhere, known: true, refused: None };
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
    }
}

/// How long to wait after something that took so long.
fn part(took: Duration) -> Nanos {
    Nanos::try_from((took * PART).as_nanos()).unwrap_or(LATEST)
}
