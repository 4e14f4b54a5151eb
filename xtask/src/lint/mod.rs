//! `cargo xtask lint`: form, lints, licences and documentation of all code.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::say::{note, say};
use crate::{build, paths, process, setup};

const KERNEL_SIDE: &str = "upstream-trace-ebpf/Cargo.toml";
const FUZZERS: &str = "fuzz/libfuzzer/Cargo.toml";

/// Licences and sources; advisories need a database that is not there everywhere.
const DENY: [&str; 4] = ["check", "bans", "licenses", "sources"];

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 5] = [
    ("form", form),
    ("lints", lints),
    ("lints of the eBPF side", kernel_side),
    ("licences and sources", licences),
    ("documentation", documentation),
];

/// Runs every step, and fails in the end if one did.
pub(crate) fn lint() -> Result<()> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        say("Checking", name);
        if let Err(error) = step() {
            note("Failed", format!("{error:#}"));
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("not clean: {}; what is wrong stands above", failed.join(", "));
    }
    say("Clean", "nothing to complain about");
    Ok(())
}

fn form() -> Result<()> {
    let workspace = process::run(process::cargo().args(["fmt", "--all", "--check"]));
    let apart =
        |manifest| process::run(process::cargo().args(["fmt", "--check", "--manifest-path", manifest]));
    workspace.and(apart(KERNEL_SIDE)).and(apart(FUZZERS))
}

fn lints() -> Result<()> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    process::run(process::cargo().args(clippy))
}

/// The compiler that builds the eBPF side brings a clippy of its own, or none.
fn kernel_side() -> Result<()> {
    let toolchain = setup::toolchain()?;
    let Some(clippy) = setup::clippy(&toolchain) else {
        note("Skipped", format!("there is no clippy beside {}", toolchain.rustc.display()));
        return Ok(());
    };
    let mut cargo = build::bpf_cargo(&toolchain)?;
    cargo.args(["check", "--release", "--target-dir"]).arg(paths::target().join("bpf-lint"));
    // What `cargo clippy` does, with a clippy that cargo would not find.
    cargo.env("RUSTC_WORKSPACE_WRAPPER", clippy).env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings");
    process::run(&mut cargo)
}

fn licences() -> Result<()> {
    let Some(deny) = paths::program("cargo-deny") else {
        note("Skipped", "there is no cargo-deny; get it with: cargo install --locked cargo-deny");
        return Ok(());
    };
    let check = |manifest: PathBuf| {
        let mut command = Command::new(&deny);
        process::run(command.current_dir(paths::root()).arg("--manifest-path").arg(manifest).args(DENY))
    };
    let all = ["Cargo.toml", KERNEL_SIDE, FUZZERS];
    all.iter().try_for_each(|manifest| check(paths::root().join(manifest)))
}

fn documentation() -> Result<()> {
    let mut cargo = process::cargo();
    process::run(
        cargo.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"),
    )
}
