//! One record that several `error_log` lines write to several files is reported once. Two workers may write the same words,
//! in containers most of all, where numbers of processes and connections begin anew: each worker's records are its own.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;

use upstream_trace_core::event::Nanos;

use super::file::FileId;

/// How long a line is remembered, at least.
const WINDOW: Nanos = 2_000_000_000;

/// Entries of one generation; a storm shortens the memory instead of filling it.
const MAX_ENTRIES: usize = 32_768;

/// How often each line came, in all and from each file. The same line twice in one file is two records.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    hasher: RandomState,
    young: HashMap<u64, u32>,
    old: HashMap<u64, u32>,
    turned: Nanos,
}

impl Dedup {
    /// The line of this worker, read from this file, is one that no other file had.
    pub(super) fn is_new(&mut self, worker: u32, line: &[u8], file: FileId, now: Nanos) -> bool {
        if now.saturating_sub(self.turned) > WINDOW || self.young.len() >= MAX_ENTRIES {
            self.old = mem::take(&mut self.young);
            self.turned = now;
        }
        let here = self.count(self.hasher.hash_one((worker, file, line)), 0);
        let given = self.hasher.hash_one((worker, line));
        let before = self.known(given);
        self.count(given, here) > before
    }

    fn known(&self, key: u64) -> u32 {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or(0)
    }

    /// One more than before, or at least so many.
    fn count(&mut self, key: u64, least: u32) -> u32 {
        let known = self.known(key);
        let count = if least == 0 { known.saturating_add(1) } else { known.max(least) };
        self.young.insert(key, count);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Dir;
    use super::*;
    use crate::host::regular_file;

    const WORKER: u32 = 7;

    fn two() -> (FileId, FileId) {
        let dir = Dir::new("same");
        let id = |name: &str| {
            dir.write(name, "");
            FileId::of(&regular_file(&dir.path(name)).unwrap().1)
        };
        (id("a"), id("b"))
    }

    #[test]
    fn a_line_of_two_files_is_one() {
        let (a, b) = two();
        let mut dedup = Dedup::default();
        assert!(dedup.is_new(WORKER, b"line", a, 1));
        assert!(!dedup.is_new(WORKER, b"line", b, 2));
        assert!(dedup.is_new(WORKER, b"other", b, 3));
    }

    #[test]
    fn the_same_words_of_two_workers_are_two_lines() {
        let (a, b) = two();
        let mut dedup = Dedup::default();
        assert!(dedup.is_new(WORKER, b"line", a, 1) && dedup.is_new(WORKER + 1, b"line", b, 1));
    }

    #[test]
    fn a_line_twice_in_one_file_is_two() {
        let (a, b) = two();
        let mut dedup = Dedup::default();
        let reported: Vec<_> =
            [a, a, b, b, b, a, b].map(|file| dedup.is_new(WORKER, b"line", file, 1)).to_vec();
        assert_eq!(reported, [true, true, false, false, true, false, true]);
    }

    #[test]
    fn memory_ends() {
        let (a, b) = two();
        let mut dedup = Dedup::default();
        assert!(dedup.is_new(WORKER, b"line", a, 0));
        assert!(!dedup.is_new(WORKER, b"line", b, WINDOW));
        assert!(dedup.is_new(WORKER, b"x", a, 2 * WINDOW + 2) && dedup.is_new(WORKER, b"x", a, 4 * WINDOW));
        assert!(dedup.is_new(WORKER, b"line", b, 4 * WINDOW + 1));
        for number in 0..200_000u32 {
            dedup.is_new(WORKER, &number.to_le_bytes(), a, 5 * WINDOW);
        }
        assert!(dedup.young.len() + dedup.old.len() <= 2 * MAX_ENTRIES + 4);
    }
}
