//! Real software as origins: application servers, proxies, interpreters.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::util::{Missing, alive, wait_until};
use crate::world::World;

/// A running program with all that it started; killed on drop.
#[derive(Debug)]
pub struct Software {
    child: Child,
}

impl World<'_> {
    /// Starts a program beside nginx and waits until it listens on this address. `@folder@` in an argument is the folder
    /// of the world; `udp:PORT` means datagrams.
    pub fn software(&self, program: &str, args: &[&str], address: &str) -> Result<Software> {
        let path = find(program)?;
        let noise = fs::File::create(self.folder().join(program))?;
        let folder = self.folder().display().to_string();
        let args = args.iter().map(|arg| arg.replace(crate::nginx::FOLDER, &folder));
        let mut command = Command::new(path);
        command.args(args).current_dir(self.folder()).stdin(Stdio::null());
        command.stdout(noise.try_clone()?).stderr(noise).process_group(0);
        let child = self.ng().run(|| command.spawn().with_context(|| format!("start {program}")))?;
        let software = Software { child };
        let (kind, place) = address.rsplit_once(':').unwrap_or(("", address));
        let listeners = match kind {
            "unix" => format!("ss -Hxl src {folder}/{place}"),
            "udp" => format!("ss -Huln sport = :{place}"),
            _ => format!("ss -Htln sport = :{place}"),
        };
        let pid = software.child.id();
        let listens = || self.ng().command(&listeners).is_ok_and(|list| !list.trim().is_empty());
        let up = wait_until(program, Duration::from_secs(15), || listens() || !alive(pid));
        if up.is_err() || !alive(pid) {
            let said = fs::read_to_string(self.folder().join(program)).unwrap_or_default();
            bail!("{program} does not listen: {said}");
        }
        Ok(software)
    }

    /// Lets a program run for as long as the world is there.
    pub fn keep(&self, software: Software) {
        self.kept.borrow_mut().push(software);
    }

    /// Writes a file into the folder of the world; `@folder@` in it is that folder.
    pub fn file(&self, name: &str, text: &str) -> Result<()> {
        let text = text.replace(crate::nginx::FOLDER, &self.folder().display().to_string());
        fs::write(self.folder().join(name), text).with_context(|| format!("write {name}"))
    }
}

impl Software {
    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Software {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        let _already_gone = killpg(group, Signal::SIGKILL);
        let _already_gone = self.child.wait();
    }
}

/// A program by its name, or one whose name begins so: Debian calls one `php-fpm8.2`.
fn find(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
    let exact = folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
    let versioned = || {
        let names = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        names.map(|entry| entry.path()).find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let version = name.strip_prefix(program).unwrap_or("x");
            path.is_file() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
    };
    exact.or_else(versioned).ok_or_else(|| Missing(program.to_owned()).into())
}

/// Whether a program is installed.
#[must_use]
pub fn installed(program: &str) -> bool {
    find(program).is_ok()
}
