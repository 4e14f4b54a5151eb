//! A compiler and a linker that can build for the BPF target.
//!
//! That target ships no compiled `core`, so the compiler needs its own library source; and `bpf-linker` must be built
//! on an LLVM that reads what the compiler writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{paths, process};

/// What the eBPF crate is built with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) linker: PathBuf,
}

impl Toolchain {
    /// What it is, for people.
    pub(crate) fn describe(&self) -> String {
        let version = |program: &Path| {
            let version = process::capture(Command::new(program).arg("--version"));
            version.unwrap_or_else(|_| program.display().to_string())
        };
        format!("{} ({}), {}", version(&self.rustc), self.rustc.display(), version(&self.linker))
    }
}

/// Where `cargo install` puts a linker of our own.
pub(crate) fn own_tools() -> PathBuf {
    paths::target().join("tools")
}

/// A toolchain that is there and works, or what is wrong with each that was looked at.
pub(crate) fn find() -> Result<Toolchain, Vec<String>> {
    let mut complaints = Vec::new();
    let linkers = linkers();
    if linkers.is_empty() {
        complaints.push("there is no bpf-linker".to_owned());
    }
    for (name, rustc, cargo) in compilers() {
        if let Err(error) = has_source(&rustc) {
            complaints.push(format!("{name}: {error:#}"));
            continue;
        }
        for linker in &linkers {
            match try_out(&rustc, linker) {
                Ok(()) => return Ok(Toolchain { cargo, rustc, linker: linker.clone() }),
                Err(error) => complaints.push(format!("{name} with {}: {error:#}", linker.display())),
            }
        }
    }
    Err(complaints)
}

/// The system's own compiler, which Debian's packages bring.
pub(crate) fn system_rustc() -> PathBuf {
    PathBuf::from("/usr/bin/rustc")
}

/// rustup's nightly, then the system's: name, compiler, cargo.
fn compilers() -> Vec<(&'static str, PathBuf, PathBuf)> {
    let default_cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut found = Vec::new();
    if let Ok(rustc) =
        process::capture(Command::new("rustup").args(["which", "--toolchain", "nightly", "rustc"]))
    {
        let rustc = PathBuf::from(rustc);
        let cargo = rustc.with_file_name("cargo");
        let cargo = if cargo.is_file() { cargo } else { default_cargo.clone() };
        found.push(("rustup's nightly", rustc, cargo));
    }
    if system_rustc().is_file() {
        found.push(("the system's rustc", system_rustc(), default_cargo));
    }
    found
}

/// Our own linker first: it was built for this.
fn linkers() -> Vec<PathBuf> {
    let own = own_tools().join("bin/bpf-linker");
    [own.is_file().then_some(own), paths::program("bpf-linker")].into_iter().flatten().collect()
}

fn has_source(rustc: &Path) -> Result<()> {
    let sysroot = process::capture(Command::new(rustc).args(["--print", "sysroot"]))?;
    let core = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core/Cargo.toml");
    anyhow::ensure!(core.is_file(), "it has no library source (rust-src)");
    Ok(())
}

/// Compiles a function and links it for BPF: whether the LLVMs fit shows only in that.
fn try_out(rustc: &Path, linker: &Path) -> Result<()> {
    let dir = paths::target().join("tools/trial");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let source = dir.join("trial.rs");
    fs::write(&source, "#![no_std]\n#[unsafe(no_mangle)]\npub fn next(x: u64) -> u64 { x + 1 }\n")
        .with_context(|| format!("cannot write {}", source.display()))?;
    let compile = ["--edition=2024", "--crate-type=lib", "--emit=llvm-bc", "-Copt-level=3", "-Cpanic=abort"];
    process::capture(
        Command::new(rustc).current_dir(&dir).args(compile).args(["trial.rs", "-o", "trial.bc"]),
    )?;
    let link = ["--target=bpfel-unknown-none", "--btf", "-o", "trial.o", "trial.bc"];
    process::capture(Command::new(linker).current_dir(&dir).args(link)).map(drop)
}
