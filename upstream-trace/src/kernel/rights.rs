//! What the program needs before it can start, with a clear word if it is not there.

use std::path::Path;

use anyhow::{Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Inode number of the initial pid namespace, `PROC_PID_INIT_INO`, fixed since 3.8.
const INIT_PID_NS: &str = "pid:[4026531836]";

/// Checks rights and namespaces.
pub fn check() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("tracing the kernel needs root: run `sudo upstream-trace ...`");
    }
    if std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.to_string_lossy() != INIT_PID_NS) {
        bail!(
            "this is a container with its own process ids: run upstream-trace on the host (or with --pid=host)"
        );
    }
    Ok(())
}

/// Makes tracefs readable if it is not mounted: in a mount namespace of our own, so that the host's mounts stay as
/// they are. Must be called before other threads are started.
pub fn ensure_tracefs() {
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
