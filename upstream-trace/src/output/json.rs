//! Output for programs: one object a line.

use std::io::Write;

use serde_json::{Value, json};
use upstream_trace_core::event::{Host, Lost, Nanos, Upstream};
use upstream_trace_core::verdict::{Output, Summary, Verdict};

use super::clock::Clock;
use super::page::Page;
use super::pipe::Pipe;
use super::{Extra, Look, Sink, reason};

/// Version of the objects; fields are only ever added to it.
const SCHEMA: u32 = 1;

/// Writes JSON, one object a line, flushed at once.
#[derive(Debug)]
pub struct Json<W, E> {
    results: Pipe<W>,
    status: Pipe<E>,
    page: Page,
    clock: Clock,
}

impl<W: Write, E: Write> Json<W, E> {
    /// Objects go to the first writer, status to the second.
    pub fn new(results: W, status: E, look: Look) -> Self {
        let page = Page { width: look.width, colour: look.status_colour };
        Self { results: Pipe::new(results), status: Pipe::new(status), page, clock: Clock::default() }
    }

    fn print(&mut self, object: &Value) {
        if let Some(error) = self.results.write(&format!("{object}\n")) {
            self.status.write(&error);
        }
    }
}

impl<W: Write, E: Write> Sink for Json<W, E> {
    fn start(&mut self, host: &Host) {
        self.clock = Clock::new(host);
        self.status.write(&self.page.watching(host));
        self.print(&start(self.clock, host));
    }

    fn output(&mut self, output: &Output) {
        let clock = self.clock;
        let object = match output {
            Output::Pending(verdict) => judged(clock, verdict, true),
            Output::Failure(verdict) => judged(clock, verdict, false),
            Output::Resolved(resolved) => json!({
                "type": "resolved",
                "time": clock.iso(resolved.at),
                "attempt": resolved.attempt,
                "upstream": upstream(resolved.upstream.as_ref()),
                "how": resolved.how,
            }),
            Output::Lost(one) => lost(clock, one),
            Output::Note(note) => json!({"type": "note", "time": clock.iso(note.at), "text": note.text}),
        };
        self.print(&object);
    }

    fn tick(&mut self, _now: Nanos) {}

    fn summary(&mut self, numbers: &Summary, extra: &Extra) {
        self.print(&summary(self.clock, numbers, extra));
    }

    fn closed(&self) -> bool {
        self.results.closed()
    }
}

fn start(clock: Clock, host: &Host) -> Value {
    json!({
        "type": "start",
        "schema": SCHEMA,
        "time": clock.iso(host.at),
        "version": host.version,
        "kernel": host.kernel,
        "hooks": host.hooks,
        "master": host.masters.first(),
        "masters": host.masters,
        "workers": host.workers,
    })
}

fn judged(clock: Clock, verdict: &Verdict, pending: bool) -> Value {
    let (kind, time) = if pending { ("pending", "since_ms") } else { ("failure", "duration_ms") };
    json!({
        "type": kind,
        "time": clock.iso(verdict.at),
        "attempt": verdict.attempt,
        "worker": verdict.worker,
        "upstream": upstream(verdict.upstream.as_ref()),
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
        "recovered": verdict.recovered,
        "reused": verdict.reused,
        time: milliseconds(verdict.at.saturating_sub(verdict.since)),
        "bytes_sent": verdict.bytes_sent,
        "bytes_received": verdict.bytes_received,
        "evidence": verdict.evidence,
        "summary": verdict.summary,
        "fix": verdict.fix,
    })
}

fn lost(clock: Clock, lost: &Lost) -> Value {
    json!({
        "type": "lost",
        "time": clock.iso(lost.at),
        "count": lost.count,
        "where": lost.place,
        "since": clock.iso(lost.since),
    })
}

fn summary(clock: Clock, summary: &Summary, extra: &Extra) -> Value {
    let by_cause = summary.by_cause.iter().map(|cause| {
        json!({
            "cause": cause.cause,
            "reason": cause.reason,
            "category": cause.reason.and_then(reason),
            "upstream": upstream(cause.upstream.as_ref()),
            "count": cause.count,
            "first": clock.iso(cause.first),
            "last": clock.iso(cause.last),
        })
    });
    let upstreams = summary.upstreams.iter().map(|one| {
        json!({
            "upstream": upstream(one.upstream.as_ref()),
            "attempts": one.attempts,
            "established": one.established,
            "failures": one.failures,
            "requests": one.requests,
            "connect": one.connect,
            "first_byte": one.first_byte,
        })
    });
    json!({
        "type": "summary",
        "duration_ms": milliseconds(summary.duration),
        "attempts": summary.attempts,
        "failures": summary.failures,
        "recovered": summary.recovered,
        "lost": summary.lost,
        "by_cause": by_cause.collect::<Vec<_>>(),
        "upstreams": upstreams.collect::<Vec<_>>(),
        "log_lines": extra.log_lines,
        "overhead": extra.overhead,
        "startup_ms": extra.startup_ms,
        "rss_bytes": extra.rss_bytes,
    })
}

fn upstream(upstream: Option<&Upstream>) -> Option<String> {
    upstream.map(Upstream::to_string)
}

/// Three decimals.
fn milliseconds(time: Nanos) -> f64 {
    ((time + 500) / 1000) as f64 / 1000.0
}

#[cfg(test)]
mod tests;
