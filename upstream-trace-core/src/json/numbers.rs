//! Numbers of attempts, for readers.

use std::collections::{HashMap, VecDeque};

use crate::event::AttemptId;

/// Attempts remembered after their end, for those that were tried after them. So many just fill a table of 2^15.
const KEPT: usize = (1 << 15) / 8 * 7;
/// Attempts remembered because they are pending; beyond that as if they had ended.
const PENDING: usize = 65_536;

/// Numbers attempts in the order in which they are told of, from 1.
///
/// The ids inside have all of their 64 bits in use (the time since the start of the host, and the CPU), and what reads
/// JSON mostly keeps numbers as floating point: jq and JavaScript round whole numbers above 2^53.
///
/// A pending attempt keeps its number until its end, however many are told of in between.
#[derive(Debug, Default)]
pub struct Numbers {
    pending: HashMap<AttemptId, u64>,
    known: HashMap<AttemptId, u64>,
    /// Those of `known`.
    in_order: VecDeque<AttemptId>,
    last: u64,
}

impl Numbers {
    /// The number of an attempt that is named beside another one.
    pub(super) fn of(&mut self, id: AttemptId) -> u64 {
        let known = self.pending.get(&id).or_else(|| self.known.get(&id));
        known.copied().unwrap_or_else(|| {
            self.last += 1;
            self.keep(id, self.last)
        })
    }

    /// The number of an attempt that is pending.
    pub(super) fn of_pending(&mut self, id: AttemptId) -> u64 {
        let number = self.of(id);
        if self.pending.len() < PENDING {
            self.pending.insert(id, number);
        }
        number
    }

    /// The number of an attempt that is over.
    pub(super) fn of_ended(&mut self, id: AttemptId) -> u64 {
        match self.pending.remove(&id) {
            Some(number) => self.keep(id, number),
            None => self.of(id),
        }
    }

    fn keep(&mut self, id: AttemptId, number: u64) -> u64 {
        if self.known.insert(id, number).is_none() {
            self.in_order.push_back(id);
        }
        if self.in_order.len() > KEPT {
            self.in_order.pop_front().and_then(|oldest| self.known.remove(&oldest));
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u64) -> AttemptId {
        AttemptId::from_kernel(id)
    }

    #[test]
    fn the_same_attempt_has_the_same_number() {
        let mut numbers = Numbers::default();
        assert_eq!([1 << 63, 7, 1 << 63, u64::MAX, 7].map(|one| numbers.of(id(one))), [1, 2, 1, 3, 2]);
        assert_eq!((numbers.of_pending(id(8)), numbers.of(id(8)), numbers.of_ended(id(8))), (4, 4, 4));
        assert_eq!((numbers.of(id(8)), numbers.of_ended(id(8))), (4, 4));
    }

    #[test]
    fn they_are_bounded_and_a_pending_one_is_kept() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.of_pending(id(0)), 1);
        let many = 2 * KEPT as u64;
        for one in 1..many {
            assert_eq!(numbers.of_ended(id(one)), one + 1);
        }
        assert_eq!((numbers.known.len(), numbers.in_order.len()), (KEPT, KEPT));
        assert_eq!((numbers.of(id(many - 1)), numbers.of_ended(id(0))), (many, 1));
        for one in 0..=PENDING as u64 {
            numbers.of_pending(id(one));
        }
        assert_eq!((numbers.pending.len(), numbers.known.len()), (PENDING, KEPT));
        for one in 0..=PENDING as u64 {
            numbers.of_ended(id(one));
        }
        assert_eq!((numbers.pending.len(), numbers.known.len()), (0, KEPT));
    }
}
