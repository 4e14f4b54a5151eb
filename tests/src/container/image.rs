//! A root folder with this host's nginx in it, and a shell; as images of nginx have it, its logs are links to stdout and
//! stderr.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::run;

const USERS: &str = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Writes the archive of an image into a folder.
pub(super) fn archive(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    for name in ["bin", "etc/nginx", "run", "tmp", "dev", "proc", "sys", "var/log/nginx", "var/lib/nginx"] {
        fs::create_dir_all(root.join(name))?;
    }
    for (program, place) in [("nginx", "usr/sbin/nginx"), ("busybox", "bin/busybox")] {
        add(&find(program)?, &root, place)?;
    }
    symlink("busybox", root.join("bin/sh"))?;
    symlink("/dev/stderr", root.join("var/log/nginx/error.log"))?;
    symlink("/dev/stdout", root.join("var/log/nginx/access.log"))?;
    fs::write(root.join("etc/passwd"), USERS)?;
    fs::write(root.join("etc/group"), GROUPS)?;
    pack(&root, folder.join("image.tar"))
}

/// The same of an image with nothing in it but this program, and its libraries if it is not static.
pub(super) fn archive_of(program: &Path, folder: &Path) -> Result<PathBuf> {
    let root = folder.join("tool");
    add(program, &root, "upstream-trace")?;
    pack(&root, folder.join("tool.tar"))
}

fn pack(root: &Path, archive: PathBuf) -> Result<PathBuf> {
    run(Command::new("tar").arg("-C").arg(root).arg("-cf").arg(&archive).arg("."))?;
    Ok(archive)
}

/// Copies a program to a place below a root folder, with its libraries.
fn add(program: &Path, root: &Path, place: &str) -> Result<()> {
    copy(program, &root.join(place))?;
    for library in libraries(program)? {
        copy(&library, &root.join(library.strip_prefix("/")?))?;
    }
    Ok(())
}

fn find(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut found = folders.map(|folder| folder.join(program)).filter(|path| path.is_file());
    found.next().with_context(|| format!("{program} is not installed"))
}

/// What `ldd` lists; nothing of a static program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a folder")?)?;
    fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
    Ok(())
}
