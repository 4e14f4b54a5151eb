//! What a sink is, and several sinks as one.

use anyhow::Result;
use upstream_trace_core::event::{Event, Host, LossPlace, Nanos};
use upstream_trace_core::verdict::{Output, Summary};

use super::{Extra, Vitals};

/// Where results go: a file, a stream, a page. A new one is a type with this trait and a line in
/// [`sinks`](crate::sinks).
///
/// A live trace calls `start`, then `output` and `tick` in any order, then `summary` and `finish`. A report does the
/// same for each recording, between `begin_recording` and `end_recording`, with `finish` after the last one.
pub trait Sink {
    /// What follows is replayed from the recording in this file; the name has no folder.
    fn begin_recording(&mut self, _file: &str) {}

    /// Says what is being watched. Times are told by the clock of this host.
    fn start(&mut self, host: &Host);

    /// The host once more, with both of its clocks: from here on times are told by these.
    fn clock(&mut self, _host: &Host) {}

    /// What the engine is given next.
    fn event(&mut self, _event: &Event) {}

    /// Says what the engine found.
    fn output(&mut self, output: &Output);

    /// Says what was held back, if it is time. To be called a few times a second; nanoseconds, monotonic.
    fn tick(&mut self, _now: Nanos) {}

    /// Of a live trace: how it is doing.
    fn vitals(&mut self, _vitals: &Vitals) {}

    /// Says the numbers at the end of a trace or a recording.
    fn summary(&mut self, summary: &Summary, extra: &Extra);

    /// The recording is over; what is wrong with it.
    fn end_recording(&mut self, _warnings: &[String]) {}

    /// Writes what needs everything that came before. Comes last.
    ///
    /// # Errors
    /// If it cannot be written.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    /// What it could not pass on so far, by place.
    fn lost(&self, _to: &mut Vec<(LossPlace, u64)>) {}

    /// Whether more is wanted.
    fn state(&self) -> SinkState {
        SinkState::Open
    }
}

/// Whether a sink takes more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SinkState {
    /// It does.
    #[default]
    Open,
    /// Its reader has gone away: the program may end, and that is no error.
    Closed,
    /// It could not write although somebody may want to read it: the disk is full, say.
    Failed,
}

/// Several sinks that all get everything, in their order. One that is closed or failed closes all of them.
#[derive(Default)]
pub struct Sinks(Vec<Box<dyn Sink>>);

impl Sinks {
    /// One more, after the others.
    pub fn push(&mut self, sink: impl Sink + 'static) {
        self.0.push(Box::new(sink));
    }
}

impl Sink for Sinks {
    fn begin_recording(&mut self, file: &str) {
        self.0.iter_mut().for_each(|sink| sink.begin_recording(file));
    }

    fn start(&mut self, host: &Host) {
        self.0.iter_mut().for_each(|sink| sink.start(host));
    }

    fn clock(&mut self, host: &Host) {
        self.0.iter_mut().for_each(|sink| sink.clock(host));
    }

    fn event(&mut self, event: &Event) {
        self.0.iter_mut().for_each(|sink| sink.event(event));
    }

    fn output(&mut self, output: &Output) {
        self.0.iter_mut().for_each(|sink| sink.output(output));
    }

    fn tick(&mut self, now: Nanos) {
        self.0.iter_mut().for_each(|sink| sink.tick(now));
    }

    fn vitals(&mut self, vitals: &Vitals) {
        self.0.iter_mut().for_each(|sink| sink.vitals(vitals));
    }

    fn summary(&mut self, summary: &Summary, extra: &Extra) {
        self.0.iter_mut().for_each(|sink| sink.summary(summary, extra));
    }

    fn end_recording(&mut self, warnings: &[String]) {
        self.0.iter_mut().for_each(|sink| sink.end_recording(warnings));
    }

    /// All of them finish; the first error is returned.
    fn finish(&mut self) -> Result<()> {
        self.0.iter_mut().map(|sink| sink.finish()).fold(Ok(()), Result::and)
    }

    fn lost(&self, to: &mut Vec<(LossPlace, u64)>) {
        self.0.iter().for_each(|sink| sink.lost(to));
    }

    fn state(&self) -> SinkState {
        self.0.iter().map(|sink| sink.state()).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use anyhow::bail;

    use super::*;

    /// Notes its calls; is in that state.
    struct Fake(Rc<RefCell<Vec<String>>>, &'static str, SinkState);

    impl Fake {
        fn note(&self, call: &str) {
            self.0.borrow_mut().push(format!("{} {call}", self.1));
        }
    }

    impl Sink for Fake {
        fn begin_recording(&mut self, file: &str) {
            self.note(file);
        }

        fn start(&mut self, _host: &Host) {
            self.note("start");
        }

        fn event(&mut self, _event: &Event) {
            self.note("event");
        }

        fn output(&mut self, _output: &Output) {
            self.note("output");
        }

        fn tick(&mut self, _now: Nanos) {
            self.note("tick");
        }

        fn vitals(&mut self, _vitals: &Vitals) {
            self.note("vitals");
        }

        fn summary(&mut self, _summary: &Summary, _extra: &Extra) {
            self.note("summary");
        }

        fn end_recording(&mut self, warnings: &[String]) {
            self.note(&warnings[0]);
        }

        fn finish(&mut self) -> Result<()> {
            self.note("finish");
            bail!("{} cannot", self.1)
        }

        fn state(&self) -> SinkState {
            self.2
        }
    }

    #[test]
    fn every_sink_gets_everything() {
        let calls = Rc::default();
        let mut sinks = Sinks::default();
        assert_eq!(sinks.state(), SinkState::Open);
        sinks.push(Fake(Rc::clone(&calls), "a", SinkState::Open));
        sinks.push(Fake(Rc::clone(&calls), "b", SinkState::Closed));
        sinks.begin_recording("file");
        sinks.start(&Host::default());
        sinks.event(&Event::Tick { at: 1 });
        sinks.output(&Output::Lost(upstream_trace_core::event::Lost {
            at: 1,
            count: 1,
            place: String::new(),
            since: 0,
            upstream: None,
        }));
        sinks.tick(1);
        sinks.vitals(&Vitals::default());
        sinks.summary(&Summary::default(), &Extra::default());
        sinks.end_recording(&["warning".to_owned()]);
        assert_eq!(sinks.finish().unwrap_err().to_string(), "a cannot");
        let expected: Vec<_> =
            ["file", "start", "event", "output", "tick", "vitals", "summary", "warning", "finish"]
                .iter()
                .flat_map(|call| [format!("a {call}"), format!("b {call}")])
                .collect();
        assert_eq!(*calls.borrow(), expected);
        assert_eq!(sinks.state(), SinkState::Closed);
        sinks.push(Fake(calls, "c", SinkState::Failed));
        assert_eq!(sinks.state(), SinkState::Failed);
    }
}
