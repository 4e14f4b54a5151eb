//! The thread that reads the logs, and what is done when it hangs.
//!
//! Each question is a time, and is answered once all that was written before it has been handed on: the answer is what
//! lets verdicts be given. A file system that does not answer costs its own logs: the thread is given up, another one
//! goes on where it was, without them.

mod thread;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use upstream_trace_core::event::Nanos;

use super::watchdog::Watchdog;
use super::{ErrorLog, LogOutput};
use crate::host::WatchedPids;
pub use thread::Ready;
use thread::{Answer, Open, Question, Said, Work};

/// A file that was not read for so long does not answer.
const HANGS: Duration = Duration::from_secs(1);

/// Batches of lines that wait to be taken.
const WAITING: usize = 4;

/// Threads that were given up; with one more, all logs are.
const GIVEN_UP: usize = 8;

/// Between two looks at a thread that is waited for.
const LOOK: Duration = Duration::from_millis(2);

struct Reader {
    questions: SyncSender<Question>,
    said: Receiver<Said>,
    watchdog: Watchdog,
}

/// Follows the logs of the watched processes on a thread of its own.
pub struct Follower {
    source: ErrorLog,
    open: Open,
    ready: Ready,
    reader: Option<Reader>,
    watched: Arc<WatchedPids>,
    asked: Nanos,
    answer: Answer,
    /// Gaps of threads that were given up, and one for each of them.
    gaps: u64,
    given_up: usize,
    notes: HashSet<String>,
}

impl Follower {
    /// Finds the logs; lines are read from here on. To be called before the first event can come.
    ///
    /// # Errors
    /// If the one file that was asked for cannot be read, or no thread be started.
    pub fn open(source: ErrorLog, watched: WatchedPids, now: Nanos, ready: Ready) -> Result<Self> {
        Self::open_by(thread::logs(), source, watched, now, ready)
    }

    fn open_by(open: Open, source: ErrorLog, watched: WatchedPids, now: Nanos, ready: Ready) -> Result<Self> {
        let watched = Arc::new(watched);
        let (asked, answer) = (now, Answer { known: now, ..Answer::default() });
        let mut follower = Self {
            source,
            open,
            ready,
            reader: None,
            watched,
            asked,
            answer,
            gaps: 0,
            given_up: 0,
            notes: HashSet::new(),
        };
        if follower.source != ErrorLog::None {
            follower.start(Watchdog::default())?;
            follower.wait_for_open()?;
        }
        Ok(follower)
    }

    /// All that is written until `known` is to be handed on. Only one question at a time is answered.
    pub fn ask(&mut self, known: Nanos, watched: WatchedPids) {
        if *self.watched != watched {
            self.watched = Arc::new(watched);
        }
        self.asked = known;
        self.send(false);
    }

    /// The same for the last time: all that is left is to be handed on.
    pub fn ask_last(&mut self, known: Nanos) {
        self.asked = known;
        self.send(true);
    }

    /// Whether that was done; true as well if nothing can be read any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.reader.is_none() || self.answer.known >= self.asked
    }

    /// What was read until now, a megabyte of lines at most; to be called until there is nothing. A thread that hangs is
    /// replaced.
    pub fn take(&mut self) -> Vec<LogOutput> {
        let mut taken = Vec::new();
        while let Some(reader) = &self.reader
            && taken.is_empty()
        {
            match reader.said.try_recv() {
                Ok(Said::Batch(batch)) => taken = batch,
                Ok(Said::All(answer)) => self.answer = answer,
                Ok(Said::Opened(_)) => {}
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.reader = None,
            }
        }
        taken.extend(self.look_after(HANGS).map(LogOutput::Note));
        taken.retain(|said| self.is_new(said));
        taken
    }

    /// A log of each worker is read, as far as is known.
    #[must_use]
    pub fn tells(&self) -> bool {
        self.reader.is_some() && self.answer.tells
    }

    /// Workers whose lines are read nowhere, and might be seen when they are written.
    #[must_use]
    pub fn unread(&self) -> &[u32] {
        &self.answer.unread
    }

    /// The logs of this worker were looked at.
    #[must_use]
    pub fn knows(&self, worker: u32) -> bool {
        self.answer.workers.contains(&worker)
    }

    /// How often something could not be read.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps + self.answer.gaps
    }

    /// Takes what comes until the last question is answered, and not beyond `until`.
    pub fn take_all(&mut self, until: Instant) -> Vec<LogOutput> {
        let mut taken = self.take();
        while !self.is_done() && Instant::now() < until {
            let more = self.take();
            if more.is_empty() {
                std::thread::sleep(LOOK);
            }
            taken.extend(more);
        }
        taken
    }

    fn start(&mut self, watchdog: Watchdog) -> Result<()> {
        let ((questions, asked), (say, said)) = (sync_channel(1), sync_channel(WAITING));
        let work = Work {
            open: Arc::clone(&self.open),
            source: self.source.clone(),
            watched: Arc::clone(&self.watched),
            at: self.asked,
            ready: self.ready.clone(),
            watchdog: watchdog.clone(),
            say,
        };
        std::thread::Builder::new().name("error-log".to_owned()).spawn(move || work.run(&asked))?;
        self.reader = Some(Reader { questions, said, watchdog });
        Ok(())
    }

    fn wait_for_open(&mut self) -> Result<()> {
        while let Some(reader) = &self.reader {
            match reader.said.recv_timeout(LOOK) {
                Ok(Said::Opened(result)) => {
                    self.answer.tells = true;
                    self.answer.unread = result?;
                    return Ok(());
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    // Said when the first lines are taken.
                    if let Some(note) = self.look_after(HANGS) {
                        log::warn!("{note}");
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(anyhow!("the thread that reads the logs has ended"));
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, last: bool) {
        if let Some(reader) = &self.reader {
            let question = Question { known: self.asked, watched: Arc::clone(&self.watched), last };
            // One that is not taken yet is followed by this one at the next turn.
            let _busy = reader.questions.try_send(question);
        }
    }

    /// Gives up a thread that hangs. Another one takes its place and gets the same question; what there is to say.
    fn look_after(&mut self, limit: Duration) -> Option<String> {
        let file = self.reader.as_ref()?.watchdog.give_up(limit)?;
        let watchdog = self.reader.take()?.watchdog.successor();
        self.given_up += 1;
        self.gaps += 1 + std::mem::take(&mut self.answer.gaps);
        let goes_on = self.given_up <= GIVEN_UP
            && self.start(watchdog).inspect_err(|error| log::warn!("error.log: {error:#}")).is_ok();
        if goes_on {
            self.send(false);
            return Some(format!(
                "{file} does not answer: its file system hangs. It is not read until it does."
            ));
        }
        Some(format!("{file} does not answer: its file system hangs. No error.log is read any more."))
    }

    /// A thread that takes over does not know what was said before.
    fn is_new(&mut self, said: &LogOutput) -> bool {
        match said {
            LogOutput::Note(text) if self.given_up > 0 => self.notes.insert(text.clone()),
            LogOutput::Note(text) => {
                self.notes.insert(text.clone());
                true
            }
            LogOutput::Event(_) => true,
        }
    }
}

#[cfg(test)]
mod tests;
