//! The thread itself.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use anyhow::Result;
use upstream_trace_core::event::{Event, LogLine, Nanos};

use super::super::watchdog::Watchdog;
use super::super::{ErrorLog, LogOutput, Logs};
use crate::host::WatchedPids;

/// Rounds of a megabyte for one question: a log that grows faster than it can be read is never read to its end.
const ROUNDS: usize = 16;

/// Where lines come from.
pub(super) trait Source {
    /// Adds what came since the last time, up to a bound; true if that is all.
    fn read(&mut self, watched: &WatchedPids, now: Nanos, to: &mut Vec<LogOutput>) -> bool;

    /// What was read has been handed on.
    fn handed_on(&mut self) {}

    /// The next read is the last one.
    fn finish(&mut self) {}

    /// A log of each worker is read.
    fn tells(&self, watched: &WatchedPids) -> bool;

    /// Workers whose lines are read nowhere, and might be seen when they are written.
    fn unread(&self, _watched: &WatchedPids) -> Vec<u32> {
        Vec::new()
    }

    /// How often something could not be read.
    fn lost(&self) -> u64;
}

impl Source for Logs {
    fn read(&mut self, watched: &WatchedPids, now: Nanos, to: &mut Vec<LogOutput>) -> bool {
        self.tick(watched, now, &mut |said| to.push(said))
    }

    fn handed_on(&mut self) {
        self.files.remember_positions();
    }

    fn finish(&mut self) {
        self.outsides.finish();
        self.syslogs.finish();
    }

    fn tells(&self, watched: &WatchedPids) -> bool {
        self.tells_of(&watched.workers)
    }

    fn unread(&self, watched: &WatchedPids) -> Vec<u32> {
        watched.workers.iter().copied().filter(|worker| self.is_unread(*worker)).collect()
    }

    fn lost(&self) -> u64 {
        self.gaps()
    }
}

/// Opens a source on the thread.
pub(super) type Open =
    Arc<dyn Fn(&ErrorLog, &WatchedPids, Nanos, Watchdog) -> Result<Box<dyn Source>> + Send + Sync>;

/// The logs of the processes.
pub(super) fn logs() -> Open {
    Arc::new(|source, watched, at, watchdog| Ok(Box::new(Logs::open_watched(source, watched, at, watchdog)?)))
}

/// Sees a line, and may add to it.
pub type LineFn = Box<dyn FnMut(&mut LogLine)>;

/// What the thread does besides reading, made once for each thread.
#[derive(Clone)]
pub struct Ready {
    /// Runs first on the thread.
    pub on_start: fn(),
    /// Sees each line before it is handed on.
    pub line: Arc<dyn Fn() -> LineFn + Send + Sync>,
    /// Says that something was handed on.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

/// How the logs stood when all before a time had been read.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) known: Nanos,
    /// A log of each worker is read.
    pub(super) tells: bool,
    /// Workers whose lines are read nowhere, and might be seen when they are written.
    pub(super) unread: Vec<u32>,
    /// Whose logs were looked at.
    pub(super) workers: Vec<u32>,
    pub(super) gaps: u64,
}

pub(super) enum Said {
    /// With the workers whose lines are read nowhere.
    Opened(Result<Vec<u32>>),
    Batch(Vec<LogOutput>),
    All(Answer),
}

pub(super) struct Question {
    pub(super) known: Nanos,
    pub(super) watched: Arc<WatchedPids>,
    /// No other one follows.
    pub(super) last: bool,
}

/// What a thread needs.
pub(super) struct Work {
    pub(super) open: Open,
    pub(super) source: ErrorLog,
    pub(super) watched: Arc<WatchedPids>,
    pub(super) at: Nanos,
    pub(super) ready: Ready,
    pub(super) watchdog: Watchdog,
    pub(super) say: SyncSender<Said>,
}

impl Work {
    pub(super) fn run(self, questions: &Receiver<Question>) {
        (self.ready.on_start)();
        let opened = (self.open)(&self.source, &self.watched, self.at, self.watchdog.clone());
        let (mut logs, result) = match opened {
            Ok(logs) => {
                let unread = logs.unread(&self.watched);
                (Some(logs), Ok(unread))
            }
            Err(error) => (None, Err(error)),
        };
        if self.say.send(Said::Opened(result)).is_err() {
            return;
        }
        let Some(logs) = &mut logs else { return };
        let mut line = (self.ready.line)();
        for Question { known, watched, last } in questions {
            if last {
                logs.finish();
            }
            if self.answer(&mut **logs, &mut *line, known, &watched).is_none() {
                break;
            }
        }
    }

    /// Hands on all that was written before `known`; `None` if nobody takes it any more.
    fn answer(
        &self,
        logs: &mut dyn Source,
        seen: &mut dyn FnMut(&mut LogLine),
        known: Nanos,
        watched: &WatchedPids,
    ) -> Option<()> {
        for _ in 0..ROUNDS {
            let mut batch = Vec::new();
            let all = logs.read(watched, known, &mut batch);
            for said in &mut batch {
                if let LogOutput::Event(event) = said
                    && let Event::Log(line) = &mut **event
                {
                    seen(line);
                }
            }
            if !batch.is_empty() {
                self.hand_on(Said::Batch(batch))?;
                logs.handed_on();
            }
            if all {
                break;
            }
        }
        let (tells, unread) = (logs.tells(watched), logs.unread(watched));
        let workers = watched.workers.clone();
        self.hand_on(Said::All(Answer { known, tells, unread, workers, gaps: logs.lost() }))
    }

    fn hand_on(&self, said: Said) -> Option<()> {
        // What waits for room is taken only by somebody who knows of it.
        (self.ready.wake)();
        self.say.send(said).ok()?;
        (self.ready.wake)();
        Some(())
    }
}
