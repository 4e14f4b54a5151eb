//! The kernel side's counters and histograms of upstreams.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use upstream_trace_core::engine::to_powers_of_two;
use upstream_trace_core::event::{Upstream, UpstreamSample};

use super::numbers::Where;

/// Upstreams with series of their own: each has about fifty.
const MAX_NAMED: usize = 200;
/// Upstreams that are remembered at all; the kernel's table has room for fewer.
const MAX_UPSTREAMS: usize = 16_384;

/// Bounds of the histograms are 2^8 (256 microseconds) to 2^26 (67 seconds) microseconds.
const FIRST_BOUND: usize = 8;
const LAST_BOUND: usize = 26;

/// What was read last of each upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    named: BTreeMap<Upstream, (Arc<Where>, Arc<UpstreamSample>)>,
    /// Told together: the counters of all must be known to add them up.
    rest: HashMap<Option<Upstream>, Arc<Totals>>,
}

/// Counters of one upstream, or of several together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) attempts: u64,
    pub(super) established: u64,
    pub(super) requests: u64,
    pub(super) responses: u64,
    pub(super) connect: Histogram,
    pub(super) first_byte: Histogram,
}

/// A histogram as the exposition has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    /// Upper bounds in seconds, and what is below one and not below the one before. The last one has no bound.
    pub(super) buckets: Vec<(f64, u64)>,
    /// All values.
    pub(super) count: u64,
    /// Their sum, seconds, as far as buckets tell.
    pub(super) sum: f64,
}

impl Samples {
    /// Names the upstreams anew: the configuration has changed.
    pub(super) fn rename(&mut self, name: impl Fn(&Upstream) -> Where) {
        for (upstream, (place, _)) in &mut self.named {
            *place = Arc::new(name(upstream));
        }
    }

    /// What was read of one upstream; the first ones get series of their own.
    pub(super) fn take(&mut self, sample: &UpstreamSample, name: impl Fn(&Upstream) -> Where) {
        if let Some(upstream) = &sample.upstream {
            if let Some((_, last)) = self.named.get_mut(upstream) {
                *last = Arc::new(sample.clone());
                return;
            }
            if self.named.len() < MAX_NAMED {
                let named = (Arc::new(name(upstream)), Arc::new(sample.clone()));
                self.named.insert(upstream.clone(), named);
                return;
            }
        }
        if self.rest.contains_key(&sample.upstream) || self.rest.len() < MAX_UPSTREAMS {
            self.rest.insert(sample.upstream.clone(), Arc::new(Totals::of(sample)));
        }
    }

    /// A row for each series, the rest last.
    pub(super) fn rows(&self) -> Vec<(Where, Totals)> {
        let mut rows: BTreeMap<Where, Totals> = BTreeMap::new();
        for (place, sample) in self.named.values() {
            rows.entry((**place).clone()).or_default().add(&Totals::of(sample));
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        if !self.rest.is_empty() {
            let mut rest = Totals::default();
            self.rest.values().for_each(|one| rest.add(one));
            rows.push((Where::other(), rest));
        }
        rows
    }
}

impl Totals {
    fn of(sample: &UpstreamSample) -> Self {
        Self {
            attempts: sample.attempts,
            established: sample.established,
            requests: sample.requests,
            responses: sample.answers,
            connect: Histogram::of(&sample.connect, sample.sub_bits),
            first_byte: Histogram::of(&sample.first_byte, sample.sub_bits),
        }
    }

    fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.established += other.established;
        self.requests += other.requests;
        self.responses += other.responses;
        self.connect.add(&other.connect);
        self.first_byte.add(&other.first_byte);
    }
}

impl Histogram {
    /// Of the kernel's buckets, which are powers of two or parts of them: no value changes its bucket.
    fn of(fine: &[u64], sub_bits: u32) -> Self {
        let coarse = to_powers_of_two(fine, sub_bits);
        let mut buckets: Vec<(f64, u64)> =
            (FIRST_BOUND..=LAST_BOUND).map(|bits| ((1_u64 << bits) as f64 / 1e6, 0_u64)).collect();
        buckets.push((f64::INFINITY, 0));
        let last = buckets.len() - 1;
        let (mut count, mut sum) = (0_u64, 0.0);
        for (bits, found) in coarse.iter().enumerate() {
            let at = bits.saturating_sub(FIRST_BOUND).min(last);
            // The kernel's last bucket has no bound: it is among those above the last one here.
            buckets[at].1 = buckets[at].1.saturating_add(*found);
            count = count.saturating_add(*found);
            let middle = 0.75 * (bits.min(40) as f64).exp2() / 1e6;
            sum += *found as f64 * middle;
        }
        Self { buckets, count, sum }
    }

    fn add(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.clone_from(other);
            return;
        }
        for (mine, others) in self.buckets.iter_mut().zip(&other.buckets) {
            mine.1 = mine.1.saturating_add(others.1);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testkit::{sample, server};

    fn name(upstream: &Upstream) -> Where {
        Where { upstream: String::new(), server: upstream.to_string() }
    }

    #[test]
    fn no_value_changes_its_bucket() {
        let mut fine = vec![0; 28];
        (fine[3], fine[8], fine[9], fine[27]) = (1, 2, 4, 8);
        let found = Histogram::of(&fine, 0);
        assert_eq!(found.count, 15);
        let at = |bound: f64| found.buckets.iter().find(|bucket| bucket.0 >= bound).unwrap().1;
        assert_eq!((at(0.000_256), at(0.000_512), at(f64::INFINITY)), (3, 4, 8));
        assert_eq!(found.buckets.iter().map(|bucket| bucket.1).sum::<u64>(), 15);
        assert!((found.buckets[LAST_BOUND - FIRST_BOUND].0 - 67.108_864).abs() < 1e-9);
    }

    #[test]
    fn upstreams_beyond_the_bound_are_added_up() {
        let mut samples = Samples::default();
        for round in 1..=2 {
            for port in 0..300 {
                samples.take(&sample(Some(&server(port)), round), name);
            }
            samples.take(&sample(None, round), name);
        }
        let rows = samples.rows();
        assert_eq!(rows.len(), MAX_NAMED + 1);
        let (place, rest) = rows.last().unwrap();
        assert_eq!((place, rest.attempts, rest.connect.count), (&Where::other(), 202, 202));
        assert!(rows[..MAX_NAMED].iter().all(|(_, one)| one.attempts == 2));
    }
}
