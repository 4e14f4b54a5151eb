//! Network namespaces that are gone when the test is.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;

use crate::util::{alive, sh, signal, text_of};

const FOLDER: &str = "/run/netns";
const PREFIX: &str = "utl-";

/// `ip netns` prepares its folder the first time it is called, which two callers must not do at once.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static SWEEP: Once = Once::new();

/// A network namespace with a name; deleted, with all that runs in it, on drop.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one, named after this process, a number and a role.
    pub fn create(number: usize, role: &str) -> Result<Self> {
        SWEEP.call_once(sweep);
        let name = format!("{PREFIX}{}-{number}-{role}", std::process::id());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        sh(&format!("ip netns add {name}"))?;
        let namespace = Self { name };
        namespace.command("ip link set lo up")?;
        Ok(namespace)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Moves the calling thread into it, for good.
    pub fn enter(&self) -> Result<()> {
        let path = PathBuf::from(FOLDER).join(&self.name);
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        setns(file, CloneFlags::CLONE_NEWNET).context("setns")
    }

    /// Does something in it, on a thread of its own; sockets and processes made there stay in it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                work()
            });
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread in {} panicked", self.name)))
        })
    }

    /// Runs a command in it, split at spaces.
    pub fn command(&self, line: &str) -> Result<String> {
        self.run(|| sh(line)).with_context(|| self.name.clone())
    }

    /// Runs a shell script in it.
    pub fn script(&self, script: &str) -> Result<String> {
        self.run(|| text_of(&Command::new("sh").args(["-ec", script]).output()?))
            .with_context(|| format!("{}: {script}", self.name))
    }

    /// Sets a sysctl under `net`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{key}");
        self.run(|| fs::write(&path, value).with_context(|| format!("write {path}")))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Ends what runs in a namespace of ours and deletes it.
fn remove(name: &str) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let pids = sh(&format!("ip netns pids {name}")).unwrap_or_default();
    for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        let _already_gone = signal(pid, Signal::SIGKILL);
    }
    let _already_gone = sh(&format!("ip netns del {name}"));
}

/// Removes what earlier runs left that were killed.
fn sweep() {
    let Ok(entries) = fs::read_dir(FOLDER) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse().ok());
        if owner.is_some_and(|pid: u32| !alive(pid)) {
            remove(&name);
        }
    }
}
