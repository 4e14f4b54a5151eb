//! `cargo xtask test`: unit tests, then the fault lab with the release binary, as root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::build::{self, Options, Target};
use crate::say::say;
use crate::{image, paths, process, setup};

const LAB: &str = "upstream-trace-tests";

/// Which tests to run.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Selection {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Only the fault lab
    #[arg(long, conflicts_with = "unit_only")]
    lab_only: bool,
    /// Write docs/SCENARIOS.md from a run of the whole fault lab
    #[arg(long, conflicts_with_all = ["unit_only", "filter"])]
    table: bool,
    /// Run the fault lab with this `--depth` of the tool, where a scenario names none
    #[arg(long, value_name = "auto|watch|deep", value_parser = ["auto", "watch", "deep"])]
    depth: Option<String>,
    /// Only scenarios of the fault lab whose name contains this; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with_all = ["unit_only", "table"])]
    scenario: Vec<String>,
    /// Only what needs neither root nor a BPF toolchain
    #[arg(long)]
    unit_only: bool,
}

/// Runs them all, and fails in the end if some did.
pub(crate) fn test(selection: &Selection) -> Result<()> {
    let filter = selection.filter.as_deref();
    // What the lab needs is missed at once, not after minutes of other tests.
    let binary = if selection.unit_only { None } else { Some(prepare()?) };
    let mut failed = Vec::new();
    let lab_only = selection.lab_only || selection.table || !selection.scenario.is_empty();
    if !lab_only && units(filter).is_err() {
        failed.push("unit tests");
    }
    if let Some(binary) = binary
        && lab(&binary, selection).is_err()
    {
        failed.push("the fault lab");
    }
    if !failed.is_empty() {
        bail!("{} failed; what went wrong stands above", failed.join(" and "));
    }
    Ok(())
}

fn prepare() -> Result<PathBuf> {
    setup::all()?;
    setup::for_tests()?;
    setup::browser();
    build::build(Options::default())
}

fn units(filter: Option<&str>) -> Result<()> {
    say("Testing", "units and documentation");
    let all = &["--workspace", "--exclude", LAB][..];
    // The lab has helpers that are tested like other code.
    let helpers = &["--package", LAB, "--lib"][..];
    let run = |which| {
        let mut cargo = process::cargo();
        process::run(cargo.args(["test", "--no-fail-fast"]).args(which).arg("--").args(filter))
    };
    run(all).and(run(helpers))
}

fn lab(binary: &Path, selection: &Selection) -> Result<()> {
    let lab = lab_executable(None)?;
    say("Testing", format!("the fault lab with {}", paths::shown(binary)));
    let mut command = lab_command(binary)?;
    if let Some(depth) = &selection.depth {
        command.arg(format!("UPSTREAM_TRACE_DEPTH={depth}"));
    }
    if !selection.scenario.is_empty() {
        command.arg(format!("LAB_ONLY={}", selection.scenario.join(",")));
    }
    if selection.table {
        std::fs::create_dir_all(paths::root().join("docs"))?;
        command.arg(format!("LAB_TABLE={}", paths::root().join("docs/SCENARIOS.md").display()));
    }
    command.arg(lab).args(selection.filter.as_deref());
    process::run(command.current_dir(paths::root().join("tests")))
}

/// The beginning of a command that runs the lab on this machine, with all that [`prepare`] got for it; more of its
/// environment may follow, then the lab.
pub(crate) fn lab_command(binary: &Path) -> Result<Command> {
    let mut command = process::as_root("env")?;
    command.arg(format!("UPSTREAM_TRACE_BIN={}", binary.display()));
    command.arg(format!("LAB_IMAGE={}", image::for_lab(binary)?.display()));
    if let Some(root) = setup::newer_nginx() {
        command.arg(format!("LAB_NEWER_NGINX={}", root.display()));
    }
    Ok(command)
}

/// Builds the lab, as whoever we are, and says where it is; for this machine, or another.
pub(crate) fn lab_executable(target: Option<Target>) -> Result<PathBuf> {
    let mut cargo = target.map_or_else(|| Ok(process::cargo()), Target::cargo)?;
    cargo.args(["test", "--package", LAB, "--test", "lab", "--no-run"]);
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = cargo.output().context("cannot start cargo")?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let path = messages.lines().find_map(executable).filter(|_| output.status.success());
    path.context("the fault lab did not build")
}

/// The program of the lab, if this message of cargo names it.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_lab = message["target"]["name"] == "lab";
    is_lab.then(|| message["executable"].as_str().map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn executable_of_the_lab() {
        let lab = r#"{"reason":"compiler-artifact","target":{"name":"lab"},"executable":"/target/lab-1"}"#;
        assert_eq!(executable(lab), Some("/target/lab-1".into()));
        assert_eq!(executable(&lab.replace("\"lab\"", "\"x\"")), None);
        assert_eq!(executable(&lab.replace("\"/target/lab-1\"", "null")), None);
        assert_eq!(executable("no json"), None);
    }
}
