//! Failures over time as bars, stacked by cause.

use std::collections::BTreeMap;

use super::colours::Colours;
use super::problem::link;
use crate::output::number::{self, count, plural};
use crate::report::model::{Micros, ReportModel, SECOND};
use crate::report::phrases::Times;

/// Bars that fit a narrow screen.
const MOST: i64 = 90;
/// Spans of time that people think in, milliseconds.
const NICE: [i64; 18] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000, 3_600_000, 21_600_000, 86_400_000,
];
/// Units of the picture.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 200.0;
/// Rows of the table that says the same in numbers.
const ROWS: usize = 400;

/// The chart.
pub(super) struct Bars {
    pub(super) parts: Vec<Bar>,
    pub(super) top: String,
    pub(super) half: String,
    pub(super) begin: String,
    pub(super) middle: String,
    pub(super) end: String,
    pub(super) span: String,
    pub(super) label: String,
    pub(super) legend: Vec<Legend>,
    pub(super) rows: Vec<(String, &'static str, String)>,
}

/// A part of a bar.
pub(super) struct Bar {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) colour: usize,
    pub(super) title: String,
}

/// What a colour stands for.
pub(super) struct Legend {
    pub(super) colour: usize,
    pub(super) cause: &'static str,
    pub(super) count: String,
    pub(super) link: String,
}

impl Bars {
    /// `None` if nothing failed.
    pub(super) fn of(model: &ReportModel, times: Times, colours: &Colours) -> Option<Self> {
        let (first, last) = (model.begin(), model.end());
        let span = nice(last - first, model.timeline.width);
        let timeline = model.timeline.in_spans_of(span);
        let mut bars = BTreeMap::<i64, Vec<(&'static str, u64)>>::new();
        for ((at, cause), count) in &timeline.counts {
            bars.entry(*at).or_default().push((cause, *count));
        }
        let begin = first.div_euclid(timeline.width).min(*bars.keys().next()?);
        let end = last.div_euclid(timeline.width).max(*bars.keys().next_back()?);
        let highest = bars.values().map(|bar| total(bar)).max()?;
        let top = round_up(highest);
        let time = |bar: i64| times.short(bar * timeline.width);
        let step = WIDTH / (end - begin + 1) as f64;
        let mut parts = Vec::new();
        for (at, bar) in &mut bars {
            bar.sort_by_key(|(cause, _)| (colours.place(cause), *cause));
            stack(&mut parts, bar, (*at - begin) as f64 * step, step, top, &time(*at), colours);
        }
        let rows =
            bars.iter().flat_map(|(at, bar)| bar.iter().map(|part| (time(*at), part.0, count(part.1))));
        let each = length(timeline.width);
        let all: u64 = bars.values().map(|bar| total(bar)).sum();
        Some(Self {
            label: format!(
                "Bar chart: {} from {} to {} UTC, at most {} in {each}.",
                plural(all, "failed attempt"),
                time(begin),
                times.short((end + 1) * timeline.width),
                count(highest)
            ),
            parts,
            half: if top.is_multiple_of(2) { count(top / 2) } else { String::new() },
            top: count(top),
            begin: time(begin),
            middle: time(begin + (end - begin + 1) / 2),
            end: times.short((end + 1) * timeline.width),
            span: each,
            legend: legend(colours),
            rows: rows.take(ROWS).collect(),
        })
    }
}

fn total(bar: &[(&'static str, u64)]) -> u64 {
    bar.iter().map(|(_, count)| count).sum()
}

/// Draws one bar, from the bottom up.
fn stack(
    parts: &mut Vec<Bar>,
    bar: &[(&'static str, u64)],
    x: f64,
    step: f64,
    top: u64,
    time: &str,
    colours: &Colours,
) {
    let mut below = 0;
    for (cause, count) in bar {
        below += count;
        let height = *count as f64 / top as f64 * HEIGHT;
        parts.push(Bar {
            x: tenth(x),
            y: tenth(HEIGHT - below as f64 / top as f64 * HEIGHT),
            width: tenth((step * 0.85).max(1.0)),
            // What is there is seen.
            height: tenth(height.max(1.0)),
            colour: colours.place(cause),
            title: format!("{time} UTC: {} {cause}", number::count(*count)),
        });
    }
}

/// Enough for a picture, and short.
pub(super) fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn legend(colours: &Colours) -> Vec<Legend> {
    let entry = |(cause, failures): &(&'static str, u64)| Legend {
        colour: colours.place(cause),
        cause,
        count: count(*failures),
        link: link(cause, ""),
    };
    colours.causes.iter().map(entry).collect()
}

/// Length of the time of a bar: a multiple of what is known.
fn nice(duration: Micros, width: Micros) -> Micros {
    let fits = |span: &Micros| *span >= width && span % width == 0 && duration / span < MOST;
    let days = (duration / MOST / (86_400 * SECOND) + 1) * 86_400 * SECOND;
    NICE.iter().map(|ms| ms * 1_000).find(fits).unwrap_or(days.max(width))
}

/// `1 s`, `100 ms`, `5 min`.
pub(super) fn length(span: Micros) -> String {
    match span / 1_000 {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..60_000 => format!("{} s", ms / 1_000),
        ms @ 60_000..3_600_000 => format!("{} min", ms / 60_000),
        ms => format!("{} h", ms / 3_600_000),
    }
}

/// 1, 2, 5, 10, 20, 50 ...
fn round_up(number: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for factor in [1, 2, 4, 5] {
            let round = unit.saturating_mul(factor);
            if round >= number || round == u64::MAX {
                return round;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_people_think_in() {
        assert_eq!(nice(3 * SECOND, 100_000), 100_000);
        assert_eq!(nice(60 * SECOND, 100_000), SECOND);
        assert_eq!(nice(3_600 * SECOND, 100_000), 60 * SECOND);
        assert_eq!(nice(365 * 86_400 * SECOND, 10 * SECOND) % (86_400 * SECOND), 0);
    }

    #[test]
    fn the_top_is_round() {
        for (number, top) in
            [(1, 1), (3, 4), (7, 10), (37, 40), (41, 50), (1_234, 2_000), (u64::MAX, u64::MAX)]
        {
            assert_eq!(round_up(number), top);
        }
    }
}
