//! A turn of all sources: when what happened before it is known, and may be judged.

use std::time::{Duration, Instant};

use upstream_trace_core::event::Nanos;

/// What was asked for because of a failure is waited for so long before that is judged.
const PATIENCE: Duration = Duration::from_millis(100);

/// Questions that are open or answered, of each worker.
pub(super) type Counts = [u64; 2];

/// A turn that was begun.
#[derive(Debug)]
pub(super) struct Turn {
    /// What happened before this time is known at its end.
    pub(super) known: Nanos,
    /// Once all lines were read: what was asked for until then, and since when that is waited for.
    asked: Option<(Counts, Instant)>,
}

/// What a turn waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Lines that were written before it began.
    Lines,
    /// Answers to what was asked for because of a failure.
    Answers,
    /// Nothing any more.
    Nothing,
}

impl Turn {
    pub(super) fn begin(known: Nanos) -> Self {
        Self { known, asked: None }
    }

    /// All lines were read, and then all messages; so many questions were asked until now.
    pub(super) fn lines_are_read(&mut self, asked: Counts) {
        self.asked = Some((asked, Instant::now()));
    }

    /// What it waits for; so many questions are answered by now.
    pub(super) fn waits(&self, answered: Counts) -> Waits {
        match &self.asked {
            None => Waits::Lines,
            Some((asked, since)) => {
                let all = asked.iter().zip(&answered).all(|(asked, answered)| answered >= asked);
                if all || since.elapsed() >= PATIENCE { Waits::Nothing } else { Waits::Answers }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_first_then_answers_to_what_was_asked_until_then() {
        let mut turn = Turn::begin(5);
        assert_eq!(turn.waits([0, 0]), Waits::Lines);
        turn.lines_are_read([3, 1]);
        assert_eq!(turn.waits([2, 1]), Waits::Answers);
        assert_eq!(turn.waits([3, 1]), Waits::Nothing);
        assert_eq!(turn.waits([9, 9]), Waits::Nothing);
    }

    #[test]
    fn answers_that_do_not_come_are_not_waited_for() {
        let mut turn = Turn::begin(5);
        turn.lines_are_read([1, 0]);
        while turn.waits([0, 0]) == Waits::Answers {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(turn.waits([0, 0]), Waits::Nothing);
    }
}
