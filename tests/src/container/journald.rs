//! The journal: that of the host, or one that is started for as long as it is needed.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use crate::util::{signal, wait_until};
use crate::world::World;

/// Where it is asked to take entries.
const SOCKET: &str = "/run/systemd/journal/socket";
/// All of its sockets, which it leaves behind.
const SOCKETS: [&str; 3] = [SOCKET, "/run/systemd/journal/stdout", "/run/systemd/journal/dev-log"];
/// Folders of it that are made, in this order, and removed.
const FOLDERS: [&str; 4] = ["/run/systemd", "/run/systemd/journal", "/run/log", "/run/log/journal"];
/// Neither the kernel's log nor its audit are touched.
const CONFIG: &str =
    "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\nForwardToWall=no\n";
/// The program.
pub(super) const PROGRAM: &str = "/usr/lib/systemd/systemd-journald";

/// The one that was started, as long as a scenario needs it: several may run side by side.
static STARTED: Mutex<Weak<Started>> = Mutex::new(Weak::new());

/// A journal; if it was started, it ends with the last of these.
#[derive(Debug)]
pub struct Journald {
    _started: Option<Arc<Started>>,
}

#[derive(Debug)]
struct Started {
    child: Child,
    made: Vec<&'static str>,
}

impl Journald {
    /// Starts one if this host has none.
    pub fn start(world: &World<'_>) -> Result<Self> {
        let mut shared = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(started) = shared.upgrade() {
            return Ok(Self { _started: Some(started) });
        }
        // Of one that has just ended, perhaps.
        if fs::exists(SOCKET)? && UnixDatagram::unbound()?.connect(SOCKET).is_ok() {
            return Ok(Self { _started: None });
        }
        let started = Arc::new(Started::start(world)?);
        *shared = Arc::downgrade(&started);
        Ok(Self { _started: Some(started) })
    }
}

impl Started {
    fn start(world: &World<'_>) -> Result<Self> {
        let mut made = Vec::new();
        for folder in FOLDERS {
            if !fs::exists(folder)? {
                fs::create_dir(folder)?;
                made.push(folder);
            }
        }
        world.file("journald.conf", CONFIG)?;
        let config = world.folder().join("journald.conf");
        let script =
            format!("mount --bind {} /etc/systemd/journald.conf && exec {PROGRAM}", config.display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Self { child: command.spawn().context("start systemd-journald")?, made };
        let up = || UnixDatagram::unbound().is_ok_and(|socket| socket.connect(SOCKET).is_ok());
        wait_until("systemd-journald", Duration::from_secs(10), up)?;
        Ok(started)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _already_gone = signal(self.child.id(), Signal::SIGTERM);
        let _already_gone = self.child.wait();
        for socket in SOCKETS {
            let _not_ours = fs::remove_file(socket);
        }
        // What it made in a folder that was there before is small, and gone with the next start of the host.
        for folder in self.made.iter().rev() {
            let _not_ours = fs::remove_dir_all(folder);
        }
    }
}
