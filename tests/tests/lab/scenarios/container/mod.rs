//! nginx where most of it runs today: in containers and units, with error.log a link to stderr, which is a pipe, or in the
//! journal; and several of them on one host.

pub(super) mod docker;
mod faults;
pub(super) mod runtimes;
pub(super) mod units;

/// What is missing on this host for a scenario.
pub(crate) fn missing(scenario: &str) -> Option<&'static str> {
    let name = scenario.strip_prefix("container/")?;
    let programs =
        [("unit-syslog-file", "rsyslogd"), ("unit-dumb-init", "dumb-init"), ("unit-s6", "s6-svscan")];
    let mut needed = programs.iter().filter(|(scenario, _)| *scenario == name).map(|(_, program)| *program);
    if let Some(program) = needed.find(|program| !upstream_trace_tests::software::installed(program)) {
        return Some(program);
    }
    if name.ends_with("-journal")
        && let Some(missing) = upstream_trace_tests::container::journal_missing()
    {
        return Some(missing);
    }
    let runtime = if name.starts_with("podman") { "podman" } else { "docker" };
    upstream_trace_tests::container::missing(
        if ["pod-", "unit-", "piped"].iter().any(|begin| name.starts_with(begin)) { "" } else { runtime },
    )
}
