//! `cargo xtask setup`: makes sure that everything is there that build, tests and demo need.

mod apt;
mod lints;
mod newer_nginx;
mod programs;
mod stamp;
mod stream_module;
mod toolchain;
mod zig;

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::say::{note, say};
pub(crate) use lints::{cargo_deny, clippy, installed};
pub(crate) use newer_nginx::root as newer_nginx;
pub(crate) use programs::{browser, versioned};
pub(crate) use stream_module::folder as stream_module;
pub(crate) use toolchain::{Toolchain, own_tools};
pub(crate) use zig::zig;

/// The release of `bpf-linker` that is installed where none fits.
const LINKER_VERSION: &str = "0.13.0";

const BY_HAND: &str = "install a nightly compiler with its source and a bpf-linker of the same LLVM:\n  \
    rustup toolchain install nightly --component rust-src\n  cargo install bpf-linker";

/// What people need who change the code: all of [`all`], and what lints need.
pub(crate) fn everything() -> Result<()> {
    let toolchain = all()?;
    cargo_deny()?;
    clippy(&toolchain).map(drop)
}

/// What build, demo and tests need.
pub(crate) fn all() -> Result<Toolchain> {
    let toolchain = toolchain()?;
    programs::ensure()?;
    Ok(toolchain)
}

/// What the fault lab needs beyond that: origins that people run.
pub(crate) fn for_tests() -> Result<()> {
    programs::ensure_for_tests()?;
    newer_nginx::ensure();
    Ok(())
}

/// What the benchmark needs beyond that.
pub(crate) fn for_bench() -> Result<()> {
    programs::ensure_for_bench()
}

/// What the soak test with healthy origins needs beyond that.
pub(crate) fn for_healthy() -> Result<()> {
    for_bench()?;
    for_tests()?;
    stream_module::ensure();
    Ok(())
}

/// What boots other kernels.
pub(crate) fn for_vm() -> Result<()> {
    programs::ensure_for_vm()
}

/// What boots kernels of another architecture, beyond that.
pub(crate) fn for_vm_of_another_architecture() -> Result<()> {
    programs::ensure_for_vm_of_another_architecture()
}

/// Says what is there and what is not, and changes nothing.
pub(crate) fn check() -> Result<()> {
    let mut missing: Vec<String> = programs::missing().into_iter().map(str::to_owned).collect();
    match stamp::read().map_or_else(toolchain::find, Ok) {
        Ok(toolchain) => say("Found", toolchain.describe()),
        Err(complaints) => missing.extend(complaints),
    }
    if !missing.is_empty() {
        bail!("not ready: {}\n`cargo xtask setup` gets what is missing", missing.join("; "));
    }
    say("Ready", "programs for demo and tests are there");
    Ok(())
}

/// What the eBPF crate is built with.
pub(crate) fn toolchain() -> Result<Toolchain> {
    if let Some(toolchain) = stamp::read() {
        return Ok(toolchain);
    }
    let toolchain = match toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(complaints) => {
            for complaint in complaints {
                note("Missing", complaint);
            }
            install()?
        }
    };
    say("Found", toolchain.describe());
    stamp::write(&toolchain)?;
    Ok(toolchain)
}

fn install() -> Result<Toolchain> {
    if !apt::is_usable() {
        bail!("nothing here can build for the BPF target: {BY_HAND}");
    }
    let hint = || format!("or {BY_HAND}");
    apt::install(&["rustc-web", "rust-web-src"]).with_context(hint)?;
    // A linker of an earlier setup, or one of one's own, may fit already.
    if let Ok(found) = toolchain::find() {
        return Ok(found);
    }
    install_linker().with_context(hint)?;
    toolchain::find().map_err(|complaints| anyhow::anyhow!("{}; {BY_HAND}", complaints.join("; ")))
}

/// Builds a `bpf-linker` on the LLVM of the system's compiler.
fn install_linker() -> Result<()> {
    let rustc = toolchain::system_rustc();
    let version = process::capture(Command::new(&rustc).arg("-vV"))?;
    let llvm = llvm_major(&version).with_context(|| format!("{} does not name its LLVM", rustc.display()))?;
    apt::install(&[&format!("llvm-{llvm}-dev")])?;
    say("Building", format!("bpf-linker {LINKER_VERSION} on LLVM {llvm}, half a minute"));
    let root = own_tools();
    let mut cargo = process::cargo();
    cargo.args(["install", "--quiet", "bpf-linker", "--version", LINKER_VERSION, "--locked"]);
    cargo.args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"]).arg(root);
    // What it links, LLVM optimises, which is there: its own code need not be fast, and its package asks for all of that.
    cargo.envs([("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"), ("CARGO_PROFILE_RELEASE_DEBUG", "0")]);
    process::run(cargo.env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}")))
}

fn llvm_major(version: &str) -> Option<&str> {
    let version = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()
}

#[cfg(test)]
mod tests {
    use super::llvm_major;

    #[test]
    fn llvm_of_a_compiler() {
        assert_eq!(llvm_major("rustc 1.96.0\nhost: x\nLLVM version: 22.1.8\n"), Some("22"));
        assert_eq!(llvm_major("rustc 1.96.0\n"), None);
    }
}
