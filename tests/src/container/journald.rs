//! The journal: that of the host, or one that is started for as long as it is needed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use crate::util::{signal, wait_until};
use crate::world::World;

/// Where it is asked to take entries.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Folders of it that are made, in this order, and removed.
const FOLDERS: [&str; 4] = ["/run/systemd", "/run/systemd/journal", "/run/log", "/run/log/journal"];
/// Neither the kernel's log nor its audit are touched.
const CONFIG: &str =
    "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\nForwardToWall=no\n";
/// The program.
pub(super) const PROGRAM: &str = "/usr/lib/systemd/systemd-journald";

/// A journal; if it was started, it ends on drop.
#[derive(Debug)]
pub struct Journald {
    started: Option<Child>,
    made: Vec<&'static str>,
}

impl Journald {
    /// Starts one if this host has none.
    pub fn start(world: &World<'_>) -> Result<Self> {
        if fs::exists(SOCKET)? {
            return Ok(Self { started: None, made: Vec::new() });
        }
        let mut journald = Self { started: None, made: Vec::new() };
        for folder in FOLDERS {
            if !fs::exists(folder)? {
                fs::create_dir(folder)?;
                journald.made.push(folder);
            }
        }
        world.file("journald.conf", CONFIG)?;
        let config = world.folder().join("journald.conf");
        let script =
            format!("mount --bind {} /etc/systemd/journald.conf && exec {PROGRAM}", config.display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        journald.started = Some(command.spawn().context("start systemd-journald")?);
        wait_until("systemd-journald", Duration::from_secs(10), || Path::new(SOCKET).exists())?;
        Ok(journald)
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let Some(child) = &mut self.started else { return };
        let _already_gone = signal(child.id(), Signal::SIGTERM);
        let _already_gone = child.wait();
        // What it made in a folder that was there before is small, and gone with the next start of the host.
        for folder in self.made.iter().rev() {
            let _not_ours = fs::remove_dir_all(folder);
        }
    }
}
