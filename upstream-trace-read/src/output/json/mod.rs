//! Output for programs: one object a line.

use std::borrow::Cow;
use std::io::Write;

use serde::Serialize;
use upstream_trace_core::event::Host;
use upstream_trace_core::json::{self, Clock, Numbers, Scope};
use upstream_trace_core::verdict::{Output, Summary};

use super::escape::escape_json;
use super::layout::TextLayout;
use super::pipe::Pipe;
use super::{Accounts, Extra, HookCost, Look, Sink, SinkState, host_label};

/// Writes JSON, one object a line, flushed at once.
#[derive(Debug)]
pub struct Json<W, E> {
    results: Pipe<W>,
    status: Pipe<E>,
    page: TextLayout,
    clock: Clock,
    numbers: Numbers,
    /// The line that is being written.
    line: Vec<u8>,
    /// Every object names its host.
    several: bool,
    /// File of the recording, if there is one.
    file: String,
    /// Name of its host.
    host: Option<String>,
}

impl<W: Write, E: Write> Json<W, E> {
    /// Objects go to the first writer, status to the second.
    pub fn new(results: W, status: E, look: Look) -> Self {
        let page = TextLayout { width: look.width, colour: look.status_colour };
        let (results, status) = (Pipe::new(results), Pipe::new(status));
        Self {
            results,
            status,
            page,
            clock: Clock::default(),
            numbers: Numbers::default(),
            line: Vec::new(),
            several: false,
            file: String::new(),
            host: None,
        }
    }

    /// Every object names its host, if there are several recordings.
    #[must_use]
    pub fn several(mut self, several: bool) -> Self {
        self.several = several;
        self
    }

    /// Writes one object as one line.
    fn print(results: &mut Pipe<W>, status: &mut Pipe<E>, line: &mut Vec<u8>, object: &impl Serialize) {
        line.clear();
        // Objects hold nothing that cannot be written, and memory does not refuse it.
        if json::write(&mut *line, object).is_err() {
            return;
        }
        // JSON leaves characters above U+007E as they are; a terminal may obey some of them.
        let object = line.strip_suffix(b"\n").unwrap_or(line);
        let error = match std::str::from_utf8(object).map(escape_json) {
            Ok(Cow::Owned(escaped)) => results.write_bytes(format!("{escaped}\n").as_bytes()),
            _ => results.write_bytes(line),
        };
        if let Some(error) = error {
            status.write(&error);
        }
    }
}

impl<W: Write, E: Write> Sink for Json<W, E> {
    fn begin_recording(&mut self, file: &str) {
        file.clone_into(&mut self.file);
        self.numbers = Numbers::default();
    }

    fn start(&mut self, host: &Host) {
        self.clock = Clock::new(host);
        self.status.write(&self.page.watching(host));
        self.host = self.several.then(|| host_label(host, &self.file));
        let scope = Scope { clock: self.clock, host: self.host.as_deref() };
        Self::print(&mut self.results, &mut self.status, &mut self.line, &json::start(host, scope));
    }

    fn clock(&mut self, host: &Host) {
        self.clock = Clock::new(host);
    }

    fn output(&mut self, output: &Output) {
        let Self { results, status, line, numbers, .. } = self;
        let scope = Scope { clock: self.clock, host: self.host.as_deref() };
        match output {
            Output::Pending(verdict) => {
                Self::print(results, status, line, &json::pending(verdict, scope, numbers));
            }
            Output::Failure(verdict) => {
                Self::print(results, status, line, &json::failure(verdict, scope, numbers));
            }
            Output::Resolved(resolved) => {
                Self::print(results, status, line, &json::resolved(resolved, scope, numbers));
            }
            Output::Lost(lost) => Self::print(results, status, line, &json::lost(lost, scope)),
            Output::Note(note) => Self::print(results, status, line, &json::note(note, scope)),
        }
    }

    fn summary(&mut self, numbers: &Summary, extra: &Extra) {
        let scope = Scope { clock: self.clock, host: self.host.as_deref() };
        let cost = extra.cost.as_ref();
        let object = json::Summary {
            accounts: extra.accounts.as_ref().map(accounts),
            deep_ms: cost.map(|cost| cost.deep_ms),
            overhead: cost.map(|cost| cost.overhead.iter().map(hook_cost).collect()),
            rss_bytes: cost.map(|cost| cost.rss_bytes),
            startup_ms: cost.map(|cost| cost.startup_ms),
            ..json::summary(numbers, scope)
        };
        Self::print(&mut self.results, &mut self.status, &mut self.line, &object);
    }

    fn state(&self) -> SinkState {
        self.results.state()
    }
}

fn hook_cost(cost: &HookCost) -> json::HookCost<'_> {
    json::HookCost { mean_ns: cost.mean_ns, name: &cost.name, per_second: cost.per_second, runs: cost.runs }
}

fn accounts(found: &Accounts) -> json::Accounts {
    json::Accounts {
        aborted: found.aborted,
        adopted: found.adopted,
        attempts: found.attempts,
        healthy: found.healthy,
        live: found.live,
        lost_buffer: found.lost_buffer,
        lost_table: found.lost_table,
        missing: found.missing,
        reported: found.reported,
        vanished: found.vanished,
    }
}

#[cfg(test)]
mod tests;
