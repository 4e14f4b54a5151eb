//! Failures over time, by cause.

use std::collections::BTreeMap;

use super::Micros;

/// Finest resolution.
const FINEST: Micros = 100_000;
/// Pairs of time and cause that are kept; beyond that, time is told more coarsely.
const KEPT: usize = 20_000;

/// How many failures of each cause there were in each span of time.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Length of a span.
    pub width: Micros,
    /// By number of the span since 1970, and cause.
    pub counts: BTreeMap<(i64, &'static str), u64>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { width: FINEST, counts: BTreeMap::new() }
    }
}

impl Timeline {
    /// Counts a failure.
    pub(super) fn add(&mut self, at: Micros, cause: &'static str) {
        *self.counts.entry((at.div_euclid(self.width), cause)).or_default() += 1;
        if self.counts.len() > KEPT {
            *self = self.in_spans_of(self.width * 10);
        }
    }

    /// The same in longer spans, a multiple of these.
    #[must_use]
    pub fn in_spans_of(&self, width: Micros) -> Self {
        let factor = (width / self.width).max(1);
        let mut counts = BTreeMap::new();
        for ((span, cause), count) in &self.counts {
            *counts.entry((span.div_euclid(factor), *cause)).or_default() += count;
        }
        Self { width: self.width * factor, counts }
    }
}
