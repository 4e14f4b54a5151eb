//! An nginx of a newer Debian, with its own libraries, in a folder of its own: what it does is not what the one of this
//! release does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::archive::{AMD64, Apt};
use crate::say::{note, say};
use crate::{paths, process};

/// The release of Debian that it is from.
const SUITE: &str = "sid";

/// nginx with its modules for `stream` and Lua, and all libraries that they load.
const PACKAGES: [&str; 15] = [
    "nginx",
    "libnginx-mod-stream",
    "libnginx-mod-http-lua",
    "libnginx-mod-http-ndk",
    "lua-resty-core",
    "lua-resty-lrucache",
    "libluajit-5.1-2",
    "libluajit-5.1-common",
    "libc6",
    "libcrypt1",
    "libpcre2-8-0",
    "libssl3t64",
    "zlib1g",
    "libgcc-s1",
    "libzstd1",
];

/// The folder that it is in, if it is there.
pub(crate) fn root() -> Option<PathBuf> {
    folder().join("fetched").is_file().then(|| folder().join("root"))
}

/// Gets it, unless it is there. Without it the scenarios that need it are ignored, and say so.
pub(super) fn ensure() {
    if root().is_none()
        && let Err(error) = fetch()
    {
        note("Warning", format!("newer releases of nginx are not tested: {error:#}"));
    }
}

fn folder() -> PathBuf {
    paths::target().join("newer-nginx")
}

fn fetch() -> Result<()> {
    let (folder, root) = (folder(), folder().join("root"));
    say("Fetching", format!("nginx of Debian {SUITE}"));
    let apt = Apt::new(&folder.join("apt"), SUITE, AMD64)?;
    apt.unpack(&PACKAGES, &root)?;
    apt.remove();
    relocate(&root)?;
    fs::write(folder.join("fetched"), "").context("cannot write to the build folder")
}

/// Makes the program and its modules load the libraries in that folder, not those of this machine.
fn relocate(root: &Path) -> Result<()> {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let patch = |file: &Path, interpreter: Option<&Path>| {
        let mut patchelf = Command::new("patchelf");
        if let Some(interpreter) = interpreter {
            patchelf.arg("--set-interpreter").arg(interpreter);
        }
        patchelf.args(["--force-rpath", "--set-rpath"]).arg(&libraries).arg(file);
        process::capture(&mut patchelf).map(drop)
    };
    patch(&root.join("usr/sbin/nginx"), Some(&libraries.join("ld-linux-x86-64.so.2")))?;
    for module in fs::read_dir(root.join("usr/lib/nginx/modules"))? {
        patch(&module?.path(), None)?;
    }
    Ok(())
}
