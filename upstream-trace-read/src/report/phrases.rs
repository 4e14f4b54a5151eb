//! How reports put things into words.

use jiff::Timestamp;
use upstream_trace_core::cause;
use upstream_trace_core::event::Nanos;

use super::model::{Micros, Problem, ReportModel, SECOND};
use crate::output::number::{self, count, plural};

/// A longer story needs the day with the time.
const DAY: Micros = 24 * 3_600 * SECOND;

/// Tells times of one story.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    begin: Micros,
    end: Micros,
}

impl Times {
    pub(super) fn of(model: &ReportModel) -> Self {
        Self { begin: model.begin(), end: model.end() }
    }

    /// `09:12:01`, with the day if that may be in doubt.
    pub(super) fn short(self, at: Micros) -> String {
        let format = if self.end - self.begin < DAY { "%H:%M:%S" } else { "%m-%d %H:%M:%S" };
        timestamp(at).strftime(format).to_string()
    }

    /// `2026-11-20 09:12:01 to 09:13:01 UTC (60 s)`.
    pub(super) fn span(self) -> String {
        let begin = timestamp(self.begin).strftime("%Y-%m-%d %H:%M:%S");
        let length = number::duration(nanos(self.end - self.begin));
        format!("{begin} to {} UTC ({length})", self.short(self.end))
    }

    /// `since the start of the recording, still at the end`.
    pub(super) fn when(self, problem: &Problem) -> String {
        let near = (2 * SECOND).max((self.end - self.begin) / 20);
        let once = problem.count + problem.pending == 1 && problem.first == problem.last;
        if once {
            return format!("at {} UTC", self.short(problem.first));
        }
        let first = if problem.first <= self.begin + near.min(2 * SECOND) {
            "since the start of the recording".to_owned()
        } else {
            let after = number::duration(nanos(problem.first - self.begin));
            format!("since {} UTC, {after} into the recording", self.short(problem.first))
        };
        if problem.last >= self.end - near {
            format!("{first}, still at the end")
        } else {
            format!("{first}; last at {}", self.short(problem.last))
        }
    }
}

/// Microseconds as a positive time.
fn nanos(time: Micros) -> Nanos {
    Nanos::try_from(time).unwrap_or(0).saturating_mul(1_000)
}

/// Its day and time; the first of all days for one beyond the calendar.
pub(super) fn timestamp(at: Micros) -> Timestamp {
    Timestamp::from_microsecond(at).unwrap_or_default()
}

/// `38 of 1,234 attempts to reach an upstream failed`.
pub(super) fn headline(model: &ReportModel) -> String {
    let (attempts, failures) = (model.sum(|part| part.attempts), model.sum(|part| part.failures));
    let pending = model.pending();
    match failures {
        0 if pending > 0 => format!("{} to reach an upstream pending", plural(pending, "attempt")),
        0 => "No attempt to reach an upstream failed".to_owned(),
        // Failures of which only nginx told are among no connections that were counted.
        _ if attempts >= failures => {
            format!("{} of {} to reach an upstream failed", count(failures), plural(attempts, "attempt"))
        }
        _ => format!("{} to reach an upstream", plural(failures, "failed attempt")),
    }
}

/// What most of it was, in general words.
pub(super) fn lead(model: &ReportModel) -> String {
    let Some(first) = model.problems.first() else { return String::new() };
    let title = cause::find(first.cause).map_or("", |cause| cause.title);
    let most = if model.problems.len() == 1 { "" } else { "Mostly " };
    let others = match model.problems.len() {
        0 | 1 => String::new(),
        all => format!(" {} of failure in all.", plural(all as u64, "kind")),
    };
    format!("{most}{} at {}: {title}.{others}", first.cause, first.upstream)
}

/// What else belongs to the headline: recovered, pending, lost.
pub(super) fn circumstances(model: &ReportModel) -> Vec<String> {
    let mut all = Vec::new();
    let recovered = model.sum(|part| part.recovered);
    if recovered > 0 {
        all.push(format!(
            "{} recovered: nginx retried with success, the client saw no error",
            count(recovered)
        ));
    }
    let (pending, failures) = (model.pending(), model.sum(|part| part.failures));
    if pending > 0 && failures > 0 {
        all.push(format!("{} more pending at the end", count(pending)));
    } else if pending > 0 {
        all.push("they were still open when the recording ended".to_owned());
    }
    let lost = model.sum(|part| part.lost);
    if lost > 0 {
        all.push(format!("{} lost: the numbers may be too low", plural(lost, "event")));
    }
    all
}

/// `37 times`, `12 times and 3 pending`.
pub(super) fn how_often(problem: &Problem) -> String {
    let times =
        |count: u64| if count == 1 { "once".to_owned() } else { format!("{} times", number::count(count)) };
    let mut text = match (problem.count, problem.pending) {
        (0, pending) => format!("{} pending at the end", plural(pending, "attempt")),
        (failed, 0) => times(failed),
        (failed, pending) => format!("{} and {} pending", times(failed), count(pending)),
    };
    match problem.recovered {
        0 => {}
        recovered if recovered == problem.count => text.push_str(", all recovered by a retry"),
        recovered => text.extend([", ", &count(recovered), " of them recovered by a retry"]),
    }
    text
}

/// A text in parts, and which of them are commands in backquotes.
pub(super) fn parts(text: &str) -> Vec<(bool, &str)> {
    let whole: Vec<_> = text.split('`').collect();
    // An open one is an ordinary character.
    let closed = whole.len() | 1;
    if closed != whole.len() {
        return vec![(false, text)];
    }
    let parts = whole.into_iter().enumerate().map(|(index, part)| (index % 2 == 1, part));
    parts.filter(|(_, part)| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{story_of, two_hosts};
    use super::*;

    #[test]
    fn commands_in_a_text() {
        assert_eq!(
            parts("On a: `ss -l`. Start it."),
            [(false, "On a: "), (true, "ss -l"), (false, ". Start it.")]
        );
        assert_eq!(parts("an open ` stays"), [(false, "an open ` stays")]);
        assert_eq!(parts(""), []);
    }

    #[test]
    fn since_when_and_until_when() {
        let model = story_of(&two_hosts());
        let times = Times { begin: 0, end: 60 * SECOND };
        let mut problem = model.problems[0].clone();
        (problem.count, problem.pending) = (7, 0);
        let mut when = |first, last| {
            (problem.first, problem.last) = (first * SECOND, last * SECOND);
            times.when(&problem)
        };
        assert_eq!(when(1, 59), "since the start of the recording, still at the end");
        assert_eq!(when(12, 30), "since 00:00:12 UTC, 12 s into the recording; last at 00:00:30");
        problem.count = 1;
        (problem.first, problem.last) = (12 * SECOND, 12 * SECOND);
        assert_eq!(times.when(&problem), "at 00:00:12 UTC");
    }

    #[test]
    fn the_headline_counts() {
        let model = story_of(&two_hosts());
        assert_eq!(headline(&model), "3 of 3 attempts to reach an upstream failed");
    }
}
