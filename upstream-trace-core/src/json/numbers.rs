//! Numbers of attempts, for readers.

use std::collections::{HashMap, VecDeque};

use crate::event::AttemptId;

/// Attempts remembered; one that is told of again so long after gets a new number.
const KEPT: usize = 65_536;

/// Numbers attempts in the order in which they are told of, from 1.
///
/// The ids inside have all of their 64 bits in use (the time since the start of the host, and the CPU), and what reads
/// JSON mostly keeps numbers as floating point: jq and JavaScript round whole numbers above 2^53.
#[derive(Debug, Default)]
pub struct Numbers {
    known: HashMap<AttemptId, u64>,
    in_order: VecDeque<AttemptId>,
    last: u64,
}

impl Numbers {
    /// The number of an attempt: always the same one.
    pub fn of(&mut self, id: AttemptId) -> u64 {
        if let Some(number) = self.known.get(&id) {
            return *number;
        }
        self.last += 1;
        self.known.insert(id, self.last);
        self.in_order.push_back(id);
        if self.in_order.len() > KEPT {
            self.in_order.pop_front().and_then(|oldest| self.known.remove(&oldest));
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_attempt_has_the_same_number() {
        let mut numbers = Numbers::default();
        assert_eq!(
            [1 << 63, 7, 1 << 63, u64::MAX, 7].map(|id| numbers.of(AttemptId::from_kernel(id))),
            [1, 2, 1, 3, 2]
        );
    }

    #[test]
    fn they_are_bounded() {
        let mut numbers = Numbers::default();
        for id in 0..2 * KEPT as u64 {
            assert_eq!(numbers.of(AttemptId::from_kernel(id)), id + 1);
        }
        assert_eq!((numbers.known.len(), numbers.in_order.len()), (KEPT, KEPT));
        assert_eq!(numbers.of(AttemptId::from_kernel(2 * KEPT as u64 - 1)), 2 * KEPT as u64);
    }
}
