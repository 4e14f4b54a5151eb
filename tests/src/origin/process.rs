//! An origin that is a process, so that it can be killed.

use std::env;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use socket2::Socket;

use super::{Script, listen};
use crate::netns::Namespace;
use crate::util::{signal, wait_until};

/// In the environment of such a process: the address to listen on.
pub const ORIGIN_PROCESS: &str = "UPSTREAM_TRACE_LAB_ORIGIN";

/// In place of an address: the listener is standard input.
const INHERITED: &str = "inherited";
/// Before an address: such a process listens and lets children serve.
const SEVERAL: &str = "several ";

/// A process that reads requests and never answers; asked for `/exit-N` it ends itself with status N, asked for `/eat`
/// it takes all the memory that it gets. Killed on drop.
#[derive(Debug)]
pub struct OriginProcess {
    child: Child,
}

impl OriginProcess {
    /// Starts this program again as an origin.
    pub(crate) fn start(namespace: &Namespace, address: &str) -> Result<Self> {
        Self::start_as(namespace, address, address)
    }

    /// Starts one that listens, and two children of it that serve.
    pub(crate) fn start_several(namespace: &Namespace, address: &str) -> Result<Self> {
        Self::start_as(namespace, address, &format!("{SEVERAL}{address}"))
    }

    fn start_as(namespace: &Namespace, address: &str, role: &str) -> Result<Self> {
        let child = namespace.run(|| {
            Command::new(env::current_exe()?)
                .env(ORIGIN_PROCESS, role)
                .stdin(Stdio::null())
                .spawn()
                .context("start an origin")
        })?;
        let port = address.rsplit(':').next().unwrap_or_default();
        let socket = if address.starts_with("unix:") {
            format!("ss -Hxl src {port}")
        } else {
            format!("ss -Htln sport = :{port}")
        };
        let origin = Self { child };
        let listens = || namespace.command(&socket).is_ok_and(|list| !list.trim().is_empty());
        wait_until("the origin to listen", Duration::from_secs(5), listens)?;
        Ok(origin)
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self, how: Signal) -> Result<()> {
        signal(self.child.id(), how)?;
        self.child.wait().map(drop).context("wait for the origin")
    }
}

impl Drop for OriginProcess {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

/// What the process does, until it is killed.
pub fn serve_forever(address: &str) -> Result<()> {
    let listener = if address == INHERITED {
        Socket::from(io::stdin().as_fd().try_clone_to_owned()?)
    } else {
        listen(address.strip_prefix(SEVERAL).unwrap_or(address), &Script::silent())?
    };
    if address.starts_with(SEVERAL) {
        let child = || {
            let stdin = Stdio::from(OwnedFd::from(listener.try_clone()?));
            Command::new(env::current_exe()?).env(ORIGIN_PROCESS, INHERITED).stdin(stdin).spawn()
        };
        let mut children = [child()?, child()?];
        return children.iter_mut().try_for_each(|child| Ok(child.wait().map(drop)?));
    }
    loop {
        let (mut socket, _) = listener.accept()?;
        thread::spawn(move || {
            let mut bytes = [0; 16384];
            while let Ok(count @ 1..) = socket.read(&mut bytes) {
                let asked = String::from_utf8_lossy(&bytes[..count]);
                let status =
                    asked.strip_prefix("GET /exit-").and_then(|rest| rest.split(' ').next()?.parse().ok());
                if let Some(status) = status {
                    std::process::exit(status);
                }
                if asked.starts_with("GET /eat ") {
                    eat();
                }
            }
        });
    }
}

/// Takes memory until the kernel ends this process; or, where it does not, a lot of it.
fn eat() {
    let mut eaten = Vec::new();
    for _ in 0..512 {
        eaten.push(vec![1u8; 1 << 20]);
    }
    std::hint::black_box(&eaten);
}
