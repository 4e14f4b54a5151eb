//! An origin that is a process, so that it can be killed.

use std::env;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{Script, listen};
use crate::netns::Namespace;
use crate::util::{signal, wait_until};

/// In the environment of such a process: the address to listen on.
pub const ORIGIN_PROCESS: &str = "UPSTREAM_TRACE_LAB_ORIGIN";

/// A process that reads requests and never answers; killed on drop.
#[derive(Debug)]
pub struct OriginProcess {
    child: Child,
}

impl OriginProcess {
    /// Starts this program again as an origin.
    pub(crate) fn start(namespace: &Namespace, address: &str) -> Result<Self> {
        let child = namespace.run(|| {
            Command::new(env::current_exe()?)
                .env(ORIGIN_PROCESS, address)
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
    let listener = listen(address, &Script::silent())?;
    loop {
        let (mut socket, _) = listener.accept()?;
        thread::spawn(move || {
            let mut bytes = [0; 16384];
            while socket.read(&mut bytes).is_ok_and(|count| count > 0) {}
        });
    }
}
