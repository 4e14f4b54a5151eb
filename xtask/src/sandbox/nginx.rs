//! A private nginx: its own configuration, files and network.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self as this, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{Namespace, Running};
use crate::{paths, process};

/// It runs until dropped; then its files are gone as well.
#[derive(Debug)]
pub(crate) struct Nginx {
    // Ends before its files are removed.
    pub(crate) master: Running,
    files: Files,
}

/// A directory of our own; gone when dropped.
#[derive(Debug)]
pub(crate) struct Files(pub(crate) PathBuf);

impl Files {
    /// Makes it.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("{name}-{}", this::id()));
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            crate::say::note("Left", format!("{}: {error}", self.0.display()));
        }
    }
}

impl Nginx {
    /// Starts that of this machine, and waits until it serves. `configuration` is given the directory that is its own:
    /// there are its `nginx.pid` and `error.log`.
    pub(crate) fn start(
        namespace: &Namespace,
        name: &str,
        configuration: impl FnOnce(&Path) -> String,
    ) -> Result<Self> {
        Self::start_program(&Self::installed()?, namespace, name, configuration)
    }

    /// The program of this machine.
    pub(crate) fn installed() -> Result<PathBuf> {
        paths::program("nginx").context("there is no nginx; get it with: cargo xtask setup")
    }

    /// As above, another program.
    pub(crate) fn start_program(
        program: &Path,
        namespace: &Namespace,
        name: &str,
        configuration: impl FnOnce(&Path) -> String,
    ) -> Result<Self> {
        let files = Files::new(name)?;
        let dir = files.0.as_path();
        let (config, log) = (dir.join("nginx.conf"), dir.join("error.log"));
        fs::write(&config, configuration(dir))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = namespace.command(program);
        command.arg("-p").arg(dir).arg("-c").arg(&config).args(["-g", "daemon off;"]);
        // Ctrl-C is for the tracer; nginx ends after it. Complaints are in its error.log.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut master = Running::start(&mut command)?;
        let pid_file = dir.join("nginx.pid");
        master.wait(Duration::from_secs(5), || pid_file.is_file());
        if !pid_file.is_file() {
            // What it says before it has read where to write is not there.
            process::capture(Command::new(program).arg("-t").arg("-p").arg(dir).arg("-c").arg(&config))?;
            let log = fs::read_to_string(&log).unwrap_or_default();
            bail!("nginx did not start: {}", log.lines().last().unwrap_or("it says nothing"));
        }
        Ok(Self { master, files })
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.files.0
    }
}
