//! The objects of `--json`. Fields are only ever added.

mod details;
mod numbers;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use numbers::Numbers;

use crate::cause::category;
use crate::event::MS;
use crate::event::{Host, LogLine, Lost, Nanos, Upstream};
use crate::verdict::{CauseCount, Note, Percentiles, Resolved, Summary, UpstreamSummary, Verdict};

/// Turns the monotonic time of events into the time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    at: Nanos,
    unix_us: i64,
}

impl Clock {
    /// The clock of the run that began so.
    #[must_use]
    pub fn new(host: &Host) -> Self {
        Self { at: host.at, unix_us: host.unix_us }
    }

    /// Microseconds since 1970, UTC.
    #[must_use]
    pub fn unix_us(&self, at: Nanos) -> i64 {
        let since = (i128::from(at) - i128::from(self.at)).div_euclid(1_000);
        i64::try_from(i128::from(self.unix_us) + since).unwrap_or(self.unix_us)
    }

    /// `2026-11-20T09:12:01.123456Z`.
    #[must_use]
    pub fn iso(&self, at: Nanos) -> String {
        format!("{:.6}", Timestamp::from_microsecond(self.unix_us(at)).unwrap_or_default())
    }
}

/// `failure`: one per failed attempt.
#[must_use]
pub fn failure(verdict: &Verdict, clock: &Clock, numbers: &mut Numbers) -> Value {
    let mut object = common(verdict, clock, numbers, "failure");
    object["duration_ms"] = milliseconds(verdict.at.saturating_sub(verdict.since));
    object["recovered"] = verdict.recovered.into();
    object
}

/// `pending`: an attempt in trouble that is not over.
#[must_use]
pub fn pending(verdict: &Verdict, clock: &Clock, numbers: &mut Numbers) -> Value {
    let mut object = common(verdict, clock, numbers, "pending");
    object["since_ms"] = milliseconds(verdict.at.saturating_sub(verdict.since));
    object
}

fn common(verdict: &Verdict, clock: &Clock, numbers: &mut Numbers, kind: &str) -> Value {
    let mut object = json!({
        "type": kind,
        "time": clock.iso(verdict.at),
        "attempt": numbers.of(verdict.attempt),
        "worker": verdict.worker,
        "upstream": text(verdict.upstream.as_ref()),
        "transport": verdict.transport,
        "local": verdict.local,
        "phase": verdict.phase,
        "cause": verdict.cause,
        "reason": verdict.reason,
        "category": verdict.category,
        "confidence": verdict.confidence,
        "alternatives": verdict.alternatives,
        "errno": verdict.errno,
        "status": verdict.status,
        "reused": verdict.reused,
        "bytes_sent": verdict.bytes_sent,
        "bytes_received": verdict.bytes_received,
        "evidence": verdict.evidence,
        "summary": verdict.summary,
        "fix": verdict.fix,
    });
    if let Some(name) = &verdict.name {
        object["name"] = name.as_str().into();
    }
    if !verdict.because.is_empty() {
        object["because"] = json!(verdict.because);
    }
    if let Some(line) = &verdict.log {
        object["log"] = log(line);
    }
    for (name, value) in details::fields(&verdict.details, clock, numbers) {
        object[name] = value;
    }
    object
}

/// nginx's line; only what it says.
fn log(line: &LogLine) -> Value {
    let mut object = json!({
        "message": line.message,
        "time": line.time,
        "connection": line.connection,
        "request": line.request,
        "client": line.client,
        "server": line.server,
        "file": Some(&line.file).filter(|file| !file.is_empty()),
    });
    if let Value::Object(fields) = &mut object {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

/// `resolved`: an attempt that was reported as pending is no failure after all.
#[must_use]
pub fn resolved(resolved: &Resolved, clock: &Clock, numbers: &mut Numbers) -> Value {
    json!({
        "type": "resolved",
        "time": clock.iso(resolved.at),
        "attempt": numbers.of(resolved.attempt),
        "upstream": text(resolved.upstream.as_ref()),
        "how": resolved.how,
    })
}

/// `note`: something about nginx itself.
#[must_use]
pub fn note(note: &Note, clock: &Clock) -> Value {
    json!({"type": "note", "time": clock.iso(note.at), "text": note.text})
}

/// `lost`: events that did not arrive.
#[must_use]
pub fn lost(lost: &Lost, clock: &Clock) -> Value {
    json!({
        "type": "lost",
        "time": clock.iso(lost.at),
        "count": lost.count,
        "where": lost.place,
        "since": clock.iso(lost.since),
    })
}

/// `summary`; the caller adds `overhead`.
#[must_use]
pub fn summary(summary: &Summary, clock: &Clock) -> Value {
    json!({
        "type": "summary",
        "duration_ms": milliseconds(summary.duration),
        "attempts": summary.attempts,
        "failures": summary.failures,
        "recovered": summary.recovered,
        "lost": summary.lost,
        "lost_by_place": summary.lost_by_place,
        "by_cause": summary.by_cause.iter().map(|count| by_cause(count, clock)).collect::<Vec<_>>(),
        "upstreams": summary.upstreams.iter().map(upstream).collect::<Vec<_>>(),
        "log_lines": summary.log_lines,
    })
}

fn by_cause(count: &CauseCount, clock: &Clock) -> Value {
    json!({
        "cause": count.cause,
        "reason": count.reason,
        "category": count.reason.and_then(category),
        "upstream": text(count.upstream.as_ref()),
        "group": count.group,
        "count": count.count,
        "first": clock.iso(count.first),
        "last": clock.iso(count.last),
    })
}

fn upstream(found: &UpstreamSummary) -> Value {
    json!({
        "upstream": text(found.upstream.as_ref()),
        "group": found.group,
        "attempts": found.attempts,
        "established": found.established,
        "failures": found.failures,
        "requests": found.requests,
        "connect_ms": found.connect.as_ref().map(percentiles),
        "first_byte_ms": found.first_byte.as_ref().map(percentiles),
    })
}

fn percentiles(found: &Percentiles) -> Value {
    let ms = |us: u64| us as f64 / 1e3;
    json!({"p50": ms(found.p50_us), "p90": ms(found.p90_us), "p99": ms(found.p99_us)})
}

fn text(upstream: Option<&Upstream>) -> Option<String> {
    upstream.map(Upstream::to_string)
}

/// Three decimals.
fn milliseconds(time: Nanos) -> Value {
    ((time / (MS / 1_000)) as f64 / 1e3).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;
    use crate::event::Event;
    use crate::testkit::refused;
    use crate::verdict::Output;

    #[test]
    fn times_before_and_after_the_start() {
        let clock = Clock { at: 5_000_000_000, unix_us: 1_795_165_921_123_456 };
        assert_eq!(clock.iso(5_000_000_000), "2026-11-20T09:12:01.123456Z");
        assert_eq!(clock.iso(4_000_000_000), "2026-11-20T09:12:00.123456Z");
        assert_eq!(clock.iso(5_000_000_999), "2026-11-20T09:12:01.123456Z");
        assert!(clock.iso(u64::MAX).ends_with('Z'), "times beyond the calendar do not panic");
    }

    #[test]
    fn a_failure_has_the_fields_of_the_contract() {
        let mut engine = Engine::new();
        engine.on(Event::End(refused()));
        let Some(Output::Failure(verdict)) = engine.finish().pop() else { panic!("no failure") };
        let clock = Clock { at: verdict.at, unix_us: 0 };
        let mut numbers = Numbers::default();
        let object = failure(&verdict, &clock, &mut numbers);
        for (field, value) in [
            ("type", json!("failure")),
            ("attempt", json!(1)),
            ("time", json!("1970-01-01T00:00:00.000000Z")),
            ("upstream", json!("10.0.0.2:8080")),
            ("transport", json!("tcp")),
            ("local", json!("10.0.0.1:41234")),
            ("phase", json!("connect")),
            ("cause", json!("port-refused")),
            ("reason", json!(2)),
            ("category", json!("service-down")),
            ("confidence", json!("likely")),
            ("alternatives", json!(["firewall-reject-remote"])),
            ("errno", json!(111)),
            ("status", json!(502)),
            ("recovered", json!(false)),
            ("reused", json!(false)),
            ("duration_ms", json!(0.5)),
        ] {
            assert_eq!(object[field], value, "{field}");
        }
        assert_eq!(object["evidence"][0], json!({"at_ms": 0.0, "what": "syn-sent"}));
        assert!(object["since_ms"].is_null() && pending(&verdict, &clock, &mut numbers)["since_ms"] == 0.5);
        let summary = summary(&engine.summary(0), &clock);
        assert_eq!(summary["by_cause"][0]["upstream"], "10.0.0.2:8080");
        assert_eq!(summary["upstreams"][0]["connect_ms"], Value::Null);
    }
}
