//! One file per family of faults; each scenario reads like a sentence.

mod refused;

use upstream_trace_tests::Scenario;

/// Every scenario.
pub(crate) fn all() -> impl Iterator<Item = Scenario> {
    [refused::ALL].into_iter().flatten().copied()
}
