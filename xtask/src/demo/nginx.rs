//! A private nginx: its own configuration, files and network.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self as this, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::child::Running;
use super::fault::{LISTEN, TIMEOUT, UPSTREAMS};
use super::namespace::Namespace;
use crate::paths;

/// It runs until dropped; then its files are gone as well.
#[derive(Debug)]
pub(super) struct Nginx {
    // Ends before its files are removed.
    pub(super) master: Running,
    _files: Files,
}

#[derive(Debug)]
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            crate::say::note("Left", format!("{}: {error}", self.0.display()));
        }
    }
}

impl Nginx {
    /// Starts it, and waits until it serves.
    pub(super) fn start(namespace: &Namespace) -> Result<Self> {
        let program = paths::program("nginx").context("there is no nginx; get it with: cargo xtask setup")?;
        let dir = std::env::temp_dir().join(format!("ut-demo-{}", this::id()));
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let files = Files(dir);
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
            let log = fs::read_to_string(&log).unwrap_or_default();
            bail!("nginx did not start: {}", log.lines().last().unwrap_or("it says nothing"));
        }
        Ok(Self { master, _files: files })
    }
}

fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    let mut locations = String::new();
    for upstream in &UPSTREAMS {
        let (path, address, port) = (upstream.path, upstream.address, upstream.port);
        // Writing to a string cannot fail.
        let _ok = writeln!(locations, "        location {path} {{ proxy_pass http://{address}:{port}; }}");
    }
    format!(
        "# Workers run as root: no other user need exist, and nothing outside can reach them.
user root;
worker_processes 2;
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    proxy_connect_timeout {TIMEOUT}s;
    proxy_read_timeout {TIMEOUT}s;
    server {{
        listen {LISTEN};
{locations}    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_names_every_upstream() {
        let text = configuration(Path::new("/dir"));
        assert!(
            text.contains("        location /firewall { proxy_pass http://10.99.0.2:8082; }\n"),
            "{text}"
        );
        assert_eq!(text.matches("proxy_pass").count(), UPSTREAMS.len());
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
