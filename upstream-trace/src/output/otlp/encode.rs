//! Failures as OTLP log records in its JSON encoding: field names in lowerCamelCase, 64-bit numbers as strings.
//!
//! Attributes follow the semantic conventions where they have one: `error.type` is the cause, of which there are four
//! dozen. What they have no name for begins with `upstream_trace.`.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use upstream_trace_core::event::{Host, LogLine, Transport, Upstream, Workload};
use upstream_trace_core::json::Clock;
use upstream_trace_core::verdict::Verdict;

use super::resource;

/// Name of the event.
const EVENT: &str = "upstream_trace.attempt.failed";
/// Severities WARN and ERROR.
const WARN: (u8, &str) = (13, "WARN");
const ERROR: (u8, &str) = (17, "ERROR");

/// A record, and which nginx it is of, by where that runs. As text: its tree of values takes 50 KB.
#[derive(Clone, Debug)]
pub(super) struct Record {
    workload: Option<Workload>,
    record: Box<RawValue>,
}

/// An `ExportLogsServiceRequest`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    resource_logs: Vec<ResourceLogs<'a>>,
}

/// What one nginx has to say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    resource: Value,
    scope_logs: [ScopeLogs<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    scope: Value,
    log_records: Vec<&'a RawValue>,
}

/// What all records of a run share.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    clock: Clock,
    resource: Map<String, Value>,
    version: String,
}

impl Run {
    /// Of this host; `more` are attributes from the environment, and come before those of the same name here.
    pub(super) fn new(host: &Host, more: &[(String, String)]) -> Self {
        let mut resource = Map::new();
        for (key, value) in [
            ("service.name", "upstream-trace"),
            ("service.version", &host.version),
            ("host.name", &host.hostname),
            ("os.type", "linux"),
            ("os.version", &host.kernel),
        ] {
            resource.insert(key.to_owned(), text(value));
        }
        resource.extend(more.iter().map(|(key, value)| (key.clone(), text(value))));
        Self { clock: Clock::new(host), resource, version: host.version.clone() }
    }

    /// Records of each nginx have a resource of their own.
    pub(super) fn request<'a>(&self, records: &'a [Record]) -> Request<'a> {
        let mut groups: Vec<(Option<&Workload>, Vec<&RawValue>)> = Vec::new();
        for Record { workload, record } in records {
            let workload = workload.as_ref();
            match groups.iter_mut().find(|(of, _)| *of == workload) {
                Some((_, records)) => records.push(record),
                None => groups.push((workload, vec![record])),
            }
        }
        let scope = || json!({"name": "upstream-trace", "version": self.version});
        let of = |(workload, log_records): (Option<&Workload>, _)| ResourceLogs {
            resource: json!({"attributes": self.resource_of(workload)}),
            scope_logs: [ScopeLogs { scope: scope(), log_records }],
        };
        Request { resource_logs: groups.into_iter().map(of).collect() }
    }

    /// What the container says of itself comes before what the environment says of all that this program watches.
    fn resource_of(&self, workload: Option<&Workload>) -> Vec<Value> {
        let mut all = self.resource.clone();
        all.extend(workload.into_iter().flat_map(resource::attributes));
        all.into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
    }

    /// One record.
    ///
    /// # Errors
    /// If it cannot be written as text.
    pub(super) fn record(&self, verdict: &Verdict) -> serde_json::Result<Record> {
        let record = to_raw_value(&self.log_record(verdict))?;
        Ok(Record { workload: verdict.details.workload.clone(), record })
    }

    /// A `LogRecord`.
    fn log_record(&self, verdict: &Verdict) -> Value {
        let nanos = |at| (i128::from(self.clock.unix_us(at)) * 1_000).to_string();
        let (number, severity) = if verdict.recovered { WARN } else { ERROR };
        json!({
            "timeUnixNano": nanos(verdict.at),
            "observedTimeUnixNano": nanos(verdict.at),
            "severityNumber": number,
            "severityText": severity,
            "eventName": EVENT,
            "body": text(&verdict.summary),
            "attributes": attributes(verdict),
        })
    }
}

pub(super) fn text(value: &str) -> Value {
    json!({"stringValue": value})
}

pub(super) fn texts<'a>(values: impl Iterator<Item = &'a str>) -> Value {
    json!({"arrayValue": {"values": values.map(text).collect::<Vec<_>>()}})
}

fn number(value: impl Into<i64>) -> Value {
    json!({"intValue": value.into().to_string()})
}

#[derive(Default)]
struct Attributes(Vec<Value>);

impl Attributes {
    fn add(&mut self, key: &str, value: Value) {
        let key = ("key".to_owned(), key.into());
        self.0.push(Value::Object([key, ("value".to_owned(), value)].into_iter().collect()));
    }

    fn add_text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.add(key, text(value));
        }
    }
}

fn attributes(verdict: &Verdict) -> Vec<Value> {
    let mut all = Attributes::default();
    all.add("error.type", text(verdict.cause));
    network(verdict, &mut all);
    if let Some(status) = verdict.status {
        all.add("http.response.status_code", number(status));
    }
    if let Some(line) = &verdict.log {
        request(line, &mut all);
    }
    all.add("process.pid", number(verdict.worker));
    own(verdict, &mut all);
    all.0
}

fn network(verdict: &Verdict, all: &mut Attributes) {
    let transport = match verdict.transport {
        Transport::Tcp => "tcp",
        Transport::Unix => "unix",
        Transport::Udp => "udp",
    };
    all.add("network.transport", text(transport));
    match &verdict.upstream {
        Some(Upstream::Tcp(address)) => {
            let (ip, port) = (address.ip().to_string(), address.port());
            for (key, value) in [("server.address", text(&ip)), ("network.peer.address", text(&ip))] {
                all.add(key, value);
            }
            for key in ["server.port", "network.peer.port"] {
                all.add(key, number(port));
            }
        }
        Some(Upstream::Unix(path)) => {
            all.add("server.address", text(path));
            all.add("network.peer.address", text(path));
        }
        None => all.add_text("server.address", verdict.name.as_deref()),
    }
    if let Some((ip, port)) = verdict.local.as_deref().and_then(|local| local.rsplit_once(':')) {
        all.add("network.local.address", text(ip.trim_matches(['[', ']'])));
        if let Ok(port) = port.parse::<u16>() {
            all.add("network.local.port", number(port));
        }
    }
}

fn request(line: &LogLine, all: &mut Attributes) {
    all.add_text("client.address", line.client.as_deref());
    let mut words = line.request.as_deref().unwrap_or_default().split(' ');
    all.add_text("http.request.method", words.next());
    all.add_text("url.path", words.next().and_then(|target| target.split('?').next()));
    all.add_text("upstream_trace.log", Some(&line.message));
}

/// What the conventions have no name for.
fn own(verdict: &Verdict, all: &mut Attributes) {
    let word = |value: Value| value.as_str().map(str::to_owned);
    let confidence = word(json!(verdict.confidence));
    let phase = word(json!(verdict.phase));
    all.add_text("upstream_trace.confidence", confidence.as_deref());
    all.add_text("upstream_trace.phase", phase.as_deref());
    all.add_text("upstream_trace.category", verdict.category);
    all.add_text("upstream_trace.fix", Some(&verdict.fix));
    if let [only] = verdict.details.names.as_slice() {
        all.add_text("upstream_trace.upstream", Some(&only.group));
    }
    if !verdict.alternatives.is_empty() {
        all.add("upstream_trace.alternatives", texts(verdict.alternatives.iter().copied()));
    }
    all.add("upstream_trace.recovered", json!({"boolValue": verdict.recovered}));
    all.add("upstream_trace.reused", json!({"boolValue": verdict.reused}));
    let took = verdict.at.saturating_sub(verdict.since) as f64 / 1e9;
    all.add("upstream_trace.duration", json!({"doubleValue": took}));
    if let Some(errno) = verdict.errno {
        all.add("upstream_trace.errno", number(errno));
    }
}
