//! What is measured: an nginx that proxies to another one over loopback, in a namespace of their own.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::process;
use crate::sandbox::{Files, Namespace, Nginx};

/// Where the proxy listens.
pub(super) const PORT: u16 = 9000;
/// Where the origin listens.
pub(super) const ORIGIN_PORT: u16 = 9001;
/// Where an origin that never answers listens.
pub(super) const HOLD_PORT: u16 = 9002;
/// Addresses that it listens on, a process each: one has too few ports for so many connections.
pub(super) const HOLDERS: u8 = 8;
/// Where nothing listens.
const CLOSED_PORT: u16 = 9;
/// Servers of the group that refuses; each request tries all of them.
pub(super) const REFUSING: usize = 4;

/// Tells the worlds of one run apart.
static WORLDS: AtomicU32 = AtomicU32::new(0);

/// The two, and room for the files of a run.
#[derive(Debug)]
pub(super) struct World {
    // Dropped in this order: processes, their files, the namespace.
    pub(super) proxy: Nginx,
    _origin: Nginx,
    pub(super) files: Files,
    pub(super) namespace: Namespace,
}

impl World {
    /// Starts them, with so many workers of the proxy.
    pub(super) fn new(workers: usize) -> Result<Self> {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = |what: &str| format!("ut-bench{what}-{number}");
        let namespace = Namespace::new(&name(""))?;
        // Each attempt takes a port for as long as the old connection's end is remembered.
        let range = ["-q", "-w", "net.ipv4.ip_local_port_range=10240 65000"];
        process::capture(namespace.command("sysctl").args(range))
            .context("cannot widen the range of ports")?;
        let origin = Nginx::start(&namespace, &name("-origin"), origin)?;
        let socket = origin.dir().join("origin.sock");
        let proxy = Nginx::start(&namespace, &name("-proxy"), |dir| proxy(dir, &socket, workers))?;
        Ok(Self { proxy, _origin: origin, files: Files::new(&name(""))?, namespace })
    }

    /// Process ids of the proxy's workers.
    pub(super) fn workers(&self) -> Vec<u32> {
        children(self.proxy.master.pid())
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn common(dir: &Path, workers: usize) -> String {
    let dir = dir.display();
    format!(
        "user root;
worker_processes {workers};
pid {dir}/nginx.pid;
error_log {dir}/error.log error;
worker_rlimit_nofile 20000;
events {{ worker_connections 20000; }}
"
    )
}

fn origin(dir: &Path) -> String {
    format!(
        "{}http {{
    access_log off;
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{ORIGIN_PORT} backlog=4096;
        listen unix:{}/origin.sock backlog=4096;
        location / {{ return 200 \"hello\\n\"; }}
    }}
}}
",
        common(dir, 1),
        dir.display()
    )
}

fn proxy(dir: &Path, socket: &Path, workers: usize) -> String {
    let holding = (1..=HOLDERS)
        .fold(String::new(), |all, host| all + &format!("server 127.0.0.{host}:{HOLD_PORT} max_fails=0; "));
    let refusing = format!("server 127.0.0.1:{CLOSED_PORT} max_fails=0; ").repeat(REFUSING);
    format!(
        "{}http {{
    access_log off;
    keepalive_requests 1000000000;
    upstream origin {{ server 127.0.0.1:{ORIGIN_PORT} max_fails=0; }}
    upstream kept {{ server 127.0.0.1:{ORIGIN_PORT} max_fails=0; keepalive 256; keepalive_requests 1000000000; }}
    upstream holding {{ {holding} }}
    upstream local {{ server unix:{} max_fails=0; }}
    upstream refusing {{ {refusing} }}
    server {{
        listen 0.0.0.0:{PORT} backlog=4096;
        location /new {{ proxy_pass http://origin; }}
        location /keepalive {{ proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_pass http://kept; }}
        location /unix {{ proxy_pass http://local; }}
        location /hold {{ proxy_read_timeout 1h; proxy_pass http://holding; }}
        location /refused {{ proxy_pass http://refusing; }}
    }}
}}
",
        common(dir, workers),
        socket.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_balanced() {
        for text in [origin(Path::new("/o")), proxy(Path::new("/p"), Path::new("/o/s"), 2)] {
            assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
        }
        let text = proxy(Path::new("/p"), Path::new("/o/s"), 2);
        assert_eq!(text.matches("127.0.0.1:9 max_fails=0;").count(), REFUSING);
        assert!(
            text.contains("worker_processes 2;") && text.contains("server unix:/o/s max_fails=0;"),
            "{text}"
        );
    }
}
