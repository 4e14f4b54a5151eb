//! One record that several `error_log` lines write to several files is told once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;

use upstream_trace_core::event::Nanos;

use super::file::FileId;

/// How long a line is remembered, at least.
const WINDOW: Nanos = 2_000_000_000;

/// Entries of one generation; a storm shortens the memory instead of filling it.
const MOST: usize = 32_768;

/// How often each line came, in all and from each file. The same line twice in one file is two records.
#[derive(Debug, Default)]
pub(super) struct Same {
    hasher: RandomState,
    young: HashMap<u64, u32>,
    old: HashMap<u64, u32>,
    turned: Nanos,
}

impl Same {
    /// The line from this file is one that no other file had.
    pub(super) fn is_new(&mut self, line: &[u8], file: FileId, now: Nanos) -> bool {
        if now.saturating_sub(self.turned) > WINDOW || self.young.len() >= MOST {
            self.old = mem::take(&mut self.young);
            self.turned = now;
        }
        let here = self.count(self.hasher.hash_one((file, line)), 0);
        let given = self.hasher.hash_one(line);
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
        let mut same = Same::default();
        assert!(same.is_new(b"line", a, 1));
        assert!(!same.is_new(b"line", b, 2));
        assert!(same.is_new(b"other", b, 3));
    }

    #[test]
    fn a_line_twice_in_one_file_is_two() {
        let (a, b) = two();
        let mut same = Same::default();
        let told: Vec<_> = [a, a, b, b, b, a, b].map(|file| same.is_new(b"line", file, 1)).to_vec();
        assert_eq!(told, [true, true, false, false, true, false, true]);
    }

    #[test]
    fn memory_ends() {
        let (a, b) = two();
        let mut same = Same::default();
        assert!(same.is_new(b"line", a, 0));
        assert!(!same.is_new(b"line", b, WINDOW));
        assert!(same.is_new(b"x", a, 2 * WINDOW + 2) && same.is_new(b"x", a, 4 * WINDOW));
        assert!(same.is_new(b"line", b, 4 * WINDOW + 1));
        for number in 0..200_000u32 {
            same.is_new(&number.to_le_bytes(), a, 5 * WINDOW);
        }
        assert!(same.young.len() + same.old.len() <= 2 * MOST + 4);
    }
}
