//! nginx's own words, beside what the kernel says.

use std::mem;

use upstream_trace_core::event::Nanos;
use upstream_trace_core::verdict::{Note, Output};

use super::Live;
use crate::logs::Said;

impl Live {
    /// Takes in what nginx wrote since the last time.
    pub(super) fn read_logs(&mut self, now: Nanos) {
        let mut logs = mem::take(&mut self.logs);
        let watched = self.nginx.watched();
        logs.tick(&watched, now, &mut |said| self.hear(said, now));
        self.logs = logs;
    }

    /// Takes in all that nginx wrote, at the end.
    pub(super) fn finish_logs(&mut self, now: Nanos) {
        let mut logs = mem::take(&mut self.logs);
        let watched = self.nginx.watched();
        logs.finish(&watched, now, &mut |said| self.hear(said, now));
    }

    fn hear(&mut self, said: Said, at: Nanos) {
        match said {
            Said::Event(event) => self.feed(&event),
            Said::Note(text) => self.say(&[Output::Note(Note { at, text })]),
        }
    }
}
