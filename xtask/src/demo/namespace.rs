//! Network namespaces: what happens in the demo stays in the demo.

use std::ffi::OsStr;
use std::process::{self as this, Command};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fault::{FIREWALL_PORT, NGINX_ADDRESS, UPSTREAM_ADDRESS};
use crate::process;

/// A namespace of our own; gone when dropped, with whatever still runs in it.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) name: String,
}

/// Two namespaces with a cable between them: nginx's, and that of the upstreams.
pub(super) fn pair() -> Result<(Namespace, Namespace)> {
    let nginx = Namespace::new("ng")?;
    let upstreams = Namespace::new("up")?;
    let (near, far) = (nginx.name.as_str(), upstreams.name.as_str());
    ip(&[
        "link", "add", "name", "veth0", "netns", near, "type", "veth", "peer", "name", "veth0", "netns", far,
    ])?;
    nginx.plug(NGINX_ADDRESS)?;
    upstreams.plug(UPSTREAM_ADDRESS)?;
    Ok((nginx, upstreams))
}

impl Namespace {
    fn new(side: &str) -> Result<Self> {
        let name = format!("ut-demo-{}-{side}", this::id());
        ip(&["netns", "add", &name]).context("cannot make a network namespace")?;
        Ok(Self { name })
    }

    fn plug(&self, address: &str) -> Result<()> {
        let name = self.name.as_str();
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", "veth0"])?;
        ip(&["-n", name, "link", "set", "veth0", "up"])
    }

    /// A command that runs inside.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// A rule that drops what goes to one of the upstreams.
    pub(super) fn add_firewall(&self) -> Result<()> {
        let rules = format!(
            "add table inet demo; \
             add chain inet demo output {{ type filter hook output priority 0; }}; \
             add rule inet demo output tcp dport {FIREWALL_PORT} counter drop"
        );
        process::capture(self.command("nft").arg(rules)).map(drop)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let inside = process::capture(Command::new("ip").args(["netns", "pids", &self.name]));
        for pid in inside.unwrap_or_default().lines().filter_map(|pid| pid.trim().parse().ok()) {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            crate::say::note("Left", format!("{error:#}"));
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    process::capture(Command::new("ip").args(args)).map(drop)
}
