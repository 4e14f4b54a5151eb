//! Each upstream over time: requests, failures, time to connect and to the first byte.

use upstream_trace_core::engine::percentiles;

use super::bars::length;
use super::lines::{bars, steps};
use crate::output::number::{self, count, plural};
use crate::report::model::{Point, ReportModel, Series};
use crate::report::phrases::Times;

/// Upstreams with pictures.
const TOLD: usize = 12;
/// Slots of a picture.
const SLOTS: i64 = 120;

/// An upstream.
pub(super) struct UpstreamView {
    pub(super) name: String,
    pub(super) numbers: String,
    pub(super) rate: Rate,
    pub(super) connect: Option<Latency>,
    pub(super) first_byte: Option<Latency>,
    pub(super) begin: String,
    pub(super) end: String,
}

/// Requests or attempts, and failures.
pub(super) struct Rate {
    pub(super) what: &'static str,
    pub(super) label: String,
    pub(super) top: String,
    pub(super) all: String,
    pub(super) failed: String,
}

/// A latency.
pub(super) struct Latency {
    pub(super) label: String,
    pub(super) top: String,
    pub(super) bottom: String,
    pub(super) half: String,
    pub(super) most: String,
}

/// Those with failures first, then the busiest; and what is said of the others.
pub(super) fn all(model: &ReportModel, times: Times) -> (Vec<UpstreamView>, String) {
    let mut all: Vec<_> =
        model.traffic.series.iter().map(|(name, series)| (name, series, series.total())).collect();
    all.sort_by(|a, b| {
        let weight = |point: &Point| (point.failures, point.requests, point.attempts);
        weight(&b.2).cmp(&weight(&a.2)).then(a.0.cmp(b.0))
    });
    let untold = all.len().saturating_sub(TOLD);
    let untold = match (untold, model.traffic.more) {
        (0, _) => String::new(),
        (untold, false) => {
            format!("{} with fewer failures and requests not shown.", plural(untold as u64, "upstream"))
        }
        (untold, true) => format!("More than {} not shown.", plural(untold as u64, "upstream")),
    };
    let view = |(name, series, total): (&String, &Series, Point)| view(model, times, name, series, &total);
    (all.into_iter().take(TOLD).map(view).collect(), untold)
}

fn view(model: &ReportModel, times: Times, name: &str, series: &Series, total: &Point) -> UpstreamView {
    let width = model.traffic.width;
    let (first, last) = (model.begin().div_euclid(width), model.end().div_euclid(width));
    let per_slot = (last - first + 1).div_euclid(SLOTS) + 1;
    let slots = usize::try_from((last - first).div_euclid(per_slot) + 1).unwrap_or(1);
    let mut points = vec![Point::default(); slots.min(SLOTS as usize)];
    for (span, point) in &series.points {
        let slot = usize::try_from((span - first).div_euclid(per_slot)).unwrap_or(0).min(points.len() - 1);
        points[slot].add(point);
    }
    let slot = length(width * per_slot);
    UpstreamView {
        name: name.to_owned(),
        numbers: format!(
            "{}, {}, {} failed",
            plural(total.attempts, "connection"),
            plural(total.requests, "request"),
            count(total.failures)
        ),
        rate: rate(&points, &slot),
        connect: latency("Time to connect", &points, |point| &point.connect),
        first_byte: latency("Time to first byte", &points, |point| &point.first_byte),
        begin: times.short(model.begin()),
        end: times.short(model.end()),
    }
}

fn rate(points: &[Point], slot: &str) -> Rate {
    let requests = points.iter().any(|point| point.requests > 0);
    let pick = |point: &Point| if requests { point.requests } else { point.attempts };
    let failed: Vec<_> = points.iter().map(|point| point.failures).collect();
    let all: Vec<_> = points.iter().map(|point| pick(point).max(point.failures)).collect();
    let top = all.iter().copied().max().unwrap_or(0);
    let what = if requests { "Requests" } else { "Connections" };
    Rate {
        what,
        label: format!(
            "{what} and failures per {slot}: at most {}, at most {} failed.",
            count(top),
            count(failed.iter().copied().max().unwrap_or(0))
        ),
        top: format!("{} per {slot}", count(top)),
        all: bars(&all, top),
        failed: bars(&failed, top),
    }
}

fn latency(what: &str, points: &[Point], pick: fn(&Point) -> &Vec<u64>) -> Option<Latency> {
    let all: Vec<_> = points.iter().map(|point| percentiles(pick(point), point.sub_bits)).collect();
    let known = || all.iter().flatten();
    let lowest = known().map(|found| found.p50_us).min()?;
    let highest = known().map(|found| found.p99_us).max()?;
    let half: Vec<_> = all.iter().map(|found| found.map(|found| found.p50_us)).collect();
    let most: Vec<_> = all.iter().map(|found| found.map(|found| found.p99_us)).collect();
    let ms = |us| format!("{} ms", number::ms(us));
    Some(Latency {
        label: format!(
            "{what} over time: half of all within {} or more, 99 of 100 within {} or less.",
            ms(lowest),
            ms(highest)
        ),
        top: ms(highest),
        bottom: ms(lowest),
        half: steps(&half, (lowest, highest)),
        most: steps(&most, (lowest, highest)),
    })
}
