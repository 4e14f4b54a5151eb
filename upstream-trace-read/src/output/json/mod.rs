//! Output for programs: one object a line.

use std::io::Write;

use serde_json::{Value, json};
use upstream_trace_core::event::Host;
use upstream_trace_core::json::{self, Clock, Numbers};
use upstream_trace_core::verdict::{Output, Summary};

use super::escape::escape_json;
use super::layout::TextLayout;
use super::pipe::Pipe;
use super::{Extra, Look, Sink, SinkState, host_label};

/// Version of the objects; fields are only ever added to it.
const SCHEMA: u32 = 1;

/// Writes JSON, one object a line, flushed at once.
#[derive(Debug)]
pub struct Json<W, E> {
    results: Pipe<W>,
    status: Pipe<E>,
    page: TextLayout,
    clock: Clock,
    numbers: Numbers,
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

    fn print(&mut self, mut object: Value) {
        if let Some(host) = &self.host {
            object["host"] = host.as_str().into();
        }
        if let Some(error) = self.results.write(&format!("{}\n", escape_json(&object.to_string()))) {
            self.status.write(&error);
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
        self.print(start(self.clock, host));
    }

    fn output(&mut self, output: &Output) {
        let (clock, numbers) = (self.clock, &mut self.numbers);
        let object = match output {
            Output::Pending(verdict) => json::pending(verdict, &clock, numbers),
            Output::Failure(verdict) => json::failure(verdict, &clock, numbers),
            Output::Resolved(resolved) => json::resolved(resolved, &clock, numbers),
            Output::Lost(lost) => json::lost(lost, &clock),
            Output::Note(note) => json::note(note, &clock),
        };
        self.print(object);
    }

    fn summary(&mut self, numbers: &Summary, extra: &Extra) {
        let mut object = json::summary(numbers, &self.clock);
        if let Some(cost) = &extra.cost {
            object["overhead"] = json!(cost.overhead);
            object["startup_ms"] = json!(cost.startup_ms);
            object["rss_bytes"] = json!(cost.rss_bytes);
        }
        if let Some(accounts) = &extra.accounts {
            object["accounts"] = json!(accounts);
        }
        self.print(object);
    }

    fn state(&self) -> SinkState {
        self.results.state()
    }
}

fn start(clock: Clock, host: &Host) -> Value {
    json!({
        "type": "start",
        "schema": SCHEMA,
        "time": clock.iso(host.at),
        "version": host.version,
        "hostname": host.hostname,
        "kernel": host.kernel,
        "nginx": host.nginx,
        "hooks": host.hooks,
        "master": host.masters.first(),
        "masters": host.masters,
        "workers": host.workers,
    })
}

#[cfg(test)]
mod tests;
