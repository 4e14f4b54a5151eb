//! Whose logs are read, and what there is to say about that.

use upstream_trace_core::event::{Event, LogFollowed, Nanos};

use super::judge::Level;
use super::tell::Why;
use super::{ErrorLog, LogOutput, Logs};

impl Logs {
    /// Says whose logs are read, where that is new.
    pub(super) fn tell(&mut self, workers: &[u32], now: Nanos, say: &mut dyn FnMut(LogOutput)) {
        let mut without = Vec::new();
        for worker in workers {
            let Some(state) = self.state(*worker) else { continue };
            if self.told.insert(*worker, state) == Some(state) {
                continue;
            }
            let (followed, level) = state;
            let level = level.map(|level| level.name().to_owned());
            let event = LogFollowed { at: now, worker: *worker, followed, level };
            say(LogOutput::Event(Box::new(Event::LogFollowed(event))));
            if !followed {
                without.extend(self.why(*worker).map(|why| (*worker, why)));
            }
        }
        for note in self.notes.without_log(without) {
            say(LogOutput::Note(note));
        }
        self.tell_of_files(say);
    }

    /// Whether a log of each of these workers is read, as far as is known.
    #[must_use]
    pub fn tells_of(&self, workers: &[u32]) -> bool {
        self.source != ErrorLog::None
            && workers.iter().all(|worker| self.state(*worker).is_none_or(|(followed, _)| followed))
    }

    /// Whether a log of this worker is read, and its level if known to let errors pass; `None` if not known yet.
    fn state(&self, worker: u32) -> Option<(bool, Option<Level>)> {
        let held = self.processes.get(worker)?;
        let tails: Vec<_> = match self.source {
            ErrorLog::File(_) => self.files.iter().collect(),
            _ if !held.known => return None,
            _ => held.files.iter().filter_map(|open| self.files.get(open.id)).collect(),
        };
        // A line that is missing says nothing if it may be in a file that cannot be read now.
        let hangs = held.hanging.is_some() || tails.iter().any(|tail| self.watchdog.hangs(tail.mount));
        let level = tails.iter().filter_map(|tail| tail.level).filter(|level| level.lets_errors_pass()).min();
        Some((!tails.is_empty() && !hangs, level))
    }

    fn why(&self, worker: u32) -> Option<Why> {
        let held = self.processes.get(worker).filter(|held| held.known)?;
        let unreadable = held.files.iter().find_map(|open| self.unreadable.get_key_value(&*open.name));
        Some(Why::of(held, unreadable.map(|(file, error)| (file.as_str(), error.as_str()))))
    }

    fn tell_of_files(&mut self, say: &mut dyn FnMut(LogOutput)) {
        let asked_for = matches!(self.source, ErrorLog::File(_));
        for tail in self.files.iter() {
            let name = &tail.name;
            if tail.left_out > 0 && self.notes.is_new(format!("left out {name}")) {
                say(LogOutput::Note(format!("{name} grows faster than it can be read: lines are left out.")));
            }
            let strange = asked_for && tail.level.is_none() && tail.position() > 0;
            if strange && self.notes.is_new(format!("strange {name}")) {
                say(LogOutput::Note(format!("{name} does not look like an error.log of nginx.")));
            }
        }
    }
}
