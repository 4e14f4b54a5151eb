//! Where the guest's programs come from: this machine, or a folder with packages of another architecture.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::elf;
use super::machine::Machine;
use crate::{paths, process};

/// Names that Debian gives to a program when it installs it: of packages that are unpacked only, this one is meant.
const INSTALLED: [(&str, &str); 2] =
    [("iptables-save", "iptables-nft-save"), ("ip6tables-save", "ip6tables-nft-save")];

/// A file system with programs.
#[derive(Debug)]
pub(super) struct Source {
    root: PathBuf,
    pub(super) machine: &'static Machine,
}

impl Source {
    /// The one with programs for this architecture.
    pub(super) fn of(machine: &'static Machine) -> Result<Self> {
        Ok(Self { root: machine.root()?, machine })
    }

    /// The name of the folder of libraries.
    pub(super) fn libraries_folder(&self) -> &str {
        self.machine.libraries
    }

    /// Whether it is this machine itself.
    pub(super) fn is_this_machine(&self) -> bool {
        self.machine.target.is_none()
    }

    /// A file or folder that is always in the same place.
    pub(super) fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// What a file is called there, without a slash before it. `/lib` is a link to `/usr/lib` in the guest, whatever it is
    /// elsewhere.
    pub(super) fn name(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy();
        if path.starts_with("lib") { format!("usr/{path}") } else { path.into_owned() }
    }

    /// Finds a program as root's shell would.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        if self.is_this_machine() {
            return paths::program(name);
        }
        let name =
            INSTALLED.iter().find(|(installed, _)| *installed == name).map_or(name, |(_, meant)| meant);
        let folders = ["usr/sbin", "usr/bin", "sbin", "bin"].into_iter();
        folders.map(|folder| self.inside(self.root.join(folder).join(name))).find(|file| file.is_file())
    }

    /// Where a link leads that means the root of its own file system.
    pub(super) fn inside(&self, file: PathBuf) -> PathBuf {
        let to = fs::read_link(&file).ok().filter(|to| to.is_absolute());
        to.map_or(file, |to| self.path(&to.to_string_lossy()))
    }

    /// Programs of root whose names begin like that.
    pub(super) fn beginning_with(&self, begins: &[&str]) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let folder = self.path("/usr/sbin");
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if begins.iter().any(|begin| name.starts_with(begin)) && entry.path().is_file() {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    /// The libraries of a program, and theirs; none of another file.
    pub(super) fn libraries(&self, program: &Path) -> Result<Vec<PathBuf>> {
        if !elf::is(program) {
            return Ok(Vec::new());
        }
        if self.is_this_machine() {
            return linked(program);
        }
        let mut found = BTreeSet::new();
        let mut queue = vec![program.to_owned()];
        while let Some(file) = queue.pop() {
            for name in needed(&file) {
                let Some(library) = self.library(&name) else {
                    bail!("{} lacks a library: {name}", file.display());
                };
                if found.insert(library.clone()) {
                    queue.push(library);
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The loader, which programs name by its path, first; then where Debian has libraries.
    fn library(&self, name: &str) -> Option<PathBuf> {
        let own = self.machine.libraries;
        let folders = ["lib".to_owned(), format!("lib/{own}"), format!("usr/lib/{own}")];
        let mut files = folders.iter().map(|folder| self.inside(self.root.join(folder).join(name)));
        files.find(|file| file.is_file())
    }
}

/// What a program of this machine loads.
fn linked(program: &Path) -> Result<Vec<PathBuf>> {
    // It fails for programs without libraries.
    let listed = process::capture(Command::new("ldd").arg(program)).unwrap_or_default();
    if listed.contains("not found") {
        bail!("{} lacks a library: {listed}", program.display());
    }
    let words = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(PathBuf::from).collect())
}

/// Names of the libraries that a file of any architecture names; none of what is no such file, or is static.
fn needed(file: &Path) -> Vec<String> {
    let listed = process::capture(Command::new("patchelf").arg("--print-needed").arg(file));
    listed.unwrap_or_default().lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::machine::{ARM64, X86_64};
    use super::Source;

    #[test]
    fn names_in_the_guest() {
        let here = Source { root: "/".into(), machine: &X86_64 };
        assert_eq!(here.name("/lib/x/libc.so".as_ref()), "usr/lib/x/libc.so");
        assert_eq!(here.name("/usr/lib/tc/normal.dist".as_ref()), "usr/lib/tc/normal.dist");
        assert_eq!(here.name("/lib64/ld.so".as_ref()), "usr/lib64/ld.so");
        let there = Source { root: "/target/root".into(), machine: &ARM64 };
        assert_eq!(there.name("/target/root/lib/ld.so".as_ref()), "usr/lib/ld.so");
        assert_eq!(there.path("/usr/lib/tc").to_str(), Some("/target/root/usr/lib/tc"));
    }

    #[test]
    fn programs_and_libraries_of_another_architecture() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source { root: folder.path().into(), machine: &ARM64 };
        for file in [
            "bin/sh",
            "usr/sbin/iptables-nft-save",
            "usr/sbin/haproxy",
            "lib/ld.so",
            "lib/aarch64-linux-gnu/ld.so",
            "usr/lib/aarch64-linux-gnu/libz.so",
        ] {
            fs::create_dir_all(source.path(file).parent().unwrap()).unwrap();
            fs::write(source.path(file), "").unwrap();
        }
        assert_eq!(source.program("sh"), Some(source.path("bin/sh")));
        assert_eq!(source.program("nginx"), None);
        // Not the one of this machine.
        std::os::unix::fs::symlink("/bin/sh", source.path("usr/sbin/ash")).unwrap();
        assert_eq!(source.program("ash"), Some(source.path("bin/sh")));
        assert_eq!(source.program("iptables-save"), Some(source.path("usr/sbin/iptables-nft-save")));
        assert_eq!(source.library("ld.so"), Some(source.path("lib/ld.so")));
        assert_eq!(source.library("libz.so"), Some(source.path("usr/lib/aarch64-linux-gnu/libz.so")));
        assert_eq!(source.beginning_with(&["hap"]).unwrap(), [source.path("usr/sbin/haproxy")]);
    }
}
