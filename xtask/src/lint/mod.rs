//! `cargo xtask lint`: form, lints, rooms, licences, advisories and documentation of all code.

mod deny;
mod reading;
mod rooms;

use anyhow::{Result, bail, ensure};

use crate::say::{note, say};
use crate::{build, paths, process, setup};

const KERNEL_SIDE: &str = "upstream-trace-ebpf/Cargo.toml";
const FUZZERS: &str = "fuzz/libfuzzer/Cargo.toml";

/// What to check.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only checks whose name contains this
    filter: Option<String>,
    /// A check that cannot run on this machine is an error
    #[arg(long)]
    strict: bool,
    /// Check nothing; print the map of rooms as the code is now
    #[arg(long, conflicts_with_all = ["filter", "strict"])]
    print_rooms: bool,
}

/// What a check came to that found nothing wrong.
enum Outcome {
    Clean,
    /// This machine lacks what it takes: what, and why.
    NotRun(String),
}

type Step = (&'static str, fn() -> Result<Outcome>);

const STEPS: [Step; 9] = [
    ("form", form),
    ("rooms", rooms::rooms),
    ("reading without a kernel", reading::dependencies),
    ("lints", lints),
    ("lints of the eBPF side", kernel_side),
    ("licences and sources", deny::licences),
    ("advisories", deny::advisories),
    ("reading on other systems", reading::other_systems),
    ("documentation", documentation),
];

/// Runs every step, and fails in the end if one did.
pub(crate) fn lint(options: &Options) -> Result<()> {
    if options.print_rooms {
        return rooms::print();
    }
    let filter = options.filter.as_deref().unwrap_or_default();
    let steps: Vec<_> = STEPS.into_iter().filter(|(name, _)| name.contains(filter)).collect();
    ensure!(!steps.is_empty(), "no such check; there are {}", STEPS.map(|(name, _)| name).join(", "));
    let (mut failed, mut not_run) = (Vec::new(), Vec::new());
    for (name, step) in steps {
        say("Checking", name);
        match step() {
            Ok(Outcome::Clean) => {}
            Ok(Outcome::NotRun(why)) => {
                note("Not run", format!("{name}: {why}"));
                not_run.push(name);
            }
            Err(error) => {
                note("Failed", format!("{error:#}"));
                failed.push(name);
            }
        }
    }
    conclude(&failed, &not_run, options.strict)
}

fn conclude(failed: &[&str], not_run: &[&str], is_strict: bool) -> Result<()> {
    if !failed.is_empty() {
        bail!("not clean: {}; what is wrong stands above", failed.join(", "));
    }
    if is_strict && !not_run.is_empty() {
        bail!("not run: {}; why stands above", not_run.join(", "));
    }
    match not_run {
        [] => say("Clean", "nothing to complain about"),
        _ => note("Clean", format!("but for what was not run: {}", not_run.join(", "))),
    }
    Ok(())
}

fn form() -> Result<Outcome> {
    let workspace = process::run(process::cargo().args(["fmt", "--all", "--check"]));
    let apart =
        |manifest| process::run(process::cargo().args(["fmt", "--check", "--manifest-path", manifest]));
    workspace.and(apart(KERNEL_SIDE)).and(apart(FUZZERS))?;
    Ok(Outcome::Clean)
}

fn lints() -> Result<Outcome> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    process::run(process::cargo().args(clippy))?;
    Ok(Outcome::Clean)
}

/// The compiler that builds the eBPF side brings a clippy of its own.
fn kernel_side() -> Result<Outcome> {
    let toolchain = setup::toolchain()?;
    let clippy = setup::clippy(&toolchain)?;
    let mut cargo = build::bpf_cargo(&toolchain, std::env::consts::ARCH)?;
    // Beside the build, which has compiled all that runs on the host.
    cargo.args(["check", "--release", "--target-dir"]).arg(paths::target().join("bpf"));
    // What `cargo clippy` does, with a clippy that cargo would not find.
    cargo.env("RUSTC_WORKSPACE_WRAPPER", clippy).env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings");
    process::run(&mut cargo)?;
    Ok(Outcome::Clean)
}

fn documentation() -> Result<Outcome> {
    let mut cargo = process::cargo();
    cargo.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings");
    process::run(&mut cargo)?;
    Ok(Outcome::Clean)
}

#[cfg(test)]
mod tests {
    use super::conclude;

    #[test]
    fn what_was_not_run_is_an_error_only_if_asked_for() {
        assert!(conclude(&[], &[], true).is_ok());
        assert!(conclude(&[], &["advisories"], false).is_ok());
        let error = conclude(&[], &["advisories"], true).unwrap_err().to_string();
        assert_eq!(error, "not run: advisories; why stands above");
        assert!(conclude(&["form"], &[], false).is_err());
    }
}
