//! One file per family of faults; each scenario reads like a sentence.

mod application;
mod firewall_local;
mod firewall_remote;
mod path;
mod queue;
mod refused;
mod timeouts;

use upstream_trace_tests::Scenario;

/// Every scenario.
pub(crate) fn all() -> impl Iterator<Item = Scenario> {
    let families = [
        refused::ALL,
        queue::ALL,
        firewall_local::ALL,
        firewall_remote::ALL,
        path::ALL,
        timeouts::ALL,
        application::ALL,
    ];
    families.into_iter().flatten().copied()
}
