//! What becomes of an event: the engine judges it, the recorder keeps it, the sinks print what the engine says.

use std::time::Duration;

use anyhow::Result;
use upstream_trace_core::engine::Engine;
use upstream_trace_core::event::{Event, Host, LossPlace, Nanos};
use upstream_trace_core::verdict::{Note, Output, Summary};
use upstream_trace_read::output::progress::{self, Progress};
use upstream_trace_read::output::{Extra, HookCost, Sink, SinkState, Sinks, Vitals, stream};
use upstream_trace_read::recording::{End, Recording, Redactor};

/// The engine, and all that its results go to.
pub(super) struct Pipeline {
    engine: Engine,
    recorder: Option<Recording>,
    /// Takes out who asked for what, before the engine, the recording and the output see it.
    redactor: Option<Redactor>,
    sinks: Sinks,
    /// Shown while recording, on a terminal.
    progress: Option<Progress>,
    failures: u64,
}

impl Pipeline {
    pub(super) fn new(
        recorder: Option<Recording>,
        redactor: Option<Redactor>,
        sinks: Sinks,
        progress: Option<Progress>,
    ) -> Self {
        Self { engine: Engine::new(), recorder, redactor, sinks, progress, failures: 0 }
    }

    /// Says what is watched. Comes first.
    pub(super) fn start(&mut self, host: Host) {
        let event = self.redacted(Event::Host(host));
        if let Event::Host(host) = &event {
            self.sinks.start(host);
        }
        self.take(event);
    }

    /// Gives an event to the engine, and what it says to the sinks.
    pub(super) fn feed(&mut self, event: Event) {
        let event = self.redacted(event);
        if let Event::Host(host) = &event {
            self.sinks.clock(host);
        }
        self.take(event);
    }

    /// Says something about the trace itself.
    pub(super) fn note(&mut self, Note { at, text }: Note) {
        let text = self.redactor.as_mut().map(|redactor| redactor.note(&text)).unwrap_or(text);
        self.print(&[Output::Note(Note { at, text })]);
    }

    fn redacted(&mut self, mut event: Event) -> Event {
        if let Some(redactor) = &mut self.redactor {
            redactor.event(&mut event);
        }
        event
    }

    fn take(&mut self, event: Event) {
        // Whether an event led to anything is asked of ticks alone.
        let tick = if let Event::Tick { at } = event { Some(Event::Tick { at }) } else { None };
        if let Some(recorder) = self.recorder.as_mut().filter(|_| tick.is_none()) {
            recorder.record(&event, true);
        }
        self.sinks.event(&event);
        let outputs = self.engine.on(event);
        if let Some((recorder, tick)) = self.recorder.as_mut().zip(tick) {
            recorder.record(&tick, !outputs.is_empty());
        }
        self.print(&outputs);
    }

    /// Lets the sinks say what they held back.
    pub(super) fn tick(&mut self, now: Nanos) {
        self.sinks.tick(now);
    }

    /// Tells the sinks how the trace is doing.
    pub(super) fn vitals(&mut self, hooks: Vec<HookCost>, cpu: Duration, rss_bytes: u64) {
        self.sinks.vitals(&Vitals { log_lines: self.engine.log_lines(), hooks, cpu, rss_bytes });
    }

    /// Says how the recording goes; `attempts` if the numbers are to be new.
    pub(super) fn show_progress(&self, now: Nanos, attempts: Option<u64>) {
        match (attempts, &self.progress, &self.recorder) {
            (Some(attempts), Some(progress), Some(recorder)) => {
                progress.show(now, attempts, recorder.written());
            }
            _ => progress::show_again(),
        }
    }

    /// Lets the engine go of what it holds; the numbers.
    pub(super) fn end(&mut self, now: Nanos) -> Summary {
        let outputs = self.engine.finish();
        self.print(&outputs);
        self.engine.summary(now)
    }

    /// Ends the recording. Waits for the disk, unless that hangs.
    pub(super) fn end_recording(&mut self, end: End) {
        if let Some(recorder) = self.recorder.take() {
            recorder.finish(end);
        }
    }

    /// Gives the numbers to the sinks, and ends them. Comes last.
    ///
    /// # Errors
    /// If a sink cannot write what it kept to the end.
    pub(super) fn summary(&mut self, summary: &Summary, extra: &Extra) -> Result<()> {
        self.sinks.summary(summary, extra);
        self.sinks.finish()
    }

    /// What sinks could not pass on so far.
    pub(super) fn lost(&self) -> Vec<(LossPlace, u64)> {
        let mut lost = Vec::new();
        self.sinks.lost(&mut lost);
        lost
    }

    /// Nobody reads the results any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sinks.state() != SinkState::Open || stream::is_closed()
    }

    /// Results could not be written.
    pub(super) fn has_failed(&self) -> bool {
        self.sinks.state() == SinkState::Failed
    }

    /// Failures that were told.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    fn print(&mut self, outputs: &[Output]) {
        for output in outputs {
            self.failures += u64::from(matches!(output, Output::Failure(_)));
            self.sinks.output(output);
            if let Some(progress) = &mut self.progress {
                progress.count(output);
            }
        }
    }
}
