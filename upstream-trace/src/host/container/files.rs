//! Files as another process sees them: small ones of a runtime, bounded.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde_json::Value;

use crate::host::{file_below, read_bounded, regular_file_below};

/// Largest file that is read whole, bytes. `config.json` of a privileged container has about 60 KiB.
const LARGEST: u64 = 4 << 20;

/// Entries of a folder that are looked at: a node of Kubernetes has a few hundred containers.
const MOST: usize = 10_000;

/// The files that a process sees.
#[derive(Debug)]
pub struct Files {
    root: File,
}

impl Files {
    /// Those of a process; `None` if it is gone or may not be looked at.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Self::below(Path::new(&format!("/proc/{pid}/root")))
    }

    /// Those below a folder.
    #[must_use]
    pub fn below(root: &Path) -> Option<Self> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        Some(Self { root: OpenOptions::new().read(true).custom_flags(flags).open(root).ok()? })
    }

    /// Opens a regular file.
    ///
    /// # Errors
    /// If there is none, or what is there is no regular file.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        regular_file_below(&self.root, path).map(|(file, _)| file)
    }

    /// A small file with one JSON value.
    pub(super) fn json(&self, path: &Path) -> Option<Value> {
        let bytes = read_bounded(self.open(path).ok()?, LARGEST).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Names in a folder.
    pub(super) fn names(&self, path: &Path) -> Vec<String> {
        let Ok(folder) = file_below(&self.root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) else {
            return Vec::new();
        };
        let through = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder));
        let Ok(entries) = fs::read_dir(through) else { return Vec::new() };
        entries.flatten().take(MOST).filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

/// A path from a runtime's own file or command line, if it is an absolute one.
pub(super) fn absolute(path: &str) -> Option<PathBuf> {
    path.starts_with('/').then(|| path.into())
}
