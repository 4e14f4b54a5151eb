//! One file per family of faults; each scenario reads like a sentence.

mod application;
mod capture;
mod cli;
mod container;
mod dns;
mod false_alarms;
mod firewall_local;
mod firewall_remote;
mod firewall_rules;
mod forged;
mod harmless;
mod healthy;
mod hostile;
mod invented;
mod late;
mod lifecycle;
mod load;
mod log;
mod log_files;
mod loss;
mod lua;
mod mixed;
mod names;
mod one_kernel;
mod origins;
mod other_end;
mod own_part;
mod path;
mod pending;
mod policy;
mod proxy;
mod queue;
mod refused;
mod reported;
mod rights;
mod rungs;
mod service;
mod settings;
mod sinks;
mod software;
mod status;
mod timeouts;
mod tls;
mod translation;

use upstream_trace_tests::Scenario;

/// What a scenario needs and this host has not: a program, a small virtual machine, or speed.
pub(crate) fn missing(scenario: &str) -> Option<&'static str> {
    software::missing(scenario)
        .or_else(|| container::missing(scenario))
        .or_else(|| service::missing(scenario))
        .or_else(|| mixed::missing(scenario))
}

/// Every scenario.
pub(crate) fn all() -> impl Iterator<Item = Scenario> {
    let families = [
        refused::ALL,
        reported::ALL,
        rungs::ALL,
        queue::ALL,
        firewall_local::ALL,
        firewall_remote::ALL,
        firewall_rules::ALL,
        path::ALL,
        timeouts::ALL,
        application::ALL,
        tls::ALL,
        translation::ALL,
        dns::ALL,
        proxy::ALL,
        pending::ALL,
        policy::ALL,
        healthy::ALL,
        load::ALL,
        late::ALL,
        lifecycle::ALL,
        log::ALL,
        log_files::ALL,
        lua::ALL,
        mixed::ALL,
        names::ALL,
        origins::ALL,
        other_end::ALL,
        own_part::ALL,
        cli::ALL,
        container::docker::ALL,
        container::units::ALL,
        container::runtimes::ALL,
        rights::ALL,
        service::ALL,
        settings::ALL,
        sinks::ALL,
        software::ALL,
        status::ALL,
        capture::ALL,
        loss::ALL,
        harmless::ALL,
        false_alarms::ALL,
        one_kernel::ALL,
        forged::ALL,
        hostile::ALL,
        invented::ALL,
    ];
    families.into_iter().flatten().copied()
}
