//! From a verdict to `failure` and `pending`.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::objects::{Directive, Ejection, Judged, Log, Peer, SortedEvidence, Tries, Try};
use super::workload;
use super::{Numbers, Scope, milliseconds, text};
use crate::event::{LogLine, LogSource};
use crate::verdict::{self, Connection, TryEnd, Verdict};

/// `failure`: one per failed attempt.
#[must_use]
pub fn failure<'a>(verdict: &'a Verdict, scope: Scope<'a>, numbers: &mut Numbers) -> Judged<'a> {
    // Before those of its tries: numbers follow the order in which attempts are told of.
    let attempt = numbers.of_ended(verdict.attempt);
    Judged {
        duration_ms: Some(milliseconds(verdict.at.saturating_sub(verdict.since))),
        recovered: Some(verdict.recovered),
        ..judged(verdict, attempt, scope, numbers, "failure")
    }
}

/// `pending`: an attempt in trouble that is not over.
#[must_use]
pub fn pending<'a>(verdict: &'a Verdict, scope: Scope<'a>, numbers: &mut Numbers) -> Judged<'a> {
    let attempt = numbers.of_pending(verdict.attempt);
    Judged {
        since_ms: Some(milliseconds(verdict.at.saturating_sub(verdict.since))),
        ..judged(verdict, attempt, scope, numbers, "pending")
    }
}

fn judged<'a>(
    verdict: &'a Verdict,
    attempt: u64,
    scope: Scope<'a>,
    numbers: &mut Numbers,
    kind: &'static str,
) -> Judged<'a> {
    let details = &verdict.details;
    let peer = |name: &'a verdict::Name| Peer { group: &name.group, server: &name.server };
    let only = if let [only] = details.names.as_slice() { Some(only) } else { None };
    let several = details.names.len() > 1;
    let of =
        |pick: fn(&Connection) -> Option<u64>| details.connection.as_ref().and_then(pick).map(milliseconds);
    Judged {
        alternatives: &verdict.alternatives,
        attempt,
        because: &verdict.because,
        bytes_received: verdict.bytes_received,
        bytes_sent: verdict.bytes_sent,
        category: verdict.category,
        cause: verdict.cause,
        confidence: verdict.confidence,
        connection_age_ms: of(|connection| connection.age),
        directives: details.directives.iter().map(directive).collect(),
        duration_ms: None,
        ejected: details.ejected.iter().map(|one| ejection(one, scope)).collect(),
        errno: verdict.errno,
        evidence: verdict.evidence.iter().map(SortedEvidence).collect(),
        fix: &verdict.fix,
        group: only.map(|name| name.group.as_str()),
        groups: several.then(|| details.names.iter().map(peer).collect()),
        host: scope.host,
        idle_ms: of(|connection| connection.idle),
        local: verdict.local.as_deref(),
        log: verdict.log.as_ref().map(log),
        name: verdict.name.as_deref(),
        origin_idle_ms: of(|connection| connection.origin_idle),
        passes: &details.passes,
        peer: only.map(|name| name.server.as_str()).filter(|server| !server.is_empty()),
        phase: verdict.phase,
        reason: verdict.reason,
        recovered: None,
        requests: details.connection.and_then(|connection| connection.requests),
        reused: verdict.reused,
        since_ms: None,
        status: verdict.status,
        summary: &verdict.summary,
        time: scope.clock.iso(verdict.at),
        transport: verdict.transport,
        tries: details.tries.as_ref().map(|tries| self::tries(tries, numbers)),
        r#type: kind,
        upstream: text(verdict.upstream.as_ref()),
        worker: verdict.worker,
        upstream_workload: details.origin.as_ref().and_then(workload),
        workload: details.workload.as_ref().and_then(workload),
    }
}

fn directive(directive: &verdict::Directive) -> Directive<'_> {
    Directive {
        default: directive.default,
        name: &directive.name,
        places: &directive.places,
        value: &directive.value,
    }
}

fn tries(tries: &verdict::Tries, numbers: &mut Numbers) -> Tries {
    let one = |one: &verdict::Try| {
        let (answered, cause) = match one.end {
            TryEnd::Unknown => (None, None),
            TryEnd::Failed(cause) => (None, Some(cause)),
            TryEnd::Answered => (Some(true), None),
        };
        Try { answered, attempt: numbers.of(one.attempt), cause, upstream: text(one.upstream.as_ref()) }
    };
    Tries { chain: tries.chain.iter().map(one).collect(), number: tries.this + 1, of: tries.chain.len() }
}

fn ejection(ejection: &verdict::Ejection, scope: Scope<'_>) -> Ejection {
    Ejection {
        cause: ejection.cause,
        count: ejection.count,
        last: scope.clock.iso(ejection.last),
        upstream: text(ejection.upstream.as_ref()),
    }
}

fn log(line: &LogLine) -> Log<'_> {
    Log {
        client: line.client.as_deref(),
        connection: line.connection,
        file: Some(line.file.as_str()).filter(|file| !file.is_empty()),
        message: &line.message,
        request: line.request.as_deref(),
        server: line.server.as_deref(),
        source: line.source.map(LogSource::name),
        tags: &line.tags,
        subrequest: line.subrequest.as_deref(),
        time: &line.time,
    }
}

impl Serialize for SortedEvidence<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const AT: &str = "at_ms";
        const WHAT: &str = "what";
        let seen = self.0;
        let details = || seen.details.iter().filter(|(name, _)| ![AT, WHAT].contains(&name.as_str()));
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in details().filter(|(name, _)| name.as_str() < AT) {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry(AT, &seen.at_ms)?;
        for (name, value) in details().filter(|(name, _)| (AT..WHAT).contains(&name.as_str())) {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry(WHAT, &seen.what)?;
        for (name, value) in details().filter(|(name, _)| name.as_str() > WHAT) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
