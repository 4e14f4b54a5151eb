//! zig, the C compiler and linker for other architectures, with a C library for each. Python's package registry has it
//! for every host.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{apt, own_tools};
use crate::say::say;
use crate::{paths, process};

/// The release that is fetched where there is none.
const VERSION: &str = "0.17.1";

/// zig; fetched into `target/tools` if there is none.
pub(crate) fn zig() -> Result<PathBuf> {
    let folder = own_tools().join(format!("zig-{VERSION}"));
    let own = folder.join("ziglang/zig");
    if own.is_file() {
        return Ok(own);
    }
    if let Some(found) = paths::program("zig") {
        return Ok(found);
    }
    if process::capture(pip().arg("--version")).is_err() && apt::is_usable() {
        apt::install(&["python3-pip"])?;
    }
    say("Fetching", format!("zig {VERSION} (pip), a hundred megabytes"));
    let mut install = pip();
    install.args(["install", "--quiet", "--no-deps", "--root-user-action=ignore", "--target"]).arg(&folder);
    let how = "other architectures are built for with zig: put one into PATH, or a pip that can fetch it";
    process::capture(install.arg(format!("ziglang=={VERSION}"))).context(how)?;
    Ok(own)
}

fn pip() -> Command {
    let mut python = Command::new("python3");
    python.args(["-m", "pip"]);
    python
}
