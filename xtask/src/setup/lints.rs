//! What lints and packages need beyond the compilers.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::apt;
use super::toolchain::{self, Toolchain, own_tools};
use crate::say::say;
use crate::{paths, process};

/// The release of cargo-deny that is installed where there is none.
const DENY_VERSION: &str = "0.20.2";

/// cargo-deny, which knows licences and advisories; built if there is none.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    installed("cargo-deny", DENY_VERSION)
}

/// A program of cargo's; this release of it is built into `target/tools` if there is none.
pub(crate) fn installed(name: &str, version: &str) -> Result<PathBuf> {
    let own = own_tools().join("bin").join(name);
    if own.is_file() {
        return Ok(own);
    }
    if let Some(found) = paths::program(name) {
        return Ok(found);
    }
    say("Building", format!("{name} {version}, a minute or two"));
    let mut cargo = process::cargo();
    // Without optimisations it is built in a third of the time, and is as fast with a workspace like this one.
    cargo.args(["install", "--quiet", "--debug", name, "--version", version, "--locked", "--root"]);
    process::run(cargo.arg(own_tools()).env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
    Ok(own)
}

/// The clippy that belongs to a toolchain's compiler; Debian has it in a package of its own.
pub(crate) fn clippy(toolchain: &Toolchain) -> Result<PathBuf> {
    let clippy = toolchain.rustc.with_file_name("clippy-driver");
    let is_debians = toolchain.rustc == toolchain::system_rustc();
    if !clippy.is_file() && is_debians && apt::is_usable() {
        apt::install(&["rust-web-clippy"])?;
    }
    if !clippy.is_file() {
        let how = if is_debians {
            "apt-get install rust-web-clippy"
        } else {
            "rustup component add clippy --toolchain nightly"
        };
        bail!("there is no clippy beside {}; get it with: {how}", toolchain.rustc.display());
    }
    Ok(clippy)
}
