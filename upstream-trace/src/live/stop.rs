//! The signals that end the trace.

use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, Signal as Number, pthread_sigmask};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for any of them.
#[derive(Debug)]
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal went away; `None` under `nohup`.
    hangup: Option<Signal>,
}

impl Stop {
    /// From now on none of them ends the process by itself.
    pub(super) fn new() -> io::Result<Self> {
        let hangup = if ignored(Number::SIGHUP) { None } else { Some(signal(SignalKind::hangup())?) };
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup })
    }

    /// One of them came.
    pub(super) async fn asked(&mut self) {
        let Self { interrupt, terminate, hangup } = self;
        let hangup = async {
            match hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = hangup => {}
        }
    }
}

/// Whoever started the program wants it to survive this signal.
fn ignored(number: Number) -> bool {
    let status = procfs::process::Process::myself().and_then(|me| me.status());
    status.is_ok_and(|status| status.sigign >> (number as i32 - 1) & 1 == 1)
}

/// Does something while these signals wait: the kernel's verifier gives up on a program when one is there.
pub(super) fn with_signals_blocked<T>(work: impl FnOnce() -> T) -> T {
    let waiting: SigSet = [Number::SIGINT, Number::SIGTERM, Number::SIGHUP].into_iter().collect();
    let mut before = SigSet::empty();
    let blocked = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&waiting), Some(&mut before));
    let done = work();
    if blocked.is_ok() {
        // It was possible before.
        let _restored = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_wait_only_as_long_as_the_work_takes() {
        let blocked = || {
            let mut now = SigSet::empty();
            pthread_sigmask(SigmaskHow::SIG_BLOCK, None, Some(&mut now)).unwrap();
            [Number::SIGINT, Number::SIGTERM, Number::SIGHUP, Number::SIGSEGV]
                .map(|number| now.contains(number))
        };
        assert_eq!(blocked(), [false; 4]);
        assert_eq!(with_signals_blocked(blocked), [true, true, true, false]);
        assert_eq!(blocked(), [false; 4]);
    }
}
