//! Sentences about nginx's own processes that explain what follows.

use std::collections::BTreeSet;

use crate::event::SECOND;
use crate::event::{Nanos, Process, ProcessChange};
use crate::verdict::Note;

/// A reload drains all workers at once; one sentence is enough.
const ONE_RELOAD: Nanos = 10 * SECOND;

/// Masters in the course of a binary upgrade that are remembered.
const MOST: usize = 64;

/// What was said.
#[derive(Debug, Default)]
pub(in crate::engine) struct Notes {
    reload: Option<Nanos>,
    /// Masters that ended without another one in their place: the next ones are these, started again.
    ended: u32,
    /// Masters that have started another one in their place.
    replaced: BTreeSet<u32>,
}

impl Notes {
    pub(in crate::engine) fn on(&mut self, process: &Process) -> Option<Note> {
        let pid = process.pid;
        let text = match &process.change {
            ProcessChange::WorkerExited { signal: Some(signal), .. } => format!(
                "Worker {pid} was ended by signal {signal}{}: the requests that it had open were cut.",
                signal_name(*signal)
            ),
            ProcessChange::WorkerExited { status: Some(status), .. } if *status != 0 => {
                format!("Worker {pid} exited with status {status}: the requests that it had open were cut.")
            }
            ProcessChange::WorkerDraining => {
                let same = self.reload.is_some_and(|at| process.at.saturating_sub(at) < ONE_RELOAD);
                if same {
                    return None;
                }
                self.reload = Some(process.at);
                "nginx reloads: old workers finish their requests and close idle connections.".to_owned()
            }
            ProcessChange::MasterStarted { upgrades: Some(old) } => {
                if self.replaced.len() < MOST {
                    self.replaced.insert(*old);
                }
                format!("Another nginx master, {pid}, started (binary upgrade).")
            }
            ProcessChange::MasterStarted { upgrades: None } if self.ended > 0 => {
                self.ended -= 1;
                format!("nginx was started again: its master is {pid}.")
            }
            ProcessChange::MasterStarted { upgrades: None } => {
                format!("Another nginx master, {pid}, started.")
            }
            ProcessChange::MasterExited => {
                self.ended = self.ended.saturating_add(u32::from(!self.replaced.remove(&pid)));
                format!("The nginx master {pid} ended.")
            }
            ProcessChange::WorkerStarted | ProcessChange::WorkerExited { .. } => return None,
        };
        Some(Note { at: process.at, text })
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL; perhaps the OOM killer)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_told_and_a_reload_once() {
        let mut notes = Notes::default();
        let mut say = |at, change| notes.on(&Process { at, pid: 7, change }).map(|note| note.text);
        let killed = ProcessChange::WorkerExited { status: None, signal: Some(11) };
        assert!(say(1, killed).is_some_and(|text| text.contains("signal 11 (SIGSEGV)")));
        assert_eq!(say(2, ProcessChange::WorkerExited { status: Some(0), signal: None }), None);
        assert!(say(3, ProcessChange::WorkerDraining).is_some());
        assert_eq!(say(4, ProcessChange::WorkerDraining), None);
        assert!(say(3 + ONE_RELOAD, ProcessChange::WorkerDraining).is_some());
    }

    #[test]
    fn upgrades_are_no_restarts_however_often() {
        let mut notes = Notes::default();
        let mut say = |pid, change| notes.on(&Process { at: 1, pid, change }).map(|note| note.text).unwrap();
        let upgrade = |old| ProcessChange::MasterStarted { upgrades: Some(old) };
        let found = || ProcessChange::MasterStarted { upgrades: None };
        for old in 1..4 {
            assert!(say(old + 1, upgrade(old)).contains("binary upgrade"), "of {old}");
            say(old, ProcessChange::MasterExited);
        }
        // A second nginx beside the first one.
        assert_eq!(say(50, found()), "Another nginx master, 50, started.");
        say(4, ProcessChange::MasterExited);
        say(50, ProcessChange::MasterExited);
        assert!(say(60, found()).contains("again") && say(61, found()).contains("again"));
        assert!(!say(62, found()).contains("again"));
    }
}
