//! tracefs: where system-call tracepoints are looked up.

use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Makes tracefs readable if it is not mounted: in a mount namespace of our own, so that the host's mounts stay as
/// they are. Must be called before other threads are started.
pub fn ensure() {
    const DIR: &str = "/sys/kernel/tracing";
    if Path::new(DIR).join("events").exists() || Path::new("/sys/kernel/debug/tracing/events").exists() {
        return;
    }
    let private = || -> nix::Result<()> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?;
        mount(Some("tracefs"), DIR, Some("tracefs"), MsFlags::empty(), None::<&str>)
    };
    // Without it the tracepoints that need it are reported as missing, with their reason.
    if let Err(error) = private() {
        log::debug!("tracefs: {error}");
    }
}
