//! Which colour stands for which cause: the most frequent ones have one of their own.

use std::collections::HashMap;

use super::super::model::ReportModel;

/// Colours in the style sheet; the last one is that of all others.
const OWN: usize = 7;

/// Colours of causes.
pub(super) struct Colours {
    /// Causes in the order of their colours.
    pub(super) causes: Vec<(&'static str, u64)>,
    places: HashMap<&'static str, usize>,
}

impl Colours {
    pub(super) fn of(model: &ReportModel) -> Self {
        let mut counts = HashMap::<&'static str, u64>::new();
        for problem in &model.problems {
            *counts.entry(problem.cause).or_default() += problem.count + problem.pending;
        }
        let mut causes: Vec<_> = counts.into_iter().collect();
        causes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let places = causes.iter().enumerate().map(|(place, (cause, _))| (*cause, place.min(OWN))).collect();
        Self { causes, places }
    }

    /// Number of a cause's colour.
    pub(super) fn place(&self, cause: &str) -> usize {
        self.places.get(cause).copied().unwrap_or(OWN)
    }
}
