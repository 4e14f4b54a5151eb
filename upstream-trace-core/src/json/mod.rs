//! The objects of `--json`: what they are, how they are made, and one line of text of each.

mod clock;
mod judged;
mod line;
mod numbers;
mod objects;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use judged::{failure, pending};
pub use line::write;
pub use numbers::Numbers;
pub use objects::{
    Accounts, CauseCount, Directive, Ejection, Hook, HookCost, Judged, Log, LogLines, Lost, Note, Peer,
    Percentiles, Resolved, SortedEvidence, Start, Summary, Tries, Try, UpstreamNumbers, Workload,
};

use crate::cause::category;
use crate::event::{self, Host, MS, Nanos, Upstream};
use crate::verdict;

/// Version of the objects; fields are only ever added to it.
pub const SCHEMA: u32 = 1;

/// What all objects of a run share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// The clock of the run.
    pub clock: Clock,
    /// Which host this is, if several are reported at once.
    pub host: Option<&'a str>,
}

/// `start`.
#[must_use]
pub fn start<'a>(host: &'a Host, scope: Scope<'a>) -> Start<'a> {
    Start {
        depth: Some(host.depth.as_str()).filter(|depth| !depth.is_empty()),
        hooks: host.hooks.iter().map(hook).collect(),
        host: scope.host,
        hostname: &host.hostname,
        kernel: &host.kernel,
        master: host.masters.first().copied(),
        masters: &host.masters,
        nginx: &host.nginx,
        schema: SCHEMA,
        time: scope.clock.iso(host.at),
        r#type: "start",
        version: &host.version,
        workers: &host.workers,
    }
}

/// A container or a unit; nothing of other control groups.
fn workload(workload: &event::Workload) -> Option<Workload<'_>> {
    let mut object = Workload {
        container: None,
        id: None,
        image: None,
        name: None,
        namespace: None,
        pod: None,
        runtime: workload.runtime()?,
    };
    match workload {
        event::Workload::Container(container) => {
            let name = container.name.as_deref();
            object.id = Some(&container.id);
            object.image = container.image.as_deref();
            object.name = name;
            object.namespace = container.namespace.as_deref();
            object.pod = container.pod.as_deref();
            object.container = name.filter(|_| container.pod.is_some());
        }
        event::Workload::Unit(name) => object.name = Some(name),
        event::Workload::Docker(id) | event::Workload::Podman(id) | event::Workload::Kubernetes(id) => {
            object.id = Some(id);
        }
        event::Workload::Lxc(_) | event::Workload::Cgroup(_) => {}
    }
    Some(object)
}

fn hook(hook: &event::Hook) -> Hook<'_> {
    Hook {
        attached: hook.attached,
        costs: hook.costs.as_deref(),
        kind: &hook.kind,
        lost_without: hook.costs.as_deref(),
        name: &hook.name,
        why: hook.why.as_deref(),
    }
}

/// `resolved`: an attempt that was reported as pending is no failure after all.
#[must_use]
pub fn resolved<'a>(resolved: &verdict::Resolved, scope: Scope<'a>, numbers: &mut Numbers) -> Resolved<'a> {
    Resolved {
        attempt: numbers.of_ended(resolved.attempt),
        host: scope.host,
        how: resolved.how,
        time: scope.clock.iso(resolved.at),
        r#type: "resolved",
        upstream: text(resolved.upstream.as_ref()),
    }
}

/// `note`: something about nginx itself.
#[must_use]
pub fn note<'a>(note: &'a verdict::Note, scope: Scope<'a>) -> Note<'a> {
    Note { host: scope.host, text: &note.text, time: scope.clock.iso(note.at), r#type: "note" }
}

/// `lost`: events that did not arrive.
#[must_use]
pub fn lost<'a>(lost: &'a event::Lost, scope: Scope<'a>) -> Lost<'a> {
    Lost {
        count: lost.count,
        host: scope.host,
        since: scope.clock.iso(lost.since),
        time: scope.clock.iso(lost.at),
        r#type: "lost",
        r#where: &lost.place,
    }
}

/// `summary`; what only a live trace knows is for the caller to add.
#[must_use]
pub fn summary<'a>(summary: &'a verdict::Summary, scope: Scope<'a>) -> Summary<'a> {
    Summary {
        accounts: None,
        attempts: summary.attempts,
        by_cause: summary.by_cause.iter().map(|count| by_cause(count, scope)).collect(),
        deep_ms: None,
        duration_ms: milliseconds(summary.duration),
        failures: summary.failures,
        host: scope.host,
        log_lines: LogLines {
            joined: summary.log_lines.joined,
            lost: summary.log_lines.lost,
            passed_over: summary.log_lines.passed_over,
            seen: summary.log_lines.seen,
        },
        lost: summary.lost,
        lost_by_place: &summary.lost_by_place,
        overhead: None,
        recovered: summary.recovered,
        rss_bytes: None,
        startup_ms: None,
        r#type: "summary",
        upstreams: summary.upstreams.iter().map(|found| upstream(found, summary.sampled)).collect(),
    }
}

fn by_cause<'a>(count: &'a verdict::CauseCount, scope: Scope<'_>) -> CauseCount<'a> {
    CauseCount {
        category: count.reason.and_then(category),
        cause: count.cause,
        count: count.count,
        first: scope.clock.iso(count.first),
        group: count.group.as_deref(),
        last: scope.clock.iso(count.last),
        reason: count.reason,
        upstream: text(count.upstream.as_ref()),
        workload: count.workload.as_ref().and_then(workload),
    }
}

fn upstream(found: &verdict::UpstreamSummary, sampled: bool) -> UpstreamNumbers<'_> {
    UpstreamNumbers {
        attempts: found.attempts,
        connect_ms: found.connect.as_ref().map(percentiles),
        established: found.established,
        failures: found.failures,
        first_byte_ms: found.first_byte.as_ref().map(percentiles),
        group: found.group.as_deref(),
        requests: found.requests,
        sampled: sampled.then_some(true),
        upstream: text(found.upstream.as_ref()),
    }
}

fn percentiles(found: &verdict::Percentiles) -> Percentiles {
    let ms = |us: u64| us as f64 / 1e3;
    Percentiles { p50: ms(found.p50_us), p90: ms(found.p90_us), p99: ms(found.p99_us) }
}

fn text(upstream: Option<&Upstream>) -> Option<String> {
    upstream.map(Upstream::to_string)
}

/// Three decimals.
fn milliseconds(time: Nanos) -> f64 {
    (time / (MS / 1_000)) as f64 / 1e3
}
