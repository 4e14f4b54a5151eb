//! An nginx with upstreams that are broken in known ways: what the demo shows and the soak test loads.

pub(crate) mod backend;
pub(crate) mod client;
mod fault;
mod network;
mod nginx;

use anyhow::{Context as _, Result};

use crate::sandbox::{Namespace, Running};
pub(crate) use fault::{
    FIREWALL_PORT, HEALTHY_PORT, LISTEN, NAMED, NGINX_ADDRESS, QUEUE_PORT, SLOW_PORT, UPSTREAM_ADDRESS,
    UPSTREAMS,
};
pub(crate) use network::{add_firewall, pair as network};
pub(crate) use nginx::{configuration, configuration_with};

/// The program that is all upstreams of a side; it listens when this returns.
pub(crate) fn start_upstreams(namespace: &Namespace, side: &str) -> Result<Running> {
    let mut command = namespace.command(std::env::current_exe().context("cannot find xtask itself")?);
    Running::start_ready(command.args(["backend", side]), backend::READY)
}
