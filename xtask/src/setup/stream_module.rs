//! The module for `stream` of the nginx that is installed, in a folder of its own; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::say::{note, say};
use crate::{paths, process};

/// Debian's package of it; of the same version as nginx, or nginx does not load it.
const PACKAGE: &str = "libnginx-mod-stream";
const MODULE: &str = "ngx_stream_module.so";
/// Where modules are, installed or unpacked.
const MODULES: &str = "usr/lib/nginx/modules";

/// The folder that it is in, if it is there.
pub(crate) fn folder() -> Option<PathBuf> {
    let folders = [Path::new("/").join(MODULES), unpacked().join(MODULES)];
    folders.into_iter().find(|folder| folder.join(MODULE).is_file())
}

/// Gets it, unless it is there. Without it `stream` is not asked, which is said.
pub(super) fn ensure() {
    if folder().is_none()
        && let Err(error) = fetch()
    {
        note("Warning", format!("stream is not tested with this nginx: {error:#}"));
    }
}

fn unpacked() -> PathBuf {
    paths::target().join("nginx-stream")
}

fn fetch() -> Result<()> {
    ensure!(
        paths::program("apt-get").is_some(),
        "its module comes through apt-get, which this machine does not have"
    );
    say("Fetching", PACKAGE);
    let root = unpacked();
    fs::create_dir_all(&root).context("cannot make a folder for it")?;
    process::capture(Command::new("apt-get").args(["download", "-q", PACKAGE]).current_dir(&root))?;
    let files = fs::read_dir(&root)?.filter_map(|file| Some(file.ok()?.path()));
    for package in files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")) {
        process::capture(Command::new("dpkg").arg("-x").arg(package).arg(&root))?;
    }
    folder().map(drop).context("its package has no such module")
}
