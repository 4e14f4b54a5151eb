//! Kernels of other Debian releases, from the mirror that apt already uses.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::machine::{ARM64, Machine, X86_64};
use crate::archive::Apt;
use crate::paths;
use crate::say::say;

/// A kernel to try, and the release of Debian that has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    /// The version, as one asks for it.
    pub(super) name: &'static str,
    suite: &'static str,
    pub(super) machine: &'static Machine,
}

/// All of them, oldest first.
pub(super) const KERNELS: [Kernel; 8] = [
    Kernel { name: "5.10", suite: "bullseye", machine: &X86_64 },
    Kernel { name: "6.1", suite: "bookworm", machine: &X86_64 },
    Kernel { name: "6.12", suite: "trixie", machine: &X86_64 },
    Kernel { name: "7.2", suite: "sid", machine: &X86_64 },
    Kernel { name: "5.10-arm64", suite: "bullseye", machine: &ARM64 },
    Kernel { name: "6.1-arm64", suite: "bookworm", machine: &ARM64 },
    Kernel { name: "6.12-arm64", suite: "trixie", machine: &ARM64 },
    Kernel { name: "7.2-arm64", suite: "sid", machine: &ARM64 },
];

/// The packages that depend on the release's current kernel; small, and made for virtual machines.
const META: &str = "linux-image-cloud-";

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
    /// Whether a kernel of its packages has this `uname -r`.
    pub(super) fn has_release(self, release: &str) -> bool {
        let version = self.name.split('-').next().unwrap_or_default();
        let is_of_version = release.strip_prefix(version).is_some_and(|rest| rest.starts_with('.'));
        is_of_version && release.ends_with(&format!("-cloud-{}", self.machine.debian))
    }

    /// Gets it, unless it is there.
    pub(super) fn fetch(self) -> Result<Unpacked> {
        let folder = paths::target().join("vm").join(self.name);
        let (root, done) = (folder.join("root"), folder.join("fetched"));
        if !done.is_file() {
            say("Fetching", format!("Linux {} of Debian {}", self.name, self.suite));
            let apt = Apt::new(&folder.join("apt"), self.suite, self.machine.debian)?;
            apt.unpack(&names(&apt, self.machine)?, &root)?;
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

/// The packages that hold the kernel: one, or since 7.x an image and its modules apart.
fn names(apt: &Apt, machine: &Machine) -> Result<Vec<String>> {
    let (mut queue, mut found) = (vec![format!("{META}{}", machine.debian)], BTreeSet::new());
    while let Some(name) = queue.pop() {
        for kernel in apt.depends(&name)?.into_iter().filter(|name| is_kernel(name, machine)) {
            if found.insert(kernel.clone()) {
                queue.push(kernel);
            }
        }
    }
    ensure!(!found.is_empty(), "{META}{} depends on no kernel", machine.debian);
    Ok(found.into_iter().collect())
}

fn is_kernel(package: &str, machine: &Machine) -> bool {
    let begins = ["linux-image-", "linux-binary-", "linux-modules-"];
    let end = format!("-cloud-{}", machine.debian);
    begins.iter().any(|begin| package.starts_with(begin)) && package.ends_with(&end)
}

#[cfg(test)]
mod tests {
    use super::{ARM64, X86_64, is_kernel};

    #[test]
    fn packages_of_a_kernel() {
        for name in ["linux-image-6.1.0-56-cloud-amd64", "linux-modules-7.2.13+deb14-cloud-amd64"] {
            assert!(is_kernel(name, &X86_64) && !is_kernel(name, &ARM64), "{name}");
            assert!(is_kernel(&name.replace("amd64", "arm64"), &ARM64), "{name}");
        }
        for name in ["linux-base", "linux-headers-6.1.0-56-cloud-amd64", "linux-image-6.1.0-56-amd64"] {
            assert!(!is_kernel(name, &X86_64), "{name}");
        }
    }
}
