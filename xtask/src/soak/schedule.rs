//! What is disturbed, and when: the same in each quarter of the run, so that the quarters can be compared.

use std::iter;
use std::time::Duration;

use crate::sandbox::Receives;

/// A round has every disturbance once, and takes about so long.
const ROUND: Duration = Duration::from_mins(10);
/// Every so many rounds what is logged is rotated by copying.
const COPIED: usize = 3;
/// Rounds are a multiple of this: one for each quarter, and one for each thing that can be wrong with the receiver.
const QUARTERS: u32 = Receives::ILL.len() as u32;

/// What goes away and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All origins of another host.
    FarOrigins,
    /// The origin beside nginx.
    NearOrigin,
    NameServer,
    Scraper,
    /// The receiver of events; it is this instead.
    Receiver(Receives),
}

/// A disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Away(Part),
    Back(Part),
    /// error.log is renamed and opened again, or copied and cut.
    Rotate {
        copied: bool,
    },
}

/// A disturbance, and when it is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// Since the traffic began.
    pub(super) at: Duration,
    pub(super) step: Step,
}

/// All of a run, in order of time. Whatever went away is back when the run ends.
pub(super) fn plan(total: Duration) -> Vec<Due> {
    let fit = (total.as_secs() / ROUND.as_secs()) as u32;
    let rounds = (fit / QUARTERS * QUARTERS).max(QUARTERS);
    let round = total / rounds;
    let mut plan: Vec<_> =
        (0..rounds).flat_map(|number| disturb(number as usize, round * number, round)).collect();
    plan.sort_by_key(|due| due.at);
    plan
}

/// The disturbances of a round; some overlap.
fn disturb(number: usize, begin: Duration, round: Duration) -> impl Iterator<Item = Due> {
    let receiver = Part::Receiver(Receives::ILL[number % Receives::ILL.len()]);
    let at = move |percent: u32, step| Due { at: begin + round * percent / 100, step };
    // From when to when, in percent of the round.
    let parts = [
        (Part::FarOrigins, 10, 18),
        (receiver, 20, 55),
        (Part::NameServer, 25, 38),
        (Part::Scraper, 45, 65),
        (Part::NearOrigin, 70, 76),
    ];
    let both = move |(part, from, to)| [at(from, Step::Away(part)), at(to, Step::Back(part))];
    let copied = number % COPIED == COPIED - 1;
    iter::once(at(3, Step::Rotate { copied })).chain(parts.into_iter().flat_map(both))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_alike() {
        for minutes in [4, 60, 180, 1440] {
            let total = Duration::from_mins(minutes);
            let plan = plan(total);
            assert!(plan.is_sorted_by_key(|due| due.at) && plan.iter().all(|due| due.at < total));
            let steps = |quarter: u32| {
                let within = total / 4 * quarter..total / 4 * (quarter + 1);
                let wanted = |due: &&Due| within.contains(&due.at) && matches!(due.step, Step::Away(_));
                plan.iter().filter(wanted).count()
            };
            assert!(steps(0) >= 5 && (1..4).all(|quarter| steps(quarter) == steps(0)), "{minutes}");
        }
    }

    #[test]
    fn all_that_goes_comes_back() {
        let mut away = Vec::new();
        for due in plan(Duration::from_hours(3)) {
            match due.step {
                Step::Away(part) => away.push(part),
                Step::Back(part) => {
                    let before = away.len();
                    away.retain(|gone| *gone != part);
                    assert_eq!(away.len() + 1, before, "{part:?} was not away");
                }
                Step::Rotate { .. } => {}
            }
        }
        assert!(away.is_empty(), "{away:?}");
    }

    #[test]
    fn every_kind_of_trouble() {
        let plan = plan(Duration::from_mins(4));
        for receives in Receives::ILL {
            assert!(plan.iter().any(|due| due.step == Step::Away(Part::Receiver(receives))), "{receives:?}");
        }
        for copied in [true, false] {
            assert!(plan.iter().any(|due| due.step == Step::Rotate { copied }));
        }
    }
}
