//! Names that stand for texts.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// Texts of a kind that get a name of their own; the others share one.
pub(super) const KNOWN: usize = 65_536;

/// The beginning of a hash: it stands for a text of any length, so that a hostile recording cannot fill the memory.
type Key = [u8; 16];

/// Gives out numbers.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Key, usize>,
}

impl Names {
    /// The number of a text; numbers count from 1, and 0 is that of all beyond what is kept.
    pub(super) fn number(&mut self, text: &str) -> usize {
        let key = key(text);
        let next = self.numbers.len() + 1;
        if next > KNOWN {
            self.numbers.get(&key).copied().unwrap_or(0)
        } else {
            *self.numbers.entry(key).or_insert(next)
        }
    }

    /// The number of a text that has one.
    pub(super) fn known(&self, text: &str) -> Option<usize> {
        self.numbers.get(&key(text)).copied()
    }
}

fn key(text: &str) -> Key {
    let mut key = Key::default();
    key.iter_mut().zip(Sha256::digest(text)).for_each(|(to, from)| *to = from);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_what_is_kept_names_are_shared() {
        let mut names = Names::default();
        for n in 0..=KNOWN {
            names.number(&n.to_string());
        }
        assert_eq!((names.number("0"), names.number(&KNOWN.to_string())), (1, 0));
        assert_eq!((names.numbers.len(), names.known("1"), names.known("none")), (KNOWN, Some(2), None));
    }
}
