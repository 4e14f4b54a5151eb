//! Containers of podman, in the network namespace of nginx.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{IMAGE, answers, first_line, image, import, remove_groups, run};
use crate::util::wait_until;
use crate::world::World;

/// Containers whose storage is the world's own; they end on drop.
#[derive(Debug)]
pub struct Podman {
    folder: PathBuf,
    network: String,
}

impl Podman {
    /// Makes the image [`IMAGE`].
    pub fn start(world: &World<'_>) -> Result<Self> {
        let folder = world.folder().join("podman");
        fs::create_dir_all(&folder)?;
        let network = format!("ns:/run/netns/{}", world.ng().name());
        let podman = Self { folder, network };
        let archive = image::archive(&podman.folder)?.display().to_string();
        podman.run(&import(&archive))?;
        Ok(podman)
    }

    /// A command of podman.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("podman");
        for (option, name) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.folder.join(name));
        }
        // One low-level runtime that takes control groups of either version, and both.
        command.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        run(command.args(args))
    }

    /// Runs nginx in a container of this name, with a file of the world as its configuration, which listens at an
    /// address of the world, and this driver for its output.
    pub fn nginx(
        &self,
        world: &World<'_>,
        name: &str,
        config: &str,
        address: &str,
        driver: &str,
    ) -> Result<()> {
        let file = format!("{name}.conf");
        world.file(&file, config)?;
        let mount = format!("{}:/etc/nginx/nginx.conf:ro", world.folder().join(file).display());
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
        let how =
            ["run", "-d", "--log-driver", driver, "--network", &self.network, "--name", name, "-v", &mount];
        self.run(&[&how[..], &limits, &[IMAGE]].concat())?;
        let up = || answers(world, address);
        wait_until(name, Duration::from_secs(10), up)
            .with_context(|| self.run(&["logs", name]).unwrap_or_default())
    }

    /// The first process of a container.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let text = self.run(&["inspect", "-f", "{{.State.Pid}}", name])?;
        first_line(&text)?.parse().context("a pid")
    }
}

impl Podman {
    /// Something of podman works here still: conmon starts another podman when its container has ended, beside the
    /// command that removes it, and that mounts the storage once more.
    fn is_at_work(&self) -> bool {
        let Ok(processes) = fs::read_dir("/proc") else { return false };
        let folder = self.folder.as_os_str().as_encoded_bytes();
        processes.flatten().any(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let of_podman = line.starts_with(b"/usr/bin/conmon") || line.starts_with(b"/usr/bin/podman");
            of_podman && line.windows(folder.len()).any(|part| part == folder)
        })
    }

    /// Unmounts all that podman has mounted below the folder, innermost first: the storage mounts its own folder onto
    /// itself, and again with each command that finds it unmounted.
    fn unmount(&self) {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        let mut below: Vec<_> = points.filter(|point| point.starts_with(&self.folder)).collect();
        below.reverse();
        for point in below {
            let _busy = run(Command::new("umount").arg("--lazy").arg(point));
        }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _already_gone = self.run(&["rm", "-f", "-a", "-t", "1"]);
        let over = || !self.is_at_work();
        let _late = wait_until("podman to clean up", Duration::from_secs(10), over);
        self.unmount();
        remove_groups("libpod_parent");
    }
}
