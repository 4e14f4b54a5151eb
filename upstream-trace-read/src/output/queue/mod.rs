//! A writer that never waits for its reader: texts go into a bounded queue, and a thread writes them.
//!
//! Whoever reads standard output may pause (`less`, a slow network, a full disk) or leave. Neither may hold up what
//! produces the texts: a text for which there is no room is left out and counted.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes handed to the system at a time. Each that is taken counts as progress.
const PIECE: usize = 16 << 10;

/// Between two looks at whether a reader that gets nothing is still there.
const LOOK: Duration = Duration::from_millis(500);

/// Where the thread writes to.
pub(super) trait Stream: Write + Send + 'static {
    /// Nobody can read from it any more. Does not block.
    fn is_gone(&self) -> bool;
}

/// One end of the queue; all clones are the same queue.
#[derive(Clone, Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    room: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// A text came.
    came: Condvar,
    /// A piece was taken, or none will be any more.
    taken: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: Vec<u8>,
    /// Bytes of what the thread is writing that the system has not taken.
    writing: usize,
    /// Texts that were left out.
    lost: u64,
    /// When the system last took something.
    progress: Instant,
    /// Texts may wait for room until then, as long as the reader reads.
    patient_until: Option<Instant>,
    /// Why nothing is written any more.
    error: Option<ErrorKind>,
}

impl State {
    fn pending(&self) -> usize {
        self.waiting.len() + self.writing
    }
}

impl Queue {
    /// A queue of at most `room` bytes before `to`, and its thread, which runs `on_start` first.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn new(to: impl Stream, name: &str, room: usize, on_start: fn()) -> io::Result<Self> {
        let state = State {
            waiting: Vec::new(),
            writing: 0,
            lost: 0,
            progress: Instant::now(),
            patient_until: None,
            error: None,
        };
        let shared = Shared { state: Mutex::new(state), came: Condvar::new(), taken: Condvar::new() };
        let shared = Arc::new(shared);
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            on_start();
            let error = write(to, &of_thread);
            of_thread.state().error = Some(error);
            of_thread.taken.notify_all();
        })?;
        Ok(Self { shared, room })
    }

    /// Texts that were left out until now.
    pub(super) fn lost(&self) -> u64 {
        self.shared.state().lost
    }

    /// There is room for more than a few texts.
    pub(super) fn has_room(&self) -> bool {
        self.shared.state().pending() <= self.room / 2
    }

    /// The reader has gone away.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.state().error == Some(ErrorKind::BrokenPipe)
    }

    /// From now on texts may wait for room, until then: what is left at the end comes all at once.
    pub(super) fn be_patient(&self, until: Instant) {
        self.shared.state().patient_until = Some(until);
    }

    /// Waits until all is written, as long as the reader takes something every `pause`, and not beyond `until`. False
    /// if something was left.
    pub(super) fn drain(&self, pause: Duration, until: Instant) -> bool {
        let mut state = self.shared.state();
        while state.pending() > 0 && state.error.is_none() {
            let Some(next) = self.shared.progress(state, pause, until) else { return false };
            state = next;
        }
        state.error.is_none()
    }
}

/// A reader that took nothing for so long has paused.
const PAUSE: Duration = Duration::from_millis(300);

impl Write for Queue {
    /// Takes the text whole, or leaves it out and counts it.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut state = self.shared.state();
        loop {
            if let Some(error) = state.error {
                return Err(error.into());
            }
            if state.pending() == 0 {
                // Whoever reads may have had nothing to read until now.
                state.progress = Instant::now();
            }
            if state.pending() == 0 || state.pending() + text.len() <= self.room {
                state.waiting.extend_from_slice(text);
                self.shared.came.notify_one();
                break;
            }
            let until = state.patient_until.unwrap_or_else(Instant::now);
            let Some(next) = self.shared.progress(state, PAUSE, until) else {
                self.shared.state().lost += 1;
                break;
            };
            state = next;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a piece to be taken; `None` if none was for so long, or until then.
    fn progress<'a>(
        &self,
        state: MutexGuard<'a, State>,
        pause: Duration,
        until: Instant,
    ) -> Option<MutexGuard<'a, State>> {
        let left = until.min(state.progress + pause).saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        Some(self.taken.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Waits for texts; all that there are.
    fn next(&self, to: &impl Stream) -> Result<Vec<u8>, ErrorKind> {
        let mut state = self.state();
        while state.waiting.is_empty() {
            let (next, timeout) = self.came.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() && to.is_gone() {
                return Err(ErrorKind::BrokenPipe);
            }
        }
        let texts = std::mem::take(&mut state.waiting);
        state.writing = texts.len();
        Ok(texts)
    }

    fn took(&self, bytes: usize) {
        let mut state = self.state();
        state.writing = state.writing.saturating_sub(bytes);
        state.progress = Instant::now();
        self.taken.notify_all();
    }
}

/// Writes all that comes, until that fails.
fn write(mut to: impl Stream, shared: &Shared) -> ErrorKind {
    loop {
        let texts = match shared.next(&to) {
            Ok(texts) => texts,
            Err(error) => return error,
        };
        for piece in texts.chunks(PIECE) {
            if let Err(error) = to.write_all(piece).and_then(|()| to.flush()) {
                return error.kind();
            }
            shared.took(piece.len());
        }
    }
}

#[cfg(test)]
mod tests;
