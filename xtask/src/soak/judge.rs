//! What must be so after a long run: nothing grew, nothing leaked, nothing was lost.

use std::collections::BTreeSet;

use serde_json::Value;

use super::looks::Look;

/// Memory may grow by so much from the second quarter to the last: a tenth, and what an allocator plays with.
const PLAY: u64 = 2 << 20;
/// Descriptors that are open for a moment: of a scrape, of a request to the receiver, of a file of `/proc`.
const MOMENTARY: usize = 3;
/// Where events may be lost while the receiver is not well: more failures than wait for it.
const RECEIVER: &str = "otlp";

/// One of the numbers of a look.
type Number = fn(&Look) -> usize;

/// What is wrong with the tracer's numbers, from the second quarter of the run to the last.
pub(super) fn growth(looks: &[Look], recorded_at_most: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(full) = looks.iter().find(|look| look.recorded > recorded_at_most) {
        wrong.push(format!("recordings took {} bytes of {recorded_at_most}", full.recorded));
    }
    let quarter = looks.len() / 4;
    if quarter == 0 {
        return wrong;
    }
    let (early, late) = (&looks[quarter..2 * quarter], &looks[looks.len() - quarter..]);
    let (before, after) = memory(early, late);
    if after > before + before / 10 + PLAY {
        wrong.push(format!("memory grows: {} KiB, then {} KiB", before >> 10, after >> 10));
    }
    let numbers: [(&str, Number, usize); 4] = [
        ("descriptors", |look| look.descriptors, MOMENTARY),
        ("threads", |look| look.threads, 0),
        ("maps", |look| look.maps, 0),
        ("programs", |look| look.programs, 0),
    ];
    for (name, number, play) in numbers {
        // What is attached for a time moves the highest; what is left over each time moves the lowest as well.
        let (before, after) = (range(early, number), range(late, number));
        if after.0 > before.0 + play && after.1 > before.1 + play {
            wrong.push(format!("{name} grow: {} to {}, then {} to {}", before.0, before.1, after.0, after.1));
        }
    }
    wrong
}

/// Median of what was allocated in each, bytes.
pub(super) fn memory(early: &[Look], late: &[Look]) -> (u64, u64) {
    let median = |looks: &[Look]| {
        let mut allocated: Vec<_> = looks.iter().map(|look| look.allocated).collect();
        allocated.sort_unstable();
        allocated.get(allocated.len() / 2).copied().unwrap_or_default()
    };
    (median(early), median(late))
}

fn range(looks: &[Look], number: Number) -> (usize, usize) {
    let all = || looks.iter().map(number);
    (all().min().unwrap_or_default(), all().max().unwrap_or_default())
}

/// What is wrong with the summary.
pub(super) fn summary(summary: &Value) -> Vec<String> {
    let accounts = &summary["accounts"];
    let mut wrong = Vec::new();
    if accounts["missing"] != 0 {
        wrong.push(format!("attempts are not accounted for: {accounts}"));
    }
    if accounts["live"] != 0 {
        wrong.push(format!("{} records are left though every attempt is over", accounts["live"]));
    }
    let places = &summary["lost_by_place"];
    let of_receiver = places[RECEIVER].as_u64().unwrap_or(0);
    if summary["lost"].as_u64() != Some(of_receiver) {
        wrong.push(format!("{} events were lost: {places}", summary["lost"]));
    }
    wrong
}

/// What is wrong with what was told: causes that the upstreams do not have.
pub(super) fn causes(wrong: &[Value]) -> Vec<String> {
    let of =
        |failure: &Value| format!("a wrong cause was told: {} of {}", failure["cause"], failure["upstream"]);
    wrong.iter().map(of).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What is wrong with what is left over: programs and maps in the kernel, processes.
pub(super) fn left(programs: usize, maps: usize, processes: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (count, name) in [(programs, "programs"), (maps, "maps")] {
        if count > 0 {
            wrong.push(format!("{count} {name} are left in the kernel"));
        }
    }
    if processes {
        wrong.push("a process of the tracer is left".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FULL: u64 = 1_000;

    type Change = fn(usize, &mut Look);

    fn looks(change: impl Fn(usize, &mut Look)) -> Vec<Look> {
        let sound = Look { allocated: 20 << 20, descriptors: 90, threads: 9, ..Look::default() };
        let one = |index| {
            let mut look = Look { maps: 30, programs: 40, ..sound };
            change(index, &mut look);
            look
        };
        (0..40).map(one).collect()
    }

    #[test]
    fn what_grows_is_found() {
        assert!(growth(&looks(|_, _| {}), FULL).is_empty());
        let grows: [(&str, Change); 6] = [
            ("memory", |index, look| look.allocated += (index as u64) << 20),
            ("descriptors", |index, look| look.descriptors += index / 2),
            ("threads", |index, look| look.threads += index / 10),
            ("maps", |index, look| look.maps += index / 10),
            ("programs", |index, look| look.programs += index / 10),
            ("recordings", |index, look| look.recorded = if index == 7 { FULL + 1 } else { FULL }),
        ];
        for (name, change) in grows {
            let wrong = growth(&looks(change), FULL);
            assert!(wrong.len() == 1 && wrong[0].starts_with(name), "{name}: {wrong:?}");
        }
    }

    #[test]
    fn what_comes_and_goes_does_not_grow() {
        // Depth is on for a part of the last quarter only, or for all of it and a part of the second.
        let deep: [fn(usize) -> bool; 2] = [|index| index >= 35, |index| index == 13 || index >= 30];
        for deep in deep {
            let change = |index, look: &mut Look| {
                look.programs += 12 * usize::from(deep(index));
                look.descriptors += 24 * usize::from(deep(index));
            };
            let wrong = growth(&looks(change), FULL);
            assert!(wrong.is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn leaks_and_losses_are_found() {
        let sound = json!({"lost": 0, "lost_by_place": {}, "accounts": {"missing": 0, "live": 0}});
        assert!(summary(&sound).is_empty());
        for account in ["missing", "live"] {
            let mut unsound = sound.clone();
            unsound["accounts"][account] = 1.into();
            assert_eq!(summary(&unsound).len(), 1, "{account}");
        }
        let lost = |places: Value| {
            let mut unsound = sound.clone();
            unsound["lost"] = 5.into();
            unsound["lost_by_place"] = places;
            summary(&unsound)
        };
        assert!(lost(json!({"otlp": 5})).is_empty());
        let wrong = lost(json!({"otlp": 2, "ring-buffer": 3}));
        assert!(wrong.len() == 1 && wrong[0].contains("ring-buffer"), "{wrong:?}");
    }

    #[test]
    fn wrong_causes_are_named() {
        assert!(causes(&[]).is_empty());
        let wrong = causes(&[json!({"cause": "x", "upstream": "a"}), json!({"cause": "x", "upstream": "a"})]);
        assert_eq!(wrong, ["a wrong cause was told: \"x\" of \"a\""]);
    }

    #[test]
    fn what_is_left_over_is_found() {
        assert!(left(0, 0, false).is_empty());
        assert_eq!((left(1, 0, false).len(), left(0, 1, false).len(), left(0, 0, true).len()), (1, 1, 1));
    }
}
