//! `cargo xtask dist`: what a release publishes, all from one static binary: .deb, .rpm, tarball, container image, a list of
//! what is linked, checksums. Times in it are that of the last commit, so that two clones of it give the same bytes.

mod stage;
mod tools;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::say::say;
use crate::{build, image, paths, process, sha256};

/// The version of everything.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Which of them to make.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A static binary that is there already, instead of a new one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Makes everything in `target/dist`.
pub(crate) fn dist(options: Options) -> Result<()> {
    let epoch = last_commit()?;
    let binary = match options.binary {
        Some(path) => path,
        None => build::build(build::Options::statically())?,
    };
    let folder = paths::target().join("dist");
    let _was_not_there = fs::remove_dir_all(&folder);
    let stage = stage::fill(&folder.join("stage"), &binary)?;
    deb(&folder, &epoch)?;
    rpm(&folder, &epoch)?;
    tarball(&folder, &stage, &epoch)?;
    let bytes = fs::read(&binary).with_context(|| format!("read {}", binary.display()))?;
    let name = format!("upstream-trace-{VERSION}.image.tar");
    fs::write(folder.join(name), image::archive(&bytes))?;
    dependencies(&folder)?;
    checksums(&folder)
}

/// When the last commit was made, seconds since 1970.
fn last_commit() -> Result<String> {
    let mut git = Command::new("git");
    git.current_dir(paths::root()).args(["log", "-1", "--format=%ct"]);
    Ok(process::capture(&mut git).context("the time of the last commit")?.trim().to_owned())
}

/// By the table `package.metadata.deb` of the program's manifest.
fn deb(folder: &Path, epoch: &str) -> Result<()> {
    let mut command = Command::new(tools::cargo_deb()?);
    command.current_dir(paths::root()).env("SOURCE_DATE_EPOCH", epoch);
    command.args(["--package", "upstream-trace", "--no-build", "--no-strip", "--quiet", "--output"]);
    process::run(command.arg(folder))
}

/// By the table `package.metadata.generate-rpm` of the program's manifest.
fn rpm(folder: &Path, epoch: &str) -> Result<()> {
    let mut command = Command::new(tools::cargo_generate_rpm()?);
    command.current_dir(paths::root()).env("SOURCE_DATE_EPOCH", epoch);
    command.args(["--package", "upstream-trace", "--source-date", epoch, "--output"]);
    process::run(command.arg(folder))
}

fn tarball(folder: &Path, stage: &Path, epoch: &str) -> Result<()> {
    let name = format!("upstream-trace-{VERSION}-linux-{}", std::env::consts::ARCH);
    let archive = folder.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.current_dir(stage).args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg(format!("--mtime=@{epoch}")).arg(format!("--transform=s,^\\.,{name},"));
    tar.args(["--use-compress-program=gzip -n", "-cf"]).arg(&archive).arg(".");
    process::run(&mut tar)
}

/// A list of all crates that are linked, with version, licence and checksum, in the `CycloneDX` format.
fn dependencies(folder: &Path) -> Result<()> {
    const NAME: &str = "upstream-trace.cdx";
    let mut command = Command::new(tools::cargo_cyclonedx()?);
    command.current_dir(paths::root()).args(["cyclonedx", "--format", "json", "--all", "--quiet"]);
    process::run(command.args(["--override-filename", NAME]))?;
    // It writes one for each crate of the workspace.
    let mut list = None;
    for entry in fs::read_dir(paths::root())?.flatten() {
        let made = entry.path().join(format!("{NAME}.json"));
        let Ok(text) = fs::read(&made) else { continue };
        fs::remove_file(&made)?;
        if entry.file_name() == "upstream-trace" {
            list = Some(serde_json::from_slice::<Value>(&text)?);
        }
    }
    let mut list = list.context("cargo-cyclonedx wrote no list of the program")?;
    // A random number and the time of the build.
    let fields = list.as_object_mut().context("a list that is no object")?;
    fields.remove("serialNumber");
    fields.get_mut("metadata").and_then(Value::as_object_mut).map(|metadata| metadata.remove("timestamp"));
    let own =
        list["metadata"]["component"]["bom-ref"].as_str().context("a list without a name of the program")?;
    let root = root_of(own).context("the name of the program has no folder")?.to_owned();
    let text = serde_json::to_string_pretty(&list)?.replace(&root, "path+file://");
    fs::write(folder.join(format!("upstream-trace-{VERSION}.cdx.json")), text)?;
    Ok(())
}

/// In the name that cargo gives a crate of the workspace: the folder of the workspace, written as in a URL.
fn root_of(name: &str) -> Option<&str> {
    Some(name.rsplit_once("/upstream-trace#")?.0).filter(|root| root.starts_with("path+file://"))
}

/// `SHA256SUMS`, for `sha256sum --check`.
fn checksums(folder: &Path) -> Result<()> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    let mut sums = String::new();
    for file in &files {
        let digest = sha256::hex(&fs::read(file)?);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let _infallible = writeln!(sums, "{digest}  {name}");
        say("Wrote", paths::shown(file));
    }
    fs::write(folder.join("SHA256SUMS"), sums)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::root_of;

    #[test]
    fn the_folder_of_a_clone_in_the_name_of_a_crate() {
        let name = "path+file:///home/a%20b/clone/upstream-trace#0.1.0";
        assert_eq!(root_of(name), Some("path+file:///home/a%20b/clone"));
        assert_eq!(root_of("upstream-trace 0.1.0"), None);
    }
}
