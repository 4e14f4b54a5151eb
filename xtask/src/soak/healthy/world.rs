//! The world that is healthy: the nginx that is traced, and origins on both sides of a cable.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::load::Load;
use super::{origin, proxy, responder};
use crate::sandbox::{Files, Namespace, Nginx, Running};
use crate::{process, setup, site};

/// All of it; gone when dropped.
pub(super) struct World {
    // Dropped in this order: nginx, its origins, their files, the namespaces.
    pub(super) proxy: Nginx,
    _origin: Nginx,
    _others: [Running; 2],
    /// Sockets and certificates.
    pub(super) files: Files,
    inside: Namespace,
    _outside: Namespace,
    newer: bool,
    /// Whether the nginx that is traced can do `stream`.
    pub(super) streams: bool,
}

impl World {
    /// Starts it; all listen when this returns.
    pub(super) fn start(newer: bool) -> Result<Self> {
        let installed = Nginx::installed()?;
        let root = setup::newer_nginx();
        let there = root.as_ref().map(|root| root.join("usr/sbin/nginx"));
        ensure!(there.is_some() || !newer, "there is no newer nginx; get it with: cargo xtask test");
        let program = there.clone().filter(|_| newer).unwrap_or_else(|| installed.clone());
        let modules =
            if newer { root.map(|root| root.join("usr/lib/nginx/modules")) } else { setup::stream_module() };
        let (inside, outside) = site::network()?;
        for namespace in [&inside, &outside] {
            ports(namespace)?;
        }
        let files = Files::new("ut-healthy")?;
        origin::fill(&files.0)?;
        let php = origin::start_php(&inside, &files.0)?;
        let responder = start_responder(&inside)?;
        let origin =
            Nginx::start_program(&there.unwrap_or(installed), &outside, "ut-healthy-origin", |dir| {
                origin::configuration(dir, &files.0)
            })?;
        let proxy = Nginx::start_program(&program, &inside, "ut-healthy-proxy", |dir| {
            proxy::configuration(dir, &files.0, modules.as_deref(), newer)
        })?;
        Ok(Self {
            proxy,
            _origin: origin,
            _others: [php, responder],
            files,
            inside,
            _outside: outside,
            newer,
            streams: modules.is_some(),
        })
    }

    /// Starts the clients.
    pub(super) fn load(&self) -> Result<Load> {
        Load::start(&self.inside, &self.files.0, self.newer, self.streams)
    }
}

/// Each attempt takes a port for as long as the old connection's end is remembered.
fn ports(namespace: &Namespace) -> Result<()> {
    let settings = ["net.ipv4.ip_local_port_range=10240 65000", "net.ipv4.tcp_tw_reuse=1"];
    process::capture(namespace.command("sysctl").args(["-q", "-w"]).args(settings))
        .context("cannot widen the range of ports")
        .map(drop)
}

/// The name server among others; it listens when this returns.
pub(in crate::soak) fn start_responder(namespace: &Namespace) -> Result<Running> {
    let mut command = namespace.command(this()?);
    Running::start_ready(command.arg("responder"), responder::READY)
}

/// This program, which is the odd client and the responder as well.
pub(in crate::soak) fn this() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find xtask itself")
}
