//! Describes a world and makes it.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Folder, World, in_folder};
use crate::lab::Lab;
use crate::nginx::{Config, Nginx};
use crate::origin::{Shows, make_certificates};
use crate::topology::Topology;

/// Describes a world before it is made.
#[derive(Debug)]
#[must_use]
pub struct WorldBuilder<'lab> {
    lab: &'lab Lab,
    number: usize,
    router: bool,
    config: Config,
    certificate: Option<Shows>,
    stuck: bool,
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

impl Lab {
    /// Begins to describe a world.
    pub fn world(&self) -> WorldBuilder<'_> {
        WorldBuilder::new(self, NUMBER.fetch_add(1, Ordering::SeqCst))
    }
}

impl<'lab> WorldBuilder<'lab> {
    pub(crate) fn new(lab: &'lab Lab, number: usize) -> Self {
        Self { lab, number, router: false, config: Config::default(), certificate: None, stuck: false }
    }

    /// Adds a peer to the group that `/` goes to: an address, and parameters if any. `unix:NAME` is in the world's folder.
    pub fn upstream(mut self, peer: &str) -> Self {
        self.config.peers.push(peer.into());
        self
    }

    /// Puts a router into the world.
    pub fn router(mut self) -> Self {
        self.router = true;
        self
    }

    /// Makes a pipe `@folder@/pipe` to which whoever writes blocks, until [`World::unblock`].
    pub fn blocked_pipe(mut self) -> Self {
        self.stuck = true;
        self
    }

    /// Changes nginx's configuration.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Takes the newer nginx, see [`crate::nginx::newer`].
    pub fn newer(self) -> Self {
        self.config(|config| config.newer = true)
    }

    /// Adds directives to `stream`, which only the newer nginx has.
    pub fn stream(self, directives: &str) -> Self {
        self.newer().config(|config| config.stream.push(directives.into()))
    }

    /// Adds directives to `server`: further locations.
    pub fn server(self, directives: &str) -> Self {
        self.config(|config| config.server.push(directives.into()))
    }

    /// Keeps connections to the upstream open.
    pub fn keepalive(self, count: usize) -> Self {
        self.config(|config| config.keepalive = count)
    }

    /// Sets `proxy_connect_timeout`.
    pub fn connect_timeout(self, time: &str) -> Self {
        self.config(|config| config.connect_timeout = time.into())
    }

    /// Sets `proxy_read_timeout`.
    pub fn read_timeout(self, time: &str) -> Self {
        self.config(|config| config.read_timeout = time.into())
    }

    /// Adds a directive to `location /`.
    pub fn location(self, directive: &str) -> Self {
        self.config(|config| config.location.push(directive.into()))
    }

    /// Adds a directive to the group of peers.
    pub fn group(self, directive: &str) -> Self {
        self.config(|config| config.group.push(directive.into()))
    }

    /// Puts a certificate for a TLS origin, and one that has nothing to do with it, into the world's folder.
    pub fn certificate(mut self, shows: Shows) -> Self {
        self.certificate = Some(shows);
        self
    }

    /// Makes it.
    pub fn start(mut self) -> Result<World<'lab>> {
        let name = format!("utl-{}-{}", std::process::id(), self.number);
        let folder = std::env::temp_dir().join(&name);
        let _left_over = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let folder = Folder(folder);
        for peer in &mut self.config.peers {
            *peer = in_folder(&folder.0, peer);
        }
        if let Some(shows) = self.certificate {
            make_certificates(&folder.0, shows)?;
        }
        let topology = Topology::create(self.number, self.router)?;
        if self.config.peers.iter().any(|peer| peer.starts_with("[fd")) {
            topology.wait_reachable("fd99::2".parse()?)?;
            if self.router {
                topology.wait_reachable("fd97::2".parse()?)?;
            }
        }
        let pipe = self.stuck.then(|| blocked_pipe(&folder.0.join("pipe"))).transpose()?;
        let nginx = Nginx::start(&topology.ng, &folder.0, &self.config)?;
        Ok(World {
            lab: self.lab,
            origins: RefCell::default(),
            kept: RefCell::default(),
            nginx,
            pipe,
            topology,
            folder,
        })
    }
}

/// A pipe in the file system that is full: of readers it has only this one.
fn blocked_pipe(path: &Path) -> Result<File> {
    mkfifo(path, Mode::from_bits_truncate(0o666))?;
    let mut pipe =
        OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    while pipe.write(&[b'\n'; 4096]).is_ok() {}
    Ok(pipe)
}
