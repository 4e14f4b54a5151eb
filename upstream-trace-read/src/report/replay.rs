//! Gives what was recorded to a new engine, and what that says to whoever listens.

use upstream_trace_core::Engine;
use upstream_trace_core::event::Event;
use upstream_trace_core::verdict::Output;

use crate::output::{Extra, Sink, SinkState};
use crate::recording::{Ending, Reader};

/// Gives the events to a new engine, and what it says to the sink.
pub fn replay(reader: &mut Reader, sink: &mut dyn Sink) {
    let mut engine = Engine::new();
    let mut started = false;
    let say = |sink: &mut dyn Sink, outputs: Vec<Output>| {
        for output in &outputs {
            sink.output(output);
        }
    };
    for event in reader.by_ref() {
        match &event {
            Event::Host(host) if started => sink.clock(host),
            Event::Host(host) => {
                started = true;
                sink.start(host);
            }
            _ => {}
        }
        sink.event(&event);
        // What was said before belongs to the time before.
        sink.tick(event.at());
        say(sink, engine.on(event));
        if sink.state() != SinkState::Open {
            return;
        }
    }
    if !started {
        return;
    }
    say(sink, engine.finish());
    let mut summary = engine.summary(0);
    if let Ending::Complete(end) = reader.ending() {
        summary = engine.summary(end.at);
        if !reader.is_part() {
            summary.attempts = end.attempts;
        }
    }
    sink.summary(&summary, &Extra::default());
}

/// What is wrong with a recording that was read.
#[must_use]
pub fn warnings(reader: &Reader) -> Vec<String> {
    let mut warnings = Vec::new();
    match reader.ending() {
        Ending::Open | Ending::Complete(_) => {}
        Ending::CutOff { line } => warnings.push(format!(
            "the recording is cut off at line {line}; verdicts and numbers cover what comes before"
        )),
        Ending::Damaged { line, why } => warnings.push(format!(
            "the recording is damaged at line {line} ({why}); verdicts and numbers cover what comes before"
        )),
    }
    if let Some(skipped) = reader.skipped() {
        warnings.push(format!(
            "{} events, the first in line {}, are of kinds that this release does not know; use a newer release",
            skipped.count, skipped.line
        ));
    }
    warnings
}
