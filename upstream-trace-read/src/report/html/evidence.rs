//! What was seen of an attempt, as a small timeline.

use upstream_trace_core::evidence::{Kind, Look};
use upstream_trace_core::verdict::Evidence;

use super::bars::tenth;
use crate::output::block::details;
use crate::output::escape;

/// The class of what speaks neither for a failure nor against one.
const PLAIN: &str = "plain";

/// One thing that was seen.
pub(super) struct Moment {
    pub(super) at: String,
    pub(super) what: String,
    pub(super) words: &'static str,
    pub(super) look: &'static str,
    pub(super) details: String,
}

/// All of it on one line, to scale.
pub(super) struct Strip {
    pub(super) marks: Vec<(f64, &'static str)>,
    pub(super) label: String,
}

/// Words and look of a kind; one of a later version stands for itself.
fn words(what: &str) -> (&'static str, &'static str) {
    Kind::find(what).map_or(("", PLAIN), |kind| (kind.words(), class(kind.look())))
}

/// The CSS class.
fn class(look: Look) -> &'static str {
    match look {
        Look::Bad => "bad",
        Look::Good => "good",
        Look::Plain => PLAIN,
    }
}

/// In order of time.
pub(super) fn moments(evidence: &[Evidence]) -> Vec<Moment> {
    let moment = |seen: &Evidence| {
        let (words, look) = words(&seen.what);
        Moment {
            at: time(seen.at_ms),
            what: escape(&seen.what).into_owned(),
            words,
            look,
            details: details(&seen.details).replace("  ", " · ").replace('\u{a0}', " "),
        }
    };
    evidence.iter().map(moment).collect()
}

/// Marks at thousandths of the width.
pub(super) fn strip(evidence: &[Evidence]) -> Strip {
    let times = || evidence.iter().map(|seen| seen.at_ms);
    let (first, last) = (times().fold(0.0, f64::min), times().fold(0.0, f64::max));
    let range = if last > first { last - first } else { 1.0 };
    let mark = |seen: &Evidence| (tenth((seen.at_ms - first) / range * 980.0 + 10.0), words(&seen.what).1);
    Strip {
        marks: evidence.iter().map(mark).collect(),
        label: format!("{} moments from {} to {}", evidence.len(), time(first), time(last)),
    }
}

/// `+0.05 ms`, `+1.01 s`, `-12 s`.
fn time(ms: f64) -> String {
    let sign = if ms < 0.0 { '-' } else { '+' };
    let ms = ms.abs();
    if ms < 10.0 {
        format!("{sign}{ms:.2} ms")
    } else if ms < 1_000.0 {
        format!("{sign}{ms:.0} ms")
    } else {
        format!("{sign}{:.2} s", ms / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    fn seen(at_ms: f64, what: &str) -> Evidence {
        Evidence {
            at_ms,
            what: what.into(),
            details: Map::from_iter([("errno".to_owned(), Value::from(111))]),
        }
    }

    #[test]
    fn known_and_unknown_kinds() {
        let all = moments(&[seen(0.0, "syn-sent"), seen(1_013.5, "of-the-future")]);
        assert_eq!((all[0].words, all[0].look), ("nginx asked for a connection (SYN)", PLAIN));
        assert_eq!(
            (all[1].words, all[1].what.as_str(), all[1].at.as_str()),
            ("", "of-the-future", "+1.01 s")
        );
        assert_eq!(all[0].details, "errno 111 ECONNREFUSED");
    }

    #[test]
    fn marks_are_to_scale() {
        let strip = strip(&[seen(-10.0, "request"), seen(0.0, "fin"), seen(10.0, "reset")]);
        let places: Vec<_> = strip.marks.iter().map(|mark| mark.0).collect();
        assert_eq!(places, [10.0, 500.0, 990.0]);
        assert!(super::strip(&[]).marks.is_empty());
    }
}
