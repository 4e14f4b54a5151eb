//! A control group with little memory, so that the kernel kills what needs more.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::util::sh;

/// Where version 1 has its tree for memory.
const VERSION_1: &str = "/sys/fs/cgroup/memory";

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// The group; removed on drop, once what was in it has ended.
#[derive(Debug)]
pub struct MemoryLimit {
    folder: PathBuf,
    /// Where the tree of version 2 was mounted for it.
    mounted: Option<PathBuf>,
}

impl MemoryLimit {
    /// Makes one of so many bytes.
    pub fn new(bytes: u64) -> Result<Self> {
        let name = format!("utl-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let version_1 = Path::new(VERSION_1).join("memory.limit_in_bytes").exists();
        let (tree, limit) = if version_1 {
            (PathBuf::from(VERSION_1), "memory.limit_in_bytes")
        } else {
            (mount(&name)?, "memory.max")
        };
        let group = Self { folder: tree.join(&name), mounted: (!version_1).then_some(tree) };
        fs::create_dir(&group.folder).with_context(|| format!("make {}", group.folder.display()))?;
        fs::write(group.folder.join(limit), bytes.to_string())
            .context("limit the memory of a control group")?;
        Ok(group)
    }

    /// Moves a process into it.
    pub fn take(&self, pid: u32) -> Result<()> {
        fs::write(self.folder.join("cgroup.procs"), pid.to_string())
            .context("move a process into a control group")
    }

    /// Its path in its tree.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/{}", self.folder.file_name().unwrap_or_default().to_string_lossy())
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // A group can be removed once its last process has been waited for.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        if let Some(mounted) = &self.mounted {
            let _left_over = sh(&format!("umount {}", mounted.display()));
            let _left_over = fs::remove_dir(mounted);
        }
    }
}

/// The tree of version 2, with memory limits.
fn mount(name: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("{name}-cgroups"));
    fs::create_dir_all(&folder)?;
    sh(&format!("mount -t cgroup2 none {}", folder.display()))?;
    fs::write(folder.join("cgroup.subtree_control"), "+memory").context("memory limits of control groups")?;
    Ok(folder)
}
