//! What an earlier setup found, so that a later one has nothing to do but to see that it is still there.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::toolchain::Toolchain;
use crate::paths;

/// First line of the file; another one is not read.
const VERSION: &str = "upstream-trace setup 1";

fn file() -> PathBuf {
    paths::target().join("setup.stamp")
}

/// The toolchain found before, if nothing about it changed.
pub(crate) fn read() -> Option<Toolchain> {
    parse(&fs::read_to_string(file()).ok()?)
}

/// Remembers it.
pub(crate) fn write(toolchain: &Toolchain) -> Result<()> {
    fs::create_dir_all(paths::target()).context("cannot make the target directory")?;
    fs::write(file(), print(toolchain)).with_context(|| format!("cannot write {}", file().display()))
}

fn print(toolchain: &Toolchain) -> String {
    let Toolchain { cargo, rustc, linker } = toolchain;
    let line = |name, path: &Path| format!("{name}\t{}\t{}\n", path.display(), identity(path));
    let described = toolchain.describe();
    format!(
        "{VERSION}\n{}{}{}{described}\n",
        line("cargo", cargo),
        line("rustc", rustc),
        line("linker", linker)
    )
}

fn parse(text: &str) -> Option<Toolchain> {
    let mut lines = text.lines();
    let mut path = |name| {
        let (key, rest) = lines.next()?.split_once('\t')?;
        let (path, was) = rest.split_once('\t')?;
        let path = PathBuf::from(path);
        (key == name && identity(&path) == was).then_some(path)
    };
    text.starts_with(VERSION).then_some(())?;
    let _version = path("");
    Some(Toolchain { cargo: path("cargo")?, rustc: path("rustc")?, linker: path("linker")? })
}

/// Changes when the file does; a program that is looked up in `PATH` has none.
fn identity(path: &Path) -> String {
    let describe = |file: Metadata| format!("{} {}", file.len(), file.mtime());
    fs::metadata(path).map_or_else(|_| "-".to_owned(), describe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_until_a_file_changes() {
        let shell = PathBuf::from("/bin/sh");
        let toolchain = Toolchain { cargo: "cargo".into(), rustc: shell.clone(), linker: shell };
        let text = print(&toolchain);
        assert_eq!(parse(&text), Some(toolchain));
        let size = fs::metadata("/bin/sh").unwrap().len();
        assert_eq!(parse(&text.replace(&format!("{size} "), "1 ")), None);
        assert_eq!(parse(&text.replace(VERSION, "another")), None);
        assert_eq!(parse(""), None);
    }
}
