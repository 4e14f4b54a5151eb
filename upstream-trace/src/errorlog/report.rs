//! What is said of the logs: whose are read, and why others are not.

use upstream_trace_core::event::{Event, LogFollowed, Nanos};

use super::classify::Level;
use super::find::Elsewhere;
use super::notes::Why;
use super::outside::{Outside, Outsides};
use super::processes::Held;
use super::tail::Tail;
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

    /// Whether a log of each of these workers is read, as far as is known.
    #[must_use]
    pub fn tells_of(&self, workers: &[u32]) -> bool {
        self.source != ErrorLog::None
            && workers.iter().all(|worker| self.state(*worker).is_none_or(|(followed, _)| followed))
    }

    /// No log of this worker is read, and the kernel might show what it writes.
    pub(super) fn is_unread(&self, worker: u32) -> bool {
        let Some(held) = self.processes.get(worker) else { return false };
        let known = held.known && held.refused.is_none() && held.hanging.is_none() && !held.too_many;
        let elsewhere = matches!(held.elsewhere, Elsewhere::Pipe | Elsewhere::Socket | Elsewhere::Terminal);
        let has_file = |outsides: &Outsides| outsides.get(worker).and_then(|outside| outside.file).is_some();
        let alone = elsewhere && !self.files.any_error_log(&held.files) && !has_file(&self.outsides);
        let by_syslog = self.syslogs.get(worker).is_some() && !has_file(&self.syslogs);
        self.source == ErrorLog::Auto && known && (alone || by_syslog)
    }

    /// The logs that a worker writes to.
    pub(super) fn tails(&self, worker: u32, held: &Held) -> Vec<&Tail> {
        if matches!(self.source, ErrorLog::File(_)) {
            return self.files.iter().collect();
        }
        let kept = [self.outsides.get(worker), self.syslogs.get(worker)];
        let outside = kept.into_iter().flatten().filter_map(|outside| outside.file);
        held.files.iter().map(|open| open.id).chain(outside).filter_map(|id| self.files.get(id)).collect()
    }

    /// Whether a log of this worker is read, and its level if known to let errors pass; `None` if not known yet.
    pub(super) fn state(&self, worker: u32) -> Option<(bool, Option<Level>)> {
        if self.writes == Some(true) && self.is_unread(worker) {
            return Some((true, None));
        }
        let held = self.processes.get(worker)?;
        if !held.known && !matches!(self.source, ErrorLog::File(_)) {
            return None;
        }
        let tails = self.tails(worker, held);
        // A line that is missing says nothing if it may be in a file that cannot be read now.
        let hangs = held.hanging.is_some() || tails.iter().any(|tail| self.watchdog.hangs(tail.mount));
        let level = tails.iter().filter_map(|tail| tail.level).filter(|level| level.lets_errors_pass()).min();
        let syslog = self.syslogs.get(worker).is_none_or(|syslog| syslog.file.is_some());
        let complete = syslog
            && !hangs
            && tails.iter().all(|tail| tail.suppressed == 0)
            && !held.too_many
            && held.files.iter().all(|open| !self.files.is_beyond(open.id));
        Some((!tails.is_empty() && complete, level))
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
