//! Entries of the systemd journal, by its native protocol: fields that `journalctl` can select by.
//!
//! A storm of the same failure is one entry and then counts, as on a terminal.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use upstream_trace_core::event::{Host, LossPlace, Nanos, Upstream};
use upstream_trace_core::json::{self, Clock, Numbers, Scope};
use upstream_trace_core::verdict::{Output, Summary, Verdict};
use upstream_trace_read::output::{Extra, RateLimiter, Sink, Suppressed};

use super::handoff::{Handoff, Intake};

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Entries that may wait: a few megabytes.
const WAITING: usize = 1_024;
/// Longest value: the whole entry has to fit a datagram.
const MAX_VALUE: usize = 48 << 10;
/// For journald to take an entry: it may be restarting.
const PATIENCE: Duration = Duration::from_secs(5);
/// For what is left at the end.
const END: Duration = Duration::from_millis(500);

/// Severities of syslog.
const ERR: u8 = 3;
const WARNING: u8 = 4;
const NOTICE: u8 = 5;
const INFO: u8 = 6;

/// `MESSAGE_ID` of each kind of entry; these never change.
const STARTED: &str = "0ad34bea755c496090ca66f3a3b74c6f";
const FAILURE: &str = "f0bede6daed047e4ba97e7fba2c2c15d";
const PENDING: &str = "795c6fcf321c44b9a8a7c8d560725923";
const RESOLVED: &str = "fea0ce9b95294ffdaf9d70ff129a22a1";
const LOST: &str = "dd0d0fe34dbe463d85705375bbf75246";
const NOTE: &str = "de06801193044d99b044e8ef985b2497";
const REPEATED: &str = "a307cd1038b74d1d82b565202ff0dd3e";
const SUMMARY: &str = "fe7866bdd9524b6584593c8835ab5487";

/// What failures of a storm have in common.
type Key = (&'static str, Option<Upstream>);

enum Message {
    Start(Box<Host>),
    Output(Box<Output>),
    Repeated(Suppressed<Key>),
    Summary(Box<Summary>),
}

/// The sink.
pub struct Journal {
    queue: Handoff<Message>,
    storms: RateLimiter<Key>,
}

/// Whether stdout is the journal: systemd says which file that is.
#[must_use]
pub fn is_stdout() -> bool {
    let said = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let Ok(found) = std::fs::metadata("/proc/self/fd/1") else { return false };
    said == format!("{}:{}", found.dev(), found.ino())
}

impl Journal {
    /// Begins to write. `on_start` runs first on the thread.
    ///
    /// # Errors
    /// If journald does not listen.
    pub fn open(on_start: fn()) -> Result<Self> {
        Self::to(Path::new(SOCKET), on_start)
    }

    fn to(path: &Path, on_start: fn()) -> Result<Self> {
        let cannot = || format!("cannot write to the journal at {}", path.display());
        let socket = UnixDatagram::unbound().with_context(cannot)?;
        socket.connect(path).with_context(cannot)?;
        socket.set_write_timeout(Some(PATIENCE)).with_context(cannot)?;
        let path = path.to_owned();
        let run = move |intake: Intake<Message>| {
            on_start();
            Writer { socket, path, clock: Clock::default(), numbers: Numbers::default(), failing: false }
                .run(&intake);
        };
        Ok(Self { queue: Handoff::start("journal", WAITING, run)?, storms: RateLimiter::default() })
    }

    fn repeated(&self, all: Vec<Suppressed<Key>>) {
        for one in all {
            self.queue.push(Message::Repeated(one));
        }
    }
}

impl Sink for Journal {
    fn start(&mut self, host: &Host) {
        self.queue.push(Message::Start(Box::new(host.clone())));
    }

    fn output(&mut self, output: &Output) {
        if let Output::Failure(verdict) = output {
            let key = (verdict.cause, verdict.upstream.clone());
            if !self.storms.first(key, verdict.at, 1, u64::from(verdict.recovered)) {
                return;
            }
        }
        self.queue.push(Message::Output(Box::new(output.clone())));
    }

    fn tick(&mut self, now: Nanos) {
        let due = self.storms.due(now);
        self.repeated(due);
    }

    fn lost(&self, to: &mut Vec<(LossPlace, u64)>) {
        to.push((LossPlace::Journal, self.queue.lost()));
    }

    fn summary(&mut self, summary: &Summary, _extra: &Extra) {
        let rest = self.storms.rest(Nanos::MAX);
        self.repeated(rest);
        self.queue.push(Message::Summary(Box::new(summary.clone())));
    }

    fn finish(&mut self) -> Result<()> {
        let left = self.queue.finish(END);
        if left > 0 {
            log::warn!("{left} entries could not be written to the journal before the end");
        }
        Ok(())
    }
}

/// What runs on the thread.
struct Writer {
    socket: UnixDatagram,
    path: PathBuf,
    clock: Clock,
    numbers: Numbers,
    /// The last entry could not be written, and that was said.
    failing: bool,
}

impl Writer {
    fn run(mut self, intake: &Intake<Message>) {
        while let Some(message) = intake.next() {
            let entry = self.entry(&message);
            match self.send(&entry.0) {
                Ok(()) => {
                    self.failing = false;
                    intake.delivered(1);
                }
                Err(error) => {
                    intake.lose(1);
                    if !std::mem::replace(&mut self.failing, true) {
                        log::warn!(
                            "cannot write to the journal: {error}; tracing goes on, and what is lost is counted"
                        );
                    }
                }
            }
        }
    }

    /// journald may have been restarted: its socket is another one then.
    fn send(&self, entry: &[u8]) -> std::io::Result<()> {
        match self.socket.send(entry) {
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotConnected) => {
                self.socket.connect(&self.path)?;
                self.socket.send(entry).map(drop)
            }
            sent => sent.map(drop),
        }
    }

    fn entry(&mut self, message: &Message) -> Entry {
        if let Message::Start(host) = message {
            self.clock = Clock::new(host);
        }
        let scope = Scope { clock: self.clock, host: None };
        match message {
            Message::Start(host) => {
                let nginx = host.nginx.join(", ");
                let workers = host.workers.len();
                Entry::new(STARTED, INFO, &format!("tracing {workers} workers of {nginx}"))
                    .json(&json::start(host, scope))
            }
            Message::Output(output) => self.of_output(output, scope),
            Message::Repeated(Suppressed { key: (cause, upstream), count, recovered, .. }) => {
                let place = upstream.as_ref().map(Upstream::to_string).unwrap_or_default();
                let priority = if recovered == count { WARNING } else { ERR };
                Entry::new(REPEATED, priority, &format!("{count} more: {cause} at {place}"))
                    .field("UPSTREAM_TRACE_CAUSE", cause)
                    .field("UPSTREAM_TRACE_SERVER", &place)
                    .field("UPSTREAM_TRACE_COUNT", &count.to_string())
                    .field("UPSTREAM_TRACE_RECOVERED_COUNT", &recovered.to_string())
            }
            Message::Summary(summary) => {
                let Summary { attempts, failures, recovered, .. } = **summary;
                let text = format!("{attempts} attempts, {failures} failed, {recovered} of them recovered");
                Entry::new(SUMMARY, INFO, &text).json(&json::summary(summary, scope))
            }
        }
    }

    fn of_output(&mut self, output: &Output, scope: Scope<'_>) -> Entry {
        match output {
            Output::Failure(verdict) => {
                let priority = if verdict.recovered { WARNING } else { ERR };
                judged(verdict, FAILURE, priority).json(&json::failure(verdict, scope, &mut self.numbers))
            }
            Output::Pending(verdict) => {
                judged(verdict, PENDING, WARNING).json(&json::pending(verdict, scope, &mut self.numbers))
            }
            Output::Resolved(resolved) => {
                let place = resolved.upstream.as_ref().map(Upstream::to_string).unwrap_or_default();
                Entry::new(RESOLVED, INFO, &format!("no longer pending at {place}: {}", resolved.how))
                    .field("UPSTREAM_TRACE_SERVER", &place)
                    .json(&json::resolved(resolved, scope, &mut self.numbers))
            }
            Output::Lost(lost) => {
                Entry::new(LOST, WARNING, &format!("{} events lost: {}", lost.count, lost.place))
                    .json(&json::lost(lost, scope))
            }
            Output::Note(note) => Entry::new(NOTE, NOTICE, &note.text).json(&json::note(note, scope)),
        }
    }
}

fn judged(verdict: &Verdict, kind: &str, priority: u8) -> Entry {
    let place = verdict.upstream.as_ref().map(Upstream::to_string).unwrap_or_default();
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut entry = Entry::new(kind, priority, &verdict.summary)
        .field("UPSTREAM_TRACE_CAUSE", verdict.cause)
        .field("UPSTREAM_TRACE_SERVER", &place)
        .field("UPSTREAM_TRACE_CONFIDENCE", &word(serde_json::json!(verdict.confidence)))
        .field("UPSTREAM_TRACE_PHASE", &word(serde_json::json!(verdict.phase)))
        .field("UPSTREAM_TRACE_RECOVERED", if verdict.recovered { "true" } else { "false" })
        .field("UPSTREAM_TRACE_FIX", &verdict.fix)
        .field("OBJECT_PID", &verdict.worker.to_string());
    if let [only] = verdict.details.names.as_slice() {
        entry = entry.field("UPSTREAM_TRACE_UPSTREAM", &only.group);
    }
    match verdict.errno {
        Some(errno) => entry.field("ERRNO", &errno.to_string()),
        None => entry,
    }
}

/// An entry as it goes over the socket.
struct Entry(Vec<u8>);

impl Entry {
    fn new(kind: &str, priority: u8, message: &str) -> Self {
        Self(Vec::new())
            .field("MESSAGE", message)
            .field("MESSAGE_ID", kind)
            .field("PRIORITY", &priority.to_string())
            .field("SYSLOG_IDENTIFIER", "upstream-trace")
    }

    /// The object as `--json` has it.
    fn json(self, object: &impl Serialize) -> Self {
        let mut line = Vec::new();
        // Memory does not refuse it.
        let _written = json::write(&mut line, object);
        let line = String::from_utf8_lossy(&line);
        // Half an object helps nobody.
        if line.len() > MAX_VALUE { self } else { self.field("UPSTREAM_TRACE_JSON", line.trim_end()) }
    }

    /// A value of one line as `NAME=value`; another with its length before it.
    fn field(mut self, name: &str, value: &str) -> Self {
        if value.is_empty() {
            return self;
        }
        let value = &value.as_bytes()[..value.floor_char_boundary(MAX_VALUE)];
        self.0.extend(name.as_bytes());
        if value.contains(&b'\n') {
            self.0.push(b'\n');
            self.0.extend((value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend(value);
        self.0.push(b'\n');
        self
    }
}

#[cfg(test)]
mod tests;
