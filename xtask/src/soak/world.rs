//! The world of a long run: an nginx with upstreams that are broken in known ways, a name server, a scraper and a receiver;
//! each part goes away and comes back as the schedule says.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::healthy::names;
use super::healthy::world::{start_responder, this};
use super::schedule::{Part, Step};
use crate::sandbox::{Collectors, Files, Namespace, Nginx, Receives, Running};
use crate::site::{self, NAMED, UPSTREAMS};

/// All of it; gone when dropped.
pub(super) struct World {
    // Dropped in this order: nginx, its upstreams, files, the namespaces.
    pub(super) nginx: Nginx,
    far: Option<Running>,
    near: Option<Running>,
    names: Option<Running>,
    pub(super) collectors: Collectors,
    files: Files,
    inside: Namespace,
    outside: Namespace,
}

impl World {
    /// Starts it; all listen when this returns.
    pub(super) fn start() -> Result<Self> {
        let (inside, outside) = site::network()?;
        site::add_firewall(&inside)?;
        let far = Some(site::start_upstreams(&outside, "far")?);
        let near = Some(site::start_upstreams(&inside, "near")?);
        let names = Some(start_responder(&inside)?);
        let nginx = Nginx::start(&inside, "ut-soak", configuration)?;
        let (collectors, files) = (Collectors::start()?, Files::new("ut-soak-recordings")?);
        Ok(Self { nginx, far, near, names, collectors, files, inside, outside })
    }

    /// Where recordings go.
    pub(super) fn recordings(&self) -> &Path {
        &self.files.0
    }

    /// Starts mixed traffic for so many seconds.
    pub(super) fn start_client(&self, seconds: u64) -> Result<Running> {
        let mut command = self.inside.command(this()?);
        command.args(["client", "--mixed", &seconds.to_string()]).process_group(0);
        Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()))
    }

    /// Does what is due.
    pub(super) fn act(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Away(part) => self.take_away(part),
            Step::Back(part) => return self.bring_back(part),
            Step::Rotate { copied: true } => return self.copy_log(),
            Step::Rotate { copied: false } => return self.rename_log(),
        }
        Ok(())
    }

    fn take_away(&mut self, part: Part) {
        match part {
            Part::FarOrigins => drop(self.far.take()),
            Part::NearOrigin => drop(self.near.take()),
            Part::NameServer => drop(self.names.take()),
            Part::Scraper => self.collectors.scrape(false),
            Part::Receiver(receives) => self.collectors.receive(receives),
        }
    }

    fn bring_back(&mut self, part: Part) -> Result<()> {
        match part {
            Part::FarOrigins => self.far = Some(site::start_upstreams(&self.outside, "far")?),
            Part::NearOrigin => self.near = Some(site::start_upstreams(&self.inside, "near")?),
            Part::NameServer => self.names = Some(start_responder(&self.inside)?),
            Part::Scraper => self.collectors.scrape(true),
            Part::Receiver(_) => self.collectors.receive(Receives::Well),
        }
        Ok(())
    }

    /// As logrotate does.
    fn rename_log(&mut self) -> Result<()> {
        let (log, old) = self.logs();
        fs::rename(log, old).context("cannot rename error.log")?;
        self.nginx.master.signal(Signal::SIGUSR1);
        Ok(())
    }

    /// As logrotate does with `copytruncate`.
    fn copy_log(&self) -> Result<()> {
        let (log, old) = self.logs();
        fs::copy(&log, old).context("cannot copy error.log")?;
        File::options().write(true).open(log)?.set_len(0).context("cannot cut error.log")
    }

    fn logs(&self) -> (PathBuf, PathBuf) {
        let dir = self.nginx.dir();
        (dir.join("error.log"), dir.join("error.log.1"))
    }
}

/// With an upstream that is looked up by name.
fn configuration(dir: &Path) -> String {
    let port = UPSTREAMS.iter().find(|upstream| upstream.is_healthy).map_or(80, |upstream| upstream.port);
    let resolver = format!("resolver 127.0.0.1:{} valid=1s ipv6=off; resolver_timeout 2s;", names::PORT);
    let named = format!(
        "        location {NAMED} {{ {resolver} set $name origin.test; proxy_pass http://$name:{port}; }}\n"
    );
    site::configuration_with(dir, &named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up() {
        let text = configuration(Path::new("/dir"));
        assert!(text.contains("location /named { resolver 127.0.0.1:5300 "), "{text}");
        assert!(text.contains("proxy_pass http://$name:8081;"), "{text}");
        assert_eq!(text.matches("proxy_pass").count(), UPSTREAMS.len() + 1);
    }
}
