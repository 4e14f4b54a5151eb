//! Kernels of other Debian releases, from the mirror that apt already uses.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::say::say;
use crate::{paths, process};

/// A kernel to try, and the release of Debian that has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    /// The version, as one asks for it.
    pub(super) name: &'static str,
    suite: &'static str,
}

/// All of them, oldest first.
pub(super) const KERNELS: [Kernel; 4] = [
    Kernel { name: "5.10", suite: "bullseye" },
    Kernel { name: "6.1", suite: "bookworm" },
    Kernel { name: "6.12", suite: "trixie" },
    Kernel { name: "7.2", suite: "sid" },
];

/// The package that depends on the release's current kernel; small, and made for virtual machines.
const META: &str = "linux-image-cloud-amd64";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Kernel and modules, unpacked.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// The compressed kernel.
    pub(super) image: PathBuf,
    /// `lib/modules/VERSION`.
    pub(super) modules: PathBuf,
    /// `uname -r` of it.
    pub(super) release: String,
}

impl Kernel {
    /// Gets it, unless it is there.
    pub(super) fn fetch(self) -> Result<Unpacked> {
        let folder = paths::target().join("vm").join(self.name);
        let (root, done) = (folder.join("root"), folder.join("fetched"));
        if !done.is_file() {
            ensure!(
                paths::program("apt-get").is_some(),
                "kernels come from Debian's archive through apt-get, which this machine does not have"
            );
            say("Fetching", format!("Linux {} of Debian {}", self.name, self.suite));
            let apt = Apt::new(&folder.join("apt"), self.suite)?;
            let packages = apt.fetch()?;
            let _left_over = fs::remove_dir_all(&root);
            for package in packages {
                process::capture(Command::new("dpkg").arg("-x").arg(package).arg(&root))?;
            }
            apt.remove();
            fs::write(&done, "")?;
        }
        unpacked(&root).with_context(|| format!("remove {} to fetch it again", folder.display()))
    }
}

/// Newer packages have everything below `usr`, and the kernel beside its modules.
fn unpacked(root: &Path) -> Result<Unpacked> {
    let modules = ["lib/modules", "usr/lib/modules"].into_iter().find_map(|dir| {
        let entry = fs::read_dir(root.join(dir)).ok()?.next()?.ok()?;
        Some(entry.path())
    });
    let modules = modules.context("the packages had no modules")?;
    let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let places = [root.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")];
    let image = places.into_iter().find(|file| file.is_file()).context("the packages had no kernel")?;
    Ok(Unpacked { image, modules, release })
}

/// An apt beside the machine's own: same mirror, same proxies, another release, nothing installed.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: &Path, suite: &str) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(folder.join(part)).context("cannot make a folder for apt")?;
        }
        let signed =
            if Path::new(KEYRING).is_file() { format!(" signed-by={KEYRING}") } else { String::new() };
        let source = format!("deb [arch=amd64 target=Packages{signed}] {} {suite} main\n", mirror()?);
        fs::write(folder.join("sources.list"), source)?;
        fs::write(folder.join("status"), "")?;
        Ok(Self { folder: folder.to_owned() })
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
        command.args(["-o", "Dir::Etc::sourceparts=-", "-o", "Acquire::Languages=none", "-q"]);
        command
    }

    /// Downloads the kernel's packages, and says where they are.
    fn fetch(&self) -> Result<Vec<PathBuf>> {
        process::capture(self.command("apt-get").arg("update"))?;
        let names = self.names()?;
        process::capture(
            self.command("apt-get").arg("download").args(&names).current_dir(self.folder.join("debs")),
        )?;
        let files = fs::read_dir(self.folder.join("debs"))?;
        Ok(files.filter_map(|file| Some(file.ok()?.path())).collect())
    }

    /// The packages that hold the kernel: one, or since 7.x an image and its modules apart.
    fn names(&self) -> Result<Vec<String>> {
        let (mut queue, mut found) = (vec![META.to_owned()], BTreeSet::new());
        while let Some(name) = queue.pop() {
            let depends = process::capture(self.command("apt-cache").args(["depends", &name]))?;
            let kernels = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
            for kernel in kernels.filter(|name| is_kernel(name)) {
                if found.insert(kernel.to_owned()) {
                    queue.push(kernel.to_owned());
                }
            }
        }
        ensure!(!found.is_empty(), "{META} depends on no kernel");
        Ok(found.into_iter().collect())
    }

    /// Lists and packages are large, and not needed any more.
    fn remove(self) {
        let _left_over = fs::remove_dir_all(self.folder);
    }
}

fn is_kernel(package: &str) -> bool {
    let begins = ["linux-image-", "linux-binary-", "linux-modules-"];
    begins.iter().any(|begin| package.starts_with(begin)) && package.ends_with("-cloud-amd64")
}

/// Where apt gets Debian's own packages.
fn mirror() -> Result<String> {
    let format = "$(ORIGIN)/$(LABEL)/$(REPO_URI)";
    let targets = process::capture(Command::new("apt-get").args(["indextargets", "--format", format]))?;
    let mirror = targets.lines().find_map(|line| line.strip_prefix("Debian/Debian/"));
    let Some(mirror) = mirror else {
        bail!("apt knows no mirror of Debian; kernels are taken from there (try: apt-get update)");
    };
    Ok(mirror.to_owned())
}

#[cfg(test)]
mod tests {
    use super::is_kernel;

    #[test]
    fn packages_of_a_kernel() {
        for name in ["linux-image-6.1.0-56-cloud-amd64", "linux-modules-7.2.13+deb14-cloud-amd64"] {
            assert!(is_kernel(name), "{name}");
        }
        for name in ["linux-base", "linux-headers-6.1.0-56-cloud-amd64", "linux-image-6.1.0-56-amd64"] {
            assert!(!is_kernel(name), "{name}");
        }
    }
}
