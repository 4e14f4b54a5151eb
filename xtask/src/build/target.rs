//! Architectures that are built for on any other: a standard library made from source, and zig as C compiler and linker,
//! which has a C library (musl) for each of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{flags, source_cargo};
use crate::{paths, setup};

/// Takes the target out of the arguments of a script: Rust's names of targets are not zig's.
const WITHOUT_TARGET: &str =
    "for word; do shift; case $word in --target=*) ;; *) set -- \"$@\" \"$word\" ;; esac; done\n";

/// What a binary is built for; it is static, and runs on any Linux of that architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// arm64.
    #[value(name = "aarch64-unknown-linux-musl")]
    Aarch64,
    /// x86-64.
    #[value(name = "x86_64-unknown-linux-musl")]
    X86_64,
}

impl Target {
    /// As Rust names the architecture.
    pub(crate) fn arch(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::X86_64 => "x86_64",
        }
    }

    /// As Rust names the target.
    pub(crate) fn triple(self) -> String {
        format!("{}-unknown-linux-musl", self.arch())
    }

    /// Where its [`Target::cargo`] puts what it builds. A folder of its own: its compiler is another one than that of the
    /// host's build.
    pub(crate) fn folder(self) -> PathBuf {
        cross().join(self.triple())
    }

    /// A cargo that builds for it; say which command.
    pub(crate) fn cargo(self) -> Result<Command> {
        let zig = setup::zig()?;
        let c_compiler = self.script(
            "cc",
            &zig,
            &format!("cc -target {}-linux-musl -fno-sanitize=undefined", self.arch()),
        )?;
        let archiver = self.script("ar", &zig, "ar")?;
        let name = self.triple().replace('-', "_");
        let of_target = |what: &str| format!("CARGO_TARGET_{}_{what}", name.to_uppercase());
        let mut cargo = source_cargo(&setup::toolchain()?);
        cargo
            .env("CARGO_BUILD_TARGET", self.triple())
            .env("CARGO_TARGET_DIR", cross())
            .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_unwind")
            .env(of_target("LINKER"), &c_compiler)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(&["-Clink-self-contained=no"]))
            .env(format!("CC_{name}"), c_compiler)
            .env(format!("AR_{name}"), archiver)
            .env("ZIG_GLOBAL_CACHE_DIR", cross().join("zig"));
        Ok(cargo)
    }

    /// A program that runs zig with these arguments before others.
    fn script(self, name: &str, zig: &Path, arguments: &str) -> Result<PathBuf> {
        let file = cross().join(format!("{}-{name}", self.arch()));
        fs::create_dir_all(cross()).with_context(|| format!("cannot make {}", cross().display()))?;
        let quoted = zig.display().to_string().replace('\'', r"'\''");
        fs::write(&file, format!("#!/bin/sh\n{WITHOUT_TARGET}exec '{quoted}' {arguments} \"$@\"\n"))
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

fn cross() -> PathBuf {
    paths::target().join("cross")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::Target;

    #[test]
    fn targets_are_asked_for_as_rust_names_them() {
        for target in Target::value_variants() {
            assert_eq!(target.to_possible_value().unwrap().get_name(), target.triple());
        }
    }
}
