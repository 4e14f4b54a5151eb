//! States of an entry of the neighbour table (ARP, NDP): `NUD_*` of `linux/neighbour.h`.

use std::borrow::Cow;

/// What a state says of the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourState {
    /// It was asked for its link-layer address and has not answered.
    Silent,
    /// It has answered within half a minute, or took packets since.
    Answers,
    /// Packets go to the address that it last had; whether it is still there is not known yet.
    Unsure,
    /// Nobody asks it: the link has no addresses, or the address is set by hand.
    NotAsked,
}

/// All of them: the bit, its name in recordings and in all output, what it says.
const STATES: &[(u16, &str, NeighbourState)] = &[
    (0x00, "none", NeighbourState::Unsure),
    (0x01, "incomplete", NeighbourState::Silent),
    (0x02, "reachable", NeighbourState::Answers),
    (0x04, "stale", NeighbourState::Unsure),
    // The first packet after a pause has just been sent there.
    (0x08, "delay", NeighbourState::Unsure),
    (0x10, "probe", NeighbourState::Unsure),
    (0x20, "failed", NeighbourState::Silent),
    (0x40, "noarp", NeighbourState::NotAsked),
    (0x80, "permanent", NeighbourState::NotAsked),
];

/// The name of a state; its number if it is in no list.
#[must_use]
pub fn neighbour_name(bits: u16) -> Cow<'static, str> {
    let found = STATES.iter().find(|(known, ..)| *known == bits);
    found.map_or_else(|| format!("{bits:#x}").into(), |(_, name, _)| (*name).into())
}

/// What a name says; `None` if it is in no list.
#[must_use]
pub fn neighbour_state(name: &str) -> Option<NeighbourState> {
    STATES.iter().find(|(_, known, _)| *known == name).map(|(.., state)| *state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::event::{Fact, Neighbour, SECOND, Step};
    use crate::testkit::{BEGUN, enrichment, moment, remote, unanswered_syn, verdict};

    #[test]
    fn every_state_has_a_name_and_a_meaning_and_others_are_told_by_their_number() {
        let bits = std::iter::once(0).chain((0..8).map(|bit| 1 << bit));
        for state in bits {
            assert!(neighbour_state(&neighbour_name(state)).is_some(), "{state:#x}");
        }
        for state in (8..16).map(|bit| 1 << bit).chain([3]) {
            assert_eq!(neighbour_name(state), format!("{state:#x}"));
            assert_eq!(neighbour_state(&neighbour_name(state)), None);
        }
    }

    #[test]
    fn only_one_that_is_silent_is_why_nothing_leaves() {
        let mut attempt = unanswered_syn();
        attempt.seen = BEGUN + 2 * SECOND;
        attempt.retransmits_failed = 1;
        attempt.trail.push(moment(1_000, Step::Retransmit { errno: -crate::errno::EBUSY }));
        attempt.trail.push(moment(1_500, Step::Error { errno: crate::errno::EHOSTUNREACH }));
        for (_, name, state) in STATES {
            let (address, state_name) = (remote().ip(), (*name).to_owned());
            let found =
                enrichment(vec![Fact::Neighbour(Neighbour { address, state: state_name, interface: None })]);
            let mut case = Case::of_attempt(&attempt);
            case.enrichment = Some(&found);
            let (id, confidence, _) = verdict(&case);
            let proven = id == "neighbour-unreachable" && confidence == crate::verdict::Confidence::Proven;
            assert_eq!(proven, *state == NeighbourState::Silent, "{name}: {id} {confidence:?}");
            assert_eq!(case.host_alive(), *state == NeighbourState::Answers, "{name}");
        }
    }
}
