//! What a service of the tool talks to: a Prometheus server of the lab's own, plain HTTP, and collectors.

mod datagrams;
mod odd;
mod receiver;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::tool::Tool;
use crate::util::wait_until;
pub use datagrams::Datagrams;
pub use odd::{Odd, crowd};
pub use receiver::{Event, Receiver};

/// For an answer over loopback.
const LIMIT: Duration = Duration::from_secs(5);
/// For Prometheus to start, to scrape, and to evaluate rules.
const SCRAPED: Duration = Duration::from_secs(20);

/// An address of the loopback interface where nothing listens.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The body of what is served there; an error unless it is 200.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "{path}: {head}");
    Ok(body.to_owned())
}

/// Prometheus, scraping one target every second; killed on drop.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it with these rules; its data is in the folder.
    pub fn start(folder: &Path, target: SocketAddr, rules: &Path) -> Result<Self> {
        let address = free_address()?;
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
             scrape_configs:\n  - job_name: upstream-trace\n    static_configs: [{{targets: ['{target}']}}]\n",
            rules.display()
        );
        fs::write(&config, text)?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start prometheus")?;
        Ok(Self { child, address })
    }

    /// Waits until a path of its API says something of which this is true; what it says.
    pub fn wait(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let ask = || get(self.address, path).ok().and_then(|text| serde_json::from_str(&text).ok());
        let mut last = None;
        let found = wait_until("Prometheus", SCRAPED, || {
            last = ask();
            last.as_ref().is_some_and(&wanted)
        });
        found.ok().and(last)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Gives a program a `/run` of its own, in which journald's folder is one of the lab's.
const OWN_RUN: &str = r#"
set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/journal
mount --bind "$1" /run/systemd/journal
shift
exec "$@"
"#;

/// Starts the tool as a service manager would: it finds a journal whose socket is in `journal`, and these variables.
pub fn start(path: &Path, journal: &Path, variables: &[String], args: &[String]) -> Result<Tool> {
    let of = |path: &Path| path.display().to_string();
    let mut all: Vec<String> = ["--mount", "--", "sh", "-c", OWN_RUN, "sh"].map(str::to_owned).to_vec();
    all.extend([of(journal), "env".to_owned()]);
    all.extend_from_slice(variables);
    all.push(of(path));
    all.extend_from_slice(args);
    Tool::start(Path::new("unshare"), &all)
}
