//! The signals that end the trace: the first one asks for the end, a second one is the end.
//!
//! They are blocked in every thread and read by one of their own, so that none of them interrupts a system call, or the
//! kernel's verifier, and so that the process can be ended whatever its other threads wait for.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::exit;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::sync::Notify;
use upstream_trace_read::output::stream;

use crate::host::privileges;

/// From the signal on; whatever is not done by then is not waited for.
const LIMIT: Duration = Duration::from_secs(2);

/// Whether the end was asked for, and how it goes.
#[derive(Clone)]
pub(super) struct Stop {
    asked: Arc<Notify>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Since when.
    asked: Option<Instant>,
    step: &'static str,
    /// With which the process ends; known once all is told.
    status: Option<u8>,
}

impl State {
    /// With which status to end now, and the step that took too long.
    fn overdue(&self, now: Instant) -> Option<(u8, Option<&'static str>)> {
        let over = self.asked.is_some_and(|asked| now.saturating_duration_since(asked) >= LIMIT);
        over.then(|| self.status.map_or((1, Some(self.step)), |status| (status, None)))
    }
}

impl Stop {
    /// From now on none of them ends the process by itself. To be called before any thread is started.
    pub(super) fn new() -> Result<Self> {
        let mut signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        if !is_ignored(Signal::SIGHUP) {
            // The terminal went away; not under `nohup`.
            signals.add(Signal::SIGHUP);
        }
        signals.thread_block().context("cannot block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&signals, flags).context("cannot wait for signals")?;
        let state = State { asked: None, step: "the start", status: None };
        let stop = Self { asked: Arc::new(Notify::new()), state: Arc::new(Mutex::new(state)) };
        let of_thread = stop.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || of_thread.wait(&signals))?;
        Ok(stop)
    }

    /// One of them came.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// What is done next: that is named if there is no time left for it.
    pub(super) fn step(&self, step: &'static str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).step = step;
    }

    /// All is told. What is left is to detach, of which each hook may take a busy machine a while: if there is no time left
    /// for that, the process, whose end detaches as well, ends with this status all the same.
    pub(super) fn told(&self, status: u8) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).status = Some(status);
    }

    /// Whether one of them came already.
    pub(super) fn was_asked(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.is_some()
    }

    fn wait(&self, signals: &SignalFd) {
        privileges::drop_all_capabilities();
        while next(signals, PollTimeout::NONE).is_none() {}
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked = Some(Instant::now());
        self.asked.notify_one();
        loop {
            if let Some(second) = next(signals, PollTimeout::from(50u8)) {
                exit(128 + i32::try_from(second).unwrap_or_default());
            }
            let overdue = self.state.lock().unwrap_or_else(PoisonError::into_inner).overdue(Instant::now());
            let Some((status, step)) = overdue else { continue };
            if let Some(step) = step {
                let text = format!("upstream-trace: {step} does not come to an end: stopped here\n");
                let _nobody_reads = stream::stderr().write_all(text.as_bytes());
                let _left = stream::drain(Instant::now() + Duration::from_millis(50));
            }
            exit(status.into());
        }
    }
}

/// The number of the next signal, if one comes in time.
fn next(signals: &SignalFd, timeout: PollTimeout) -> Option<u32> {
    // The descriptor does not block: a wait that is interrupted is one that comes back early.
    let _ready = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], timeout);
    signals.read_signal().ok().flatten().map(|signal| signal.ssi_signo)
}

/// Whoever started the program wants it to survive this signal.
fn is_ignored(number: Signal) -> bool {
    let status = procfs::process::Process::myself().and_then(|me| me.status());
    status.is_ok_and(|status| status.sigign >> (number as i32 - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{LIMIT, State};

    #[test]
    fn a_slow_detachment_does_not_change_the_status() {
        let asked = Instant::now();
        let at = |status| State { asked: Some(asked), step: "the output", status };
        assert_eq!(at(None).overdue(asked), None);
        assert_eq!(at(None).overdue(asked + LIMIT), Some((1, Some("the output"))));
        assert_eq!(at(Some(3)).overdue(asked), None);
        assert_eq!(at(Some(3)).overdue(asked + LIMIT), Some((3, None)));
    }
}
