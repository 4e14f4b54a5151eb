//! Packages of other Debian releases, from the mirror that apt already uses; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{paths, process};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// This machine's architecture, as Debian names it; what is fetched for it is x86-64 only so far.
pub(crate) const AMD64: &str = "amd64";

/// An apt beside the machine's own: same mirror, same proxies, another release or architecture, nothing installed.
pub(crate) struct Apt {
    folder: PathBuf,
    architecture: &'static str,
}

impl Apt {
    /// One whose files are in this folder, with the lists of this release for this architecture.
    pub(crate) fn new(folder: &Path, suite: &str, architecture: &'static str) -> Result<Self> {
        ensure!(
            paths::program("apt-get").is_some(),
            "packages of Debian {suite} come through apt-get, which this machine does not have"
        );
        for part in ["lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(folder.join(part)).context("cannot make a folder for apt")?;
        }
        let signed =
            if Path::new(KEYRING).is_file() { format!(" signed-by={KEYRING}") } else { String::new() };
        let source =
            format!("deb [arch={architecture} target=Packages{signed}] {} {suite} main\n", mirror()?);
        fs::write(folder.join("sources.list"), source)?;
        fs::write(folder.join("status"), "")?;
        let apt = Self { folder: folder.to_owned(), architecture };
        process::capture(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let options = [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ];
        for (option, file) in options {
            command.arg("-o").arg(format!("{option}={}", self.folder.join(file).display()));
        }
        for option in ["APT::Architecture", "APT::Architectures"] {
            command.arg("-o").arg(format!("{option}={}", self.architecture));
        }
        command.args(["-o", "Dir::Etc::sourceparts=-", "-o", "Acquire::Languages=none", "-q"]);
        command
    }

    /// What a package depends on, as apt names it.
    pub(crate) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let depends = process::capture(self.command("apt-cache").args(["depends", package]))?;
        let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.map(str::to_owned).collect())
    }

    /// Downloads packages and unpacks them into this folder, which is emptied before.
    pub(crate) fn unpack<T: AsRef<std::ffi::OsStr>>(&self, packages: &[T], root: &Path) -> Result<()> {
        let debs = self.folder.join("debs");
        process::capture(self.command("apt-get").arg("download").args(packages).current_dir(&debs))?;
        unpack(&debs, root)
    }

    /// The same, with all that these packages depend on.
    pub(crate) fn unpack_all(&self, packages: &[&str], root: &Path) -> Result<()> {
        let mut install = self.command("apt-get");
        install.args(["install", "--download-only", "--no-install-recommends", "-y"]).args(packages);
        process::capture(&mut install)?;
        unpack(&self.folder.join("cache/archives"), root)
    }

    /// Lists and packages are large, and not needed any more.
    pub(crate) fn remove(self) {
        let _left_over = fs::remove_dir_all(self.folder);
    }
}

/// Unpacks all packages of a folder into another, which is emptied before.
fn unpack(packages: &Path, root: &Path) -> Result<()> {
    let _left_over = fs::remove_dir_all(root);
    let files = fs::read_dir(packages)?.filter_map(|file| Some(file.ok()?.path()));
    for package in files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")) {
        process::capture(Command::new("dpkg").arg("-x").arg(package).arg(root))?;
    }
    Ok(())
}

/// Where apt gets Debian's own packages.
fn mirror() -> Result<String> {
    let format = "$(ORIGIN)/$(LABEL)/$(REPO_URI)";
    let targets = process::capture(Command::new("apt-get").args(["indextargets", "--format", format]))?;
    let mirror = targets.lines().find_map(|line| line.strip_prefix("Debian/Debian/"));
    let Some(mirror) = mirror else {
        bail!(
            "apt knows no mirror of Debian; packages of other releases are taken from there (try: apt-get update)"
        );
    };
    Ok(mirror.to_owned())
}
