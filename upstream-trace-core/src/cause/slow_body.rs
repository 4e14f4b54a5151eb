//! The answer began and stalled.

use super::{Cause, Finding};
use crate::case::{Case, MS};

pub(super) const CAUSE: Cause = Cause {
    id: "slow-body",
    reason: Some(5),
    title: "the answer began and then stalled",
    means: "The origin sent part of its answer and then nothing until nginx's read timeout ran out. nginx cut the \
            client off: it has a status and a truncated body.",
    told_apart: "nginx had read everything that arrived, closed first after a silence, and cut the client off. An \
                 ordinary end follows straight on the last bytes; a client that reads too slowly leaves unread bytes \
                 on the connection.",
    fix: "Look in the application for what stops in the middle of an answer (streaming, a slow query). \
          `proxy_read_timeout` counts between two reads: raise it only if such pauses are meant to be.",
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let attempt = &case.attempt;
    if !attempt.client_cut || attempt.bytes_received == 0 || !case.stalled() || case.reset_at().is_some() {
        return None;
    }
    let last = attempt.last_recv.or(attempt.answer)?;
    Some(Finding::likely(format!(
        "{} sent {} bytes of its answer and then nothing for {} ms; nginx cut the client off.",
        case.target(),
        attempt.bytes_received,
        attempt.seen.saturating_sub(last) / MS
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Calm;
    use crate::event::Attempt;
    use crate::testkit::{BEGUN, expect, unanswered_request};
    use crate::verdict::Confidence;

    fn stalled() -> Attempt {
        let mut attempt = unanswered_request();
        (attempt.outstanding, attempt.bytes_received, attempt.client_cut) = (false, 900, true);
        attempt.answer = Some(BEGUN + 5 * MS);
        attempt.last_recv = Some(BEGUN + 9 * MS);
        attempt
    }

    #[test]
    fn silence_in_the_middle_of_an_answer() {
        let attempt = stalled();
        let case = Case::of_attempt(&attempt);
        assert_eq!((case.calm(), case.status()), (None, None));
        expect(&case, "slow-body", Confidence::Likely);
    }

    #[test]
    fn an_ordinary_end_is_no_failure() {
        let mut attempt = stalled();
        attempt.last_recv = Some(attempt.seen - MS);
        assert_eq!(Case::of_attempt(&attempt).calm(), Some(Calm::Answered));
    }
}
