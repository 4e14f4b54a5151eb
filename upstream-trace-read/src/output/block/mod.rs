//! A verdict as a block of text.

use std::fmt::Write;

use serde_json::{Map, Value};
use upstream_trace_core::errno;
use upstream_trace_core::event::Upstream;
use upstream_trace_core::verdict::{Confidence, Evidence, Phase, Verdict};

use super::about;
use super::clock::Clock;
use super::escape::escape;
use super::layout::{BOLD, CYAN, DIM, GREEN, NBSP, RED, TextLayout, YELLOW, nbsp, nbsp_commands};
use super::number;

/// Which details of evidence come first; the others follow in the order of their names.
const ORDER: [&str; 7] = ["count", "reason", "from", "type", "code", "errno", "hook"];
/// Details that explain themselves without their name.
const BARE: [&str; 5] = ["reason", "family", "by", "state", "name"];

/// What a block is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind<'a> {
    /// An attempt that is not over.
    Pending,
    /// An attempt that failed.
    Failure,
    /// An attempt that failed for the reason that was given at that time, when it was pending; only evidence from
    /// these milliseconds on is news.
    Confirmed { said: &'a str, after_ms: f64 },
}

impl TextLayout {
    /// The whole block, with an empty line at its end.
    pub(super) fn block(self, clock: Clock, verdict: &Verdict, kind: Kind) -> String {
        let mut text = String::new();
        self.head(&mut text, clock, verdict, kind);
        match kind {
            Kind::Confirmed { said, after_ms } => {
                let new = |e: &&Evidence| e.at_ms > after_ms && e.what != "log";
                self.evidence(&mut text, &verdict.evidence.iter().filter(new).collect::<Vec<_>>());
                self.mark(&mut text, "log:", DIM, &log(verdict));
                self.about(&mut text, verdict);
                self.mark(
                    &mut text,
                    "note:",
                    DIM,
                    &format!("{}; pending since {said}", circumstances(verdict)),
                );
            }
            Kind::Pending | Kind::Failure => {
                self.wrap(&mut text, "  ", 2, &nbsp_commands(&escape(&verdict.summary)));
                self.evidence(
                    &mut text,
                    &verdict.evidence.iter().filter(|e| e.what != "log").collect::<Vec<_>>(),
                );
                self.mark(&mut text, "log:", DIM, &log(verdict));
                self.mark(&mut text, "because:", YELLOW, &because(verdict, clock));
                self.about(&mut text, verdict);
                self.mark(&mut text, "note:", DIM, &circumstances(verdict));
                self.mark(&mut text, "other possible causes:", YELLOW, &verdict.alternatives.join(", "));
                self.mark(&mut text, "help:", CYAN, &nbsp_commands(&escape(&verdict.fix)));
            }
        }
        text.push('\n');
        text
    }

    /// Names, other attempts for the same request, the connection.
    fn about(self, text: &mut String, verdict: &Verdict) {
        for (name, what) in about::lines(verdict) {
            self.mark(text, name, DIM, &what);
        }
    }

    fn head(self, text: &mut String, clock: Clock, verdict: &Verdict, kind: Kind) {
        let (severity, style) = match kind {
            Kind::Pending => ("pending", YELLOW),
            _ if verdict.recovered => ("recovered", GREEN),
            _ => ("failure", RED),
        };
        let time = clock.time(verdict.at);
        let mut head = format!("{}  ", self.paint(style, severity));
        let _ = write!(head, "{}  ", self.paint(BOLD, verdict.cause));
        let target = about::named(about::group(&verdict.details), verdict.upstream.as_ref());
        let _ = write!(head, "{target}  {}", confidence(verdict.confidence));
        if kind == Kind::Pending {
            let open = number::duration(verdict.at.saturating_sub(verdict.since));
            let _ = write!(head, "  {}", nbsp(&format!("since {open}")));
        } else if let (Some(status), false) = (verdict.status, verdict.recovered) {
            let _ = write!(head, "  {status}");
        }
        self.wrap(text, &format!("{}  ", self.paint(DIM, &time)), time.len() + 2, &head);
    }

    fn evidence(self, text: &mut String, evidence: &[&Evidence]) {
        let rows: Vec<_> = evidence
            .iter()
            .map(|e| (format!("{:+.3} ms", e.at_ms + 0.0), escape(&e.what), details(&e.details)))
            .collect();
        let times = rows.iter().map(|row| row.0.len()).max().unwrap_or(0);
        let names = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or(0);
        for (time, what, details) in rows {
            let first = format!("  {}  {what:names$}  ", self.paint(DIM, &format!("{time:>times$}")));
            self.wrap(text, &first, 6 + times + names, &details);
        }
    }

    fn mark(self, text: &mut String, mark: &str, style: anstyle::Style, what: &str) {
        if !what.is_empty() {
            self.wrap(text, &format!("  = {} ", self.paint(style, mark)), 5 + mark.len(), what);
        }
    }
}

/// Where to, harmless.
pub(super) fn upstream(upstream: Option<&Upstream>) -> String {
    upstream.map_or_else(
        || "(unknown)".to_owned(),
        |upstream| escape(&upstream.to_string()).replace(' ', "\\x20"),
    )
}

/// How sure, as in JSON.
pub(crate) fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Possible => "possible",
        Confidence::Likely => "likely",
        Confidence::Proven => "proven",
    }
}

/// What nginx wrote of it, and whose request it was.
fn log(verdict: &Verdict) -> String {
    let Some(line) = &verdict.log else { return String::new() };
    let mut text = escape(&line.message).into_owned();
    if let Some(request) = &line.request {
        let _ = write!(text, "; {}", escape(request));
    }
    if let Some(client) = &line.client {
        let _ = write!(text, " from{NBSP}{}", escape(client));
    }
    text
}

/// What ejected the peers, as far as it was seen.
fn because(verdict: &Verdict, clock: Clock) -> String {
    if verdict.details.ejected.is_empty() {
        return verdict.because.join(", ");
    }
    about::ejected(&verdict.details.ejected, clock)
}

pub(crate) fn circumstances(verdict: &Verdict) -> String {
    let phase = match verdict.phase {
        Phase::Resolve => "while resolving the name",
        Phase::Connect => "while connecting",
        Phase::Tls => "in the TLS handshake",
        Phase::Send => "while sending the request",
        Phase::Wait => "while waiting for the response",
        Phase::Receive => "while receiving the answer",
        Phase::Idle => "between requests",
    };
    let mut text = phase.to_owned();
    // Of a failure that only nginx's line tells of, nobody knows how long it took.
    if verdict.at > verdict.since {
        let after = number::duration(verdict.at - verdict.since);
        let _ = write!(text, ", {}", nbsp(&format!("after {after}")));
    }
    let _ = write!(text, ", worker{NBSP}{}", verdict.worker);
    if let Some(local) = &verdict.local {
        let _ = write!(text, ", from{NBSP}{}", escape(local));
    }
    if verdict.reused {
        text += ", reused connection";
    }
    if let Some(errno) = verdict.errno {
        let _ = write!(text, ", {}", nbsp(&errno_name(errno)));
    }
    if verdict.bytes_sent > 0 || verdict.bytes_received > 0 {
        let (sent, received) = (number::count(verdict.bytes_sent), number::count(verdict.bytes_received));
        let _ = write!(text, ", {}", nbsp(&format!("{sent} bytes sent, {received} received")));
    }
    text
}

pub(crate) fn details(details: &Map<String, Value>) -> String {
    let known = ORDER.iter().filter_map(|name| details.get_key_value(*name));
    let others = details.iter().filter(|(name, _)| !ORDER.contains(&name.as_str()));
    let has = |name: &str| details.contains_key(name);
    let said_already = |name: &str| (name == "name" && has("errno")) || (name == "function" && has("by"));
    let shown = known
        .chain(others)
        .filter(|(name, value)| says_something(name, value) && !said_already(name))
        .map(|(name, value)| detail(name, value));
    shown.collect::<Vec<_>>().join("  ")
}

fn says_something(name: &str, value: &Value) -> bool {
    // The number of a namespace tells a person nothing.
    let plain = name != "netns" && !value.is_null() && *value != Value::Bool(false);
    plain && (name != "count" || value.as_u64() != Some(1))
}

fn detail(name: &str, value: &Value) -> String {
    let errno = value.as_i64().and_then(|number| i32::try_from(number).ok());
    let text = match (name, value) {
        ("errno", _) if errno.is_some() => errno.map(errno_name).unwrap_or_default(),
        ("count", Value::Number(count)) => format!("{count} times"),
        (_, Value::Bool(true)) => name.to_owned(),
        (_, Value::Array(several)) => {
            format!("{name} {}", several.iter().map(plain).collect::<Vec<_>>().join(" | "))
        }
        (_, Value::String(text)) if BARE.contains(&name) => text.clone(),
        (_, Value::String(text)) => format!("{name} {text}"),
        _ => format!("{name} {value}"),
    };
    let text = escape(&text);
    // A long text, such as a rule, may be broken.
    if text.len() > 40 { text.into_owned() } else { nbsp(&text) }
}

/// One of several, without the signs of JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            fields.values().filter(|value| !value.is_null()).map(plain).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

fn errno_name(errno: i32) -> String {
    match errno::name(errno) {
        None => format!("errno {errno}"),
        Some(name) => format!("errno {errno} {name}"),
    }
}

#[cfg(test)]
mod tests;
