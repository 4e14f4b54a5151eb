//! The crates that have rooms: those of the workspace, and the kernel side.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::source::Root;
use crate::lint::KERNEL_SIDE;
use crate::{paths, process};

/// A crate and its root files.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) roots: Vec<Root>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

/// All of them, with names of files from the root of the workspace.
pub(super) fn all() -> Result<Vec<Package>> {
    let mut all = read("Cargo.toml")?;
    all.extend(read(KERNEL_SIDE)?);
    Ok(all)
}

fn read(manifest: &str) -> Result<Vec<Package>> {
    let mut cargo = process::cargo();
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path", manifest]);
    packages(&process::capture(&mut cargo)?, paths::root())
}

fn packages(metadata: &str, root: &Path) -> Result<Vec<Package>> {
    let metadata: Metadata =
        serde_json::from_str(metadata).context("cannot read what cargo metadata says")?;
    let packages = metadata.packages.into_iter().map(|package| {
        let file = |kind: &str| {
            let target = package.targets.iter().find(|target| target.kind.iter().any(|is| is == kind))?;
            Some(target.src_path.strip_prefix(root).unwrap_or(&target.src_path).to_owned())
        };
        Package { roots: roots(file("lib"), file("bin")), name: package.name }
    });
    Ok(packages.collect())
}

pub(super) fn roots(lib: Option<PathBuf>, bin: Option<PathBuf>) -> Vec<Root> {
    // The modules of a program beside a library are below `main`, so that they are not taken for the library's.
    let below = if lib.is_some() { vec!["main".to_owned()] } else { Vec::new() };
    let lib = lib.map(|file| Root { module: Vec::new(), room: "lib", file });
    let bin = bin.map(|file| Root { module: below, room: "main", file });
    lib.into_iter().chain(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_files_of_packages() {
        let target = |kind: &str, file: &str| format!(r#"{{"kind":["{kind}"],"src_path":"/w/{file}"}}"#);
        let targets =
            [target("lib", "a/src/lib.rs"), target("bin", "a/src/main.rs"), target("test", "a/t.rs")];
        let text = format!(r#"{{"packages":[{{"name":"a","targets":[{}]}}]}}"#, targets.join(","));
        let packages = packages(&text, Path::new("/w")).unwrap();
        let roots: Vec<_> =
            packages[0].roots.iter().map(|root| (root.room, root.module.len(), root.file.clone())).collect();
        assert_eq!(roots, [("lib", 0, "a/src/lib.rs".into()), ("main", 1, "a/src/main.rs".into())]);
    }
}
