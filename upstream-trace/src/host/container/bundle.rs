//! What the low-level runtime was given: `config.json`, which every runtime writes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Files;
use super::files::absolute;

/// The specification of a container.
#[derive(Debug)]
pub(super) struct Bundle {
    spec: Value,
}

impl Bundle {
    /// Of a container of a shim, which works in the bundle of the container that it was started for; those of other
    /// containers of the same pod are beside it.
    pub(super) fn of_shim(shim: u32, id: &str, files: &Files) -> Option<Self> {
        let own = fs::read_link(format!("/proc/{shim}/cwd")).ok()?;
        let folder = if own.file_name()?.to_str()? == id { own } else { own.parent()?.join(id) };
        Some(Self { spec: files.json(&folder.join("config.json"))? })
    }

    #[cfg(test)]
    pub(super) fn new(spec: Value) -> Self {
        Self { spec }
    }

    /// An annotation.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.spec["annotations"][name].as_str()
    }

    /// The file of the host that is mounted there.
    pub(super) fn mounted(&self, there: &str) -> Option<PathBuf> {
        let mounts = self.spec["mounts"].as_array()?;
        let mount = mounts.iter().find(|mount| mount["destination"] == there)?;
        absolute(mount["source"].as_str()?)
    }

    /// Its root folder.
    pub(super) fn root(&self) -> Option<&Path> {
        self.spec["root"]["path"].as_str().map(Path::new)
    }
}
