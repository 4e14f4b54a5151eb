//! Real containers: images made of what is installed on this host, run by a real docker and podman, whose data, sockets
//! and processes are the world's own and end with it.

mod docker;
mod image;
mod journald;
mod podman;
mod pods;
mod unit;

pub use docker::Docker;
pub use journald::Journald;
pub use podman::Podman;
pub use pods::Pod;
pub use unit::Unit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::util::text_of;
use crate::world::World;
use crate::world::software::installed;

/// The name of the image with nginx.
pub const IMAGE: &str = "lab-nginx:1";

/// Where the trees of control groups may be: version 2 alone or beside version 1.
const TREES: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// What is missing for containers on this host, in words.
#[must_use]
pub fn missing(runtime: &str) -> Option<&'static str> {
    let needed: &[&'static str] = match runtime {
        "docker" => &["dockerd", "docker", "busybox", "runc"],
        "podman" => &["podman", "conmon", "busybox", "runc"],
        _ => &[],
    };
    needed.iter().copied().find(|program| !installed(program))
}

/// What is missing for a journal on this host, in words.
#[must_use]
pub fn journal_missing() -> Option<&'static str> {
    let there = installed("journalctl") && installed("systemd-cat") && Path::new(journald::PROGRAM).is_file();
    (!there).then_some("journalctl, systemd-cat and systemd-journald")
}

/// A worker of the nginx at this address answers: a master listens before it has any.
fn answers(world: &World<'_>, address: &str) -> bool {
    world.connect_to(address).is_ok_and(|mut connection| {
        connection.send("GET", "/", &[], false).is_ok() && connection.receive().status != 0
    })
}

/// Runs a program and gives its output.
fn run(command: &mut Command) -> Result<String> {
    let line = format!("{command:?}");
    text_of(&command.output().with_context(|| line.clone())?).with_context(|| line)
}

/// Arguments of either runtime that make the image [`IMAGE`] of an archive.
fn import(archive: &str) -> [&str; 7] {
    let (entry, arguments) = (r#"ENTRYPOINT ["/usr/sbin/nginx"]"#, r#"CMD ["-g","daemon off;"]"#);
    ["import", "-c", entry, "-c", arguments, archive, IMAGE]
}

/// The tree of control groups of version 2.
fn tree() -> Result<PathBuf> {
    let mut trees = TREES.iter().map(|tree| Path::new(tree).join("cgroup.procs"));
    let found = trees.find(|procs| procs.is_file()).context("no tree of control groups of version 2")?;
    Ok(found.parent().context("a folder")?.to_owned())
}

/// Empty control groups that a runtime leaves behind.
fn remove_groups(name: &str) {
    let Ok(trees) = fs::read_dir("/sys/fs/cgroup") else { return };
    let trees = trees.flatten().map(|entry| entry.path()).chain([Path::new("/sys/fs/cgroup").to_owned()]);
    for tree in trees {
        remove_empty(&tree.join(name));
    }
}

/// A group, and those in it. Fails while a process is in one of them.
fn remove_empty(group: &Path) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_empty(&entry.path());
    }
    let _in_use = fs::remove_dir(group);
}

fn first_line(text: &str) -> Result<&str> {
    match text.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => Ok(line.trim()),
        None => bail!("no output"),
    }
}
