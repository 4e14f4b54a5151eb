//! Ctrl-C ends the command early, and in order.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static HAPPENED: AtomicBool = AtomicBool::new(false);

extern "C" fn remember(_signal: c_int) {
    HAPPENED.store(true, Ordering::Relaxed);
}

/// From here on a signal that would end this process is only remembered.
pub(crate) fn catch() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(remember), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler does nothing but store to an atomic.
        unsafe { sigaction(signal, &action) }.with_context(|| format!("cannot catch {signal}"))?;
    }
    Ok(())
}

/// Whether one came.
pub(crate) fn happened() -> bool {
    HAPPENED.load(Ordering::Relaxed)
}
