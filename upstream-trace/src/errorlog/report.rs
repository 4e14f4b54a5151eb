//! What is said of the logs: whose are read, and why others are not.

use upstream_trace_core::event::{Event, LogFollowed, Nanos};

use super::notes::Why;
use super::outside::Outside;
use crate::host::container::ContainerLog;

use super::{ErrorLog, LogOutput, Logs};

impl Logs {
    /// Says whose logs are read, where that is new.
    pub(super) fn report(&mut self, workers: &[u32], now: Nanos, say: &mut dyn FnMut(LogOutput)) {
        // With thousands of workers this takes a while.
        let hanging = std::mem::replace(&mut self.hanging, self.watchdog.hanging());
        // Each is taken, whatever the others say.
        let (of_processes, of_files) =
            (std::mem::take(&mut self.changed), std::mem::take(&mut self.files.changed));
        let changed = of_processes || of_files || hanging != self.hanging;
        let mut without = Vec::new();
        for worker in workers.iter().filter(|_| changed) {
            if self.writes.is_none() && self.is_unread(*worker) {
                // Perhaps the kernel shows it.
                self.changed = true;
                continue;
            }
            let Some(state) = self.state(*worker) else { continue };
            if self.reported.insert(*worker, state) == Some(state) {
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
        self.report_files(say);
    }

    fn why(&self, worker: u32) -> Option<Why> {
        let held = self.processes.get(worker)?;
        if self.tails(worker, held).iter().any(|tail| tail.suppressed != 0) {
            return Some(Why::Suppressed);
        }
        if !held.known {
            return None;
        }
        let unreadable = held.files.iter().find_map(|open| self.unreadable.get_key_value(&*open.name));
        if let Some(syslog) = self.syslogs.get(worker).filter(|syslog| syslog.file.is_none()) {
            return Some(match syslog.log {
                ContainerLog::Journal => Why::Container(syslog.trouble()?),
                _ => Why::Syslog(syslog.container.clone()),
            });
        }
        if let Some(trouble) = self.outsides.get(worker).and_then(Outside::trouble) {
            return Some(Why::Container(trouble));
        }
        Some(Why::of(held, unreadable.map(|(file, error)| (file.as_str(), error.as_str()))))
    }

    fn report_files(&mut self, say: &mut dyn FnMut(LogOutput)) {
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
