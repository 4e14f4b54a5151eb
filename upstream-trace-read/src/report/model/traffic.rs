//! Upstreams over time: what the counters of the kernel side gained from sample to sample.

use std::collections::{BTreeMap, HashMap};

use upstream_trace_core::engine::to_powers_of_two;
use upstream_trace_core::event::{Upstream, UpstreamSample};

use super::{Micros, SECOND};

/// Upstreams that are followed over time.
const FOLLOWED: usize = 512;
/// Upstreams whose last sample is remembered.
const REMEMBERED: usize = 4_096;
/// Spans of time kept of each; beyond that, time is told more coarsely.
const SPANS: usize = 240;

/// What happened at an upstream within one span.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Connections begun.
    pub attempts: u64,
    /// Requests sent.
    pub requests: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// How fine the buckets are, see [`UpstreamSample`].
    pub sub_bits: u32,
    /// Times to connect, see [`UpstreamSample`].
    pub connect: Vec<u64>,
    /// Times to the first byte.
    pub first_byte: Vec<u64>,
}

impl Point {
    /// Adds what happened within another span.
    pub fn add(&mut self, other: &Self) {
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.requests = self.requests.saturating_add(other.requests);
        self.failures = self.failures.saturating_add(other.failures);
        if self.connect.is_empty() && self.first_byte.is_empty() {
            self.sub_bits = other.sub_bits;
        }
        let has_times = !(other.connect.is_empty() && other.first_byte.is_empty());
        if has_times && self.sub_bits != other.sub_bits {
            // Of two releases: what they have in common.
            self.connect = to_powers_of_two(&self.connect, self.sub_bits);
            self.first_byte = to_powers_of_two(&self.first_byte, self.sub_bits);
            self.sub_bits = 0;
            add(&mut self.connect, &to_powers_of_two(&other.connect, other.sub_bits));
            add(&mut self.first_byte, &to_powers_of_two(&other.first_byte, other.sub_bits));
        } else {
            add(&mut self.connect, &other.connect);
            add(&mut self.first_byte, &other.first_byte);
        }
    }
}

fn add(to: &mut Vec<u64>, from: &[u64]) {
    to.resize(to.len().max(from.len()), 0);
    for (sum, more) in to.iter_mut().zip(from) {
        *sum = sum.saturating_add(*more);
    }
}

/// One upstream over time.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// By number of the span since 1970.
    pub points: BTreeMap<i64, Point>,
}

impl Series {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Point {
        let mut total = Point::default();
        self.points.values().for_each(|point| total.add(point));
        total
    }
}

/// All upstreams over time.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Length of a span.
    pub width: Micros,
    /// By name.
    pub series: BTreeMap<String, Series>,
    /// There were more upstreams than are followed.
    pub more: bool,
    /// The last sample of each upstream in the recording that is read.
    last: HashMap<Option<Upstream>, UpstreamSample>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { width: SECOND, series: BTreeMap::new(), more: false, last: HashMap::new() }
    }
}

impl Traffic {
    /// Another recording begins: its counters do too.
    pub(super) fn begin(&mut self) {
        self.last.clear();
    }

    /// Takes a sample in.
    pub(super) fn sample(&mut self, upstream: &str, sample: &UpstreamSample, at: Micros) {
        if self.last.len() >= REMEMBERED && !self.last.contains_key(&sample.upstream) {
            self.more = true;
            return;
        }
        let before = self.last.insert(sample.upstream.clone(), sample.clone());
        let before = before.as_ref();
        let gain = |pick: fn(&UpstreamSample) -> u64| pick(sample).saturating_sub(before.map_or(0, pick));
        let gains = |pick: fn(&UpstreamSample) -> &Vec<u64>| {
            let earlier = before.map(pick);
            let at = |index: usize| earlier.and_then(|all| all.get(index)).copied().unwrap_or(0);
            pick(sample).iter().enumerate().map(|(index, now)| now.saturating_sub(at(index))).collect()
        };
        let point = Point {
            attempts: gain(|sample| sample.attempts),
            requests: gain(|sample| sample.requests),
            failures: 0,
            sub_bits: sample.sub_bits,
            connect: gains(|sample| &sample.connect),
            first_byte: gains(|sample| &sample.first_byte),
        };
        self.add(upstream, at, &point);
    }

    /// Counts a failure.
    pub(super) fn failed(&mut self, upstream: &str, at: Micros) {
        self.add(upstream, at, &Point { failures: 1, ..Point::default() });
    }

    fn add(&mut self, upstream: &str, at: Micros, point: &Point) {
        if !self.series.contains_key(upstream) {
            if self.series.len() >= FOLLOWED {
                self.more = true;
                return;
            }
            self.series.insert(upstream.to_owned(), Series::default());
        }
        let span = at.div_euclid(self.width);
        let Some(series) = self.series.get_mut(upstream) else { return };
        series.points.entry(span).or_default().add(point);
        if series.points.len() > SPANS {
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        self.width *= 2;
        for series in self.series.values_mut() {
            let mut points = BTreeMap::<i64, Point>::new();
            for (span, point) in &series.points {
                points.entry(span.div_euclid(2)).or_default().add(point);
            }
            series.points = points;
        }
    }
}
