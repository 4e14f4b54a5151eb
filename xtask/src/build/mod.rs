//! `cargo xtask build`: the kernel side, then one binary with the kernel side in it.

mod target;

use std::env;
use std::env::consts::ARCH;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::say::say;
use crate::setup::{self, Toolchain};
use crate::{paths, process};
pub(crate) use target::Target;

/// What cargo calls the program.
const PROGRAM: &str = "upstream-trace";

/// Where cargo puts it with optimisations.
const RELEASE: &str = "release";

/// Which binary to build.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Build with optimisations; this is the default
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// Build the host side without optimisations
    #[arg(long)]
    debug: bool,
    /// Link the C library in, so that the binary runs on any Linux of this architecture
    #[arg(long = "static")]
    statically: bool,
    /// Build for this instead of this machine; also static
    #[arg(long, value_name = "TARGET", conflicts_with = "statically")]
    target: Option<Target>,
}

impl Options {
    /// With the C library in it.
    pub(crate) fn statically() -> Self {
        Self { statically: true, ..Self::default() }
    }

    /// What is there the soonest: what `cargo xtask build` made, brought up to date; on a new machine a build without
    /// optimisations, which takes less than a third and shares with xtask what both depend on.
    pub(crate) fn soonest() -> Self {
        Self::after(paths::target().join(RELEASE).join(PROGRAM).is_file())
    }

    fn after(is_release_there: bool) -> Self {
        Self { debug: !is_release_there, ..Self::default() }
    }

    /// For another architecture perhaps.
    pub(crate) fn of(target: Option<Target>) -> Self {
        Self { target, ..Self::default() }
    }
}

/// Builds it, says where it is, and returns where.
pub(crate) fn build(options: Options) -> Result<PathBuf> {
    let arch = options.target.map_or(ARCH, Target::arch);
    let object = kernel_side(&setup::toolchain()?, arch)?;
    let binary = host_side(options, &object)?;
    let size = fs::metadata(&binary).with_context(|| format!("there is no {}", binary.display()))?.len();
    say("Built", format!("{} ({:.1} MB)", paths::shown(&binary), size as f64 / 1e6));
    Ok(binary)
}

/// The object with the BPF programs, for kernels of this architecture.
fn kernel_side(toolchain: &Toolchain, arch: &str) -> Result<PathBuf> {
    let dir = paths::target().join(if arch == ARCH { "bpf".to_owned() } else { format!("bpf-{arch}") });
    let mut cargo = bpf_cargo(toolchain, arch)?;
    cargo.args(["build", "--release", "--target-dir"]).arg(&dir);
    process::run(&mut cargo).context("the eBPF side did not build")?;
    Ok(dir.join(bpf_target(arch)).join("release/upstream-trace"))
}

/// A cargo with the compiler that can build the standard library for targets that have none compiled.
pub(crate) fn source_cargo(toolchain: &Toolchain) -> Command {
    let mut cargo = Command::new(&toolchain.cargo);
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_host_build(name)) {
        cargo.env_remove(name);
    }
    cargo.current_dir(paths::root()).env("RUSTC", &toolchain.rustc).env("RUSTC_BOOTSTRAP", "1");
    cargo
}

/// Short structures are set and copied by stores in a row. By default bpf-linker has LLVM call a loop for it, of which the verifier
/// walks each iteration: that took a third of the verifier's time (66,218 instructions walked of `inet_sock_set_state` instead of
/// 48,764 on 6.18).
const SHORT_COPIES: &str = "-Clink-arg=--disable-expand-memcpy-in-order";

/// A cargo that builds for the BPF target, and for kernels of this architecture; say which command.
pub(crate) fn bpf_cargo(toolchain: &Toolchain, arch: &str) -> Result<Command> {
    let mut cargo = source_cargo(toolchain);
    let linkers = toolchain.linker.parent().map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(linkers.into_iter().chain(env::split_paths(&path)))
        .context("PATH cannot take the directory of bpf-linker: its name has a colon")?;
    cargo
        .current_dir(paths::root().join("upstream-trace-ebpf"))
        .env("PATH", path)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            flags(&["-Cdebuginfo=2", "-Clink-arg=--btf", SHORT_COPIES, "--cfg", &registers_of(arch)]),
        )
        .env("CARGO_BUILD_TARGET", bpf_target(arch))
        .env("CARGO_UNSTABLE_BUILD_STD", "core");
    Ok(cargo)
}

/// These, and others for the compiler: names of folders of this machine stay out of what it makes, so that every clone gives
/// the same bytes. Separated as cargo wants flags in which there may be spaces.
fn flags(flags: &[&str]) -> String {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let elsewhere = [Some((paths::root().to_owned(), "/upstream-trace")), home.map(|home| (home, "/cargo"))];
    let moved = elsewhere.into_iter().flatten();
    let moved = moved.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    flags.iter().map(ToString::to_string).chain(moved).collect::<Vec<_>>().join("\x1f")
}

/// What cargo and rustup say to the build that runs xtask, and what a developer says to builds for the host.
fn is_of_host_build(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let kept = ["CARGO_HOME", "RUSTUP_HOME", "RUST_BACKTRACE", "CARGO_TERM_COLOR"];
    let network = ["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    if kept.contains(&&*name) || network.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    name.starts_with("CARGO") || name.starts_with("RUST") || name == "LD_LIBRARY_PATH"
}

/// For the compiler: whose registers programs see. aya asks for the same setting.
fn registers_of(arch: &str) -> String {
    format!("bpf_target_arch=\"{arch}\"")
}

/// All of [`Target`] are little endian.
fn bpf_target(arch: &str) -> &'static str {
    if arch == ARCH && cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" }
}

fn host_side(options: Options, object: &Path) -> Result<PathBuf> {
    let (mut cargo, mut dir) = match options.target {
        Some(target) => (target.cargo()?, target.folder()),
        None if options.statically => statically(),
        None => (process::cargo(), paths::target()),
    };
    cargo.args(["build", "--package", PROGRAM]).env("UPSTREAM_TRACE_EBPF", object);
    if options.debug {
        dir.push("debug");
    } else {
        cargo.arg("--release");
        dir.push(RELEASE);
    }
    process::run(&mut cargo)?;
    Ok(dir.join(PROGRAM))
}

/// With this machine's C library; and where that goes.
fn statically() -> (Command, PathBuf) {
    let triple = format!("{ARCH}-unknown-linux-gnu");
    let mut cargo = process::cargo();
    cargo
        .env("CARGO_BUILD_TARGET", &triple)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&["-Ctarget-feature=+crt-static"]));
    (cargo, paths::target().join(triple))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soonest_build_is_a_release_where_one_is() {
        assert!(Options::after(false).debug);
        assert!(!Options::after(true).debug);
    }

    #[test]
    fn what_the_bpf_build_must_not_inherit() {
        for name in
            ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO_TARGET_DIR", "LD_LIBRARY_PATH"]
        {
            assert!(is_of_host_build(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "RUSTUP_HOME", "CARGO_NET_OFFLINE", "PATH", "HOME"] {
            assert!(!is_of_host_build(OsStr::new(name)), "{name}");
        }
    }
}
