//! What some scenarios need beyond programs and their libraries: Python with its own library, and the newer nginx.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cpio::Archive;
use super::initramfs::{add_executable, add_file, add_folder};
use super::source::Source;
use crate::setup;

/// Debian's; what else is called so on this machine may be a script that looks for others.
const PYTHON: &str = "/usr/bin/python3";
/// Parts of its library that are large and that no scenario imports; its configuration for compilers begins like the last.
const LEFT_OUT: &[&str] = &[
    "distutils",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "test",
    "tkinter",
    "turtledemo",
    "unittest",
    "config-",
];

/// Adds them, as far as the source has them.
pub(super) fn add(archive: &mut Archive<impl Write>, source: &Source) -> Result<()> {
    add_python(archive, source)?;
    if let Some(root) = newer_nginx(source) {
        // It loads its own libraries, by their paths on this machine.
        add_tree(archive, &root)?;
    }
    Ok(())
}

/// The newer nginx, if the guest can run it; in the guest it is in the same place, where it looks for its libraries.
pub(super) fn newer_nginx(source: &Source) -> Option<PathBuf> {
    let root = setup::newer_nginx().filter(|_| source.is_this_machine())?;
    root.canonicalize().ok()
}

fn add_python(archive: &mut Archive<impl Write>, source: &Source) -> Result<()> {
    let program = source.path(PYTHON);
    // A link to a name with its version, as its library has it.
    let Some(version) = fs::read_link(&program).ok() else { return Ok(()) };
    let version = version.file_name().unwrap_or_default().to_string_lossy();
    add_executable(archive, source, &program, PYTHON)?;
    let library = format!("/usr/lib/{version}");
    let is_left_out = |name: &str| LEFT_OUT.iter().any(|part| name.starts_with(part));
    add_folder(archive, source, &source.path(&library), &library, &is_left_out)
}

/// A folder under its own name, links as what they lead to.
fn add_tree(archive: &mut Archive<impl Write>, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            add_tree(archive, &path)?;
        } else if path.is_file() {
            add_file(archive, &path, &path.to_string_lossy())?;
        }
    }
    Ok(())
}
