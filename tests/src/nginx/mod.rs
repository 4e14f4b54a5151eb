//! A real nginx, in a namespace, with a folder of its own.

mod config;
mod confined;

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

pub use config::{Config, FOLDER};

use crate::client::NGINX;
use crate::netns::Namespace;
use crate::util::{Missing, alive, children, signal, wait_until};

/// A running nginx; ended, with whatever it became, on drop.
#[derive(Debug)]
pub struct Nginx {
    /// As long as it is a child of this process.
    child: Option<Child>,
    master: u32,
    folder: PathBuf,
}

impl Nginx {
    /// Starts one and waits until it answers.
    pub fn start(namespace: &Namespace, folder: &Path, config: &Config) -> Result<Self> {
        fs::create_dir_all(folder.join("temp"))?;
        fs::write(folder.join("nginx.conf"), config.text(folder))?;
        let program = program(folder, config)?;
        let noise = File::create(folder.join("output"))?;
        let mode = if config.daemon { "daemon on;" } else { "daemon off;" };
        let mut child = namespace.run(|| {
            confined::refuse(&config.refused_families)?;
            confined::command(&program, &config.capabilities)
                .arg("-p")
                .arg(folder)
                .args(["-c", "nginx.conf", "-e", "error.log", "-g", mode])
                .stdin(Stdio::null())
                .stdout(noise.try_clone()?)
                .stderr(noise)
                .spawn()
                .context("start nginx")
        })?;
        let limit = Duration::from_secs(5);
        let mut nginx = Self { child: None, master: child.id(), folder: folder.to_owned() };
        if config.daemon {
            ensure!(child.wait()?.success(), "nginx did not start: {}", nginx.output());
            wait_until("the pid file", limit, || nginx.master_now().is_ok())?;
            nginx.master = nginx.master_now()?;
        } else {
            nginx.child = Some(child);
        }
        let up = wait_until("nginx to listen", limit, || !alive(nginx.master) || listens(namespace));
        ensure!(up.is_ok() && alive(nginx.master), "nginx did not start: {}", nginx.output());
        wait_until("workers", limit, || nginx.workers().len() >= config.workers)?;
        Ok(nginx)
    }

    /// The pid of the master that was started.
    #[must_use]
    pub fn master(&self) -> u32 {
        self.master
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }

    /// The pid in the pid file: another master after a binary upgrade.
    pub fn master_now(&self) -> Result<u32> {
        let text = fs::read_to_string(self.folder.join("nginx.pid")).context("the pid file")?;
        text.trim().parse().context("the pid file")
    }

    /// The workers of the master that was started.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        children(self.master()).into_iter().filter(|pid| is_worker(*pid)).collect()
    }

    /// The only worker.
    pub fn worker(&self) -> Result<u32> {
        self.workers().first().copied().context("nginx has no worker")
    }

    /// Signals the master.
    pub fn signal(&self, what: Signal) -> Result<()> {
        signal(self.master(), what)
    }

    /// Reloads, and waits until new workers are there.
    pub fn reload(&self) -> Result<()> {
        let before = self.workers();
        self.signal(Signal::SIGHUP)?;
        wait_until("new workers", Duration::from_secs(5), || {
            self.workers().iter().any(|worker| !before.contains(worker))
        })
    }

    /// Kills the worker and waits for the next one.
    pub fn crash_worker(&self) -> Result<u32> {
        let before = self.worker()?;
        signal(before, Signal::SIGKILL)?;
        wait_until("a new worker", Duration::from_secs(5), || self.worker().is_ok_and(|now| now != before))?;
        self.worker()
    }

    /// Replaces the running program by a new one, the way packages do; comes back when the old master is gone.
    pub fn upgrade(&self) -> Result<u32> {
        let limit = Duration::from_secs(5);
        self.signal(Signal::SIGUSR2)?;
        wait_until("a new master", limit, || {
            self.master_now().is_ok_and(|new| new != self.master() && !children(new).is_empty())
        })?;
        self.signal(Signal::SIGQUIT)?;
        wait_until("the old master to end", limit, || !alive(self.master()))?;
        self.master_now()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let mut pids = vec![self.master()];
        pids.extend(self.master_now());
        for master in pids {
            let workers = children(master);
            // The master first: it would replace the workers.
            for pid in std::iter::once(master).chain(workers) {
                if alive(pid) {
                    let _already_gone = signal(pid, Signal::SIGKILL);
                }
            }
        }
        if let Some(child) = &mut self.child {
            let _already_gone = child.wait();
        }
    }
}

/// Whether a process has become a worker: it says so in its title, at the end of its start.
fn is_worker(pid: u32) -> bool {
    let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    title.starts_with("nginx: worker process") && alive(pid)
}

/// Whether somebody listens on nginx's port; asks without a connection, which nginx would have to deal with.
fn listens(namespace: &Namespace) -> bool {
    let table = namespace.run(|| Ok(fs::read_to_string("/proc/thread-self/net/tcp")?)).unwrap_or_default();
    let port = NGINX.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or_default();
    let address = format!(":{port:04X} 00000000:0000 0A ");
    table.contains(&address)
}

/// Folder of the newer nginx, with its own libraries, that `cargo xtask test` gets from a newer Debian.
#[must_use]
pub fn newer() -> Option<PathBuf> {
    env::var_os("LAB_NEWER_NGINX").map(PathBuf::from).filter(|root| root.is_dir())
}

/// The path of nginx, or of a copy of it under another name.
fn program(folder: &Path, config: &Config) -> Result<PathBuf> {
    if config.newer {
        return Ok(newer().ok_or_else(|| Missing("a newer nginx".to_owned()))?.join("usr/sbin/nginx"));
    }
    let path = env::var_os("PATH").context("PATH")?;
    let nginx = env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("nginx"))
        .find(|path| path.is_file())
        .context("nginx is not installed")?;
    if config.program.is_empty() {
        return Ok(nginx);
    }
    let copy = folder.join(&config.program);
    fs::copy(nginx, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}
