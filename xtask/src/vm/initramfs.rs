//! What the guest has: the tool, the lab, what the lab starts, and the kernel's modules.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::archive::Unpacked;
use super::cpio::Archive;
use super::extras;
use super::modules;
use super::source::Source;

/// Programs that the guest has.
const PROGRAMS: &[&str] = &[
    "busybox",
    "sh",
    "nginx",
    "ip",
    "ss",
    "tc",
    "nft",
    "iptables-nft",
    "iptables-legacy",
    "iptables-legacy-save",
    "iptables-nft-save",
    "ip6tables-nft",
    "ip6tables-legacy",
    "ip6tables-legacy-save",
    "ip6tables-nft-save",
    "iptables-save",
    "ip6tables-save",
    "prlimit",
    "setpriv",
    "unshare",
    "script",
    "date",
    "conntrack",
    "openssl",
];

/// Beginnings of names of programs that the guest has where its source has them: origins of some scenarios. What brings
/// a hundred megabytes of libraries (Node.js) is left out.
const ORIGINS: &[&str] = &["haproxy", "php-fpm"];

/// Folders that are taken as they are: distributions of netem, settings of OpenSSL, extensions of PHP.
const FOLDERS: &[&str] = &["/usr/lib/tc", "/usr/lib/ssl", "/usr/lib/php", "/etc/php"];
/// Another, beside libraries: extensions of iptables.
const EXTENSIONS: &str = "xtables";

/// Files with a fixed content.
const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    ),
    ("etc/group", "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ("etc/hosts", "127.0.0.1 localhost guest\n::1 localhost\n"),
    ("etc/protocols", "tcp 6 TCP\nudp 17 UDP\nicmp 1 ICMP\nipv6-icmp 58 IPv6-ICMP\n"),
];

/// What to run in the guest.
#[derive(Debug)]
pub(super) struct Lab<'a> {
    /// The tool.
    pub(super) tool: &'a Path,
    /// The lab's tests.
    pub(super) tests: &'a Path,
    /// A command line for the guest's shell.
    pub(super) script: String,
    /// Where everything else comes from.
    pub(super) source: &'a Source,
}

/// Writes the guest's file system for this kernel.
pub(super) fn write(to: &Path, kernel: &Unpacked, lab: &Lab<'_>) -> Result<()> {
    let mut archive = Archive::create(to)?;
    // One folder each, as hosts have it today.
    for folder in ["bin", "sbin", "lib", "lib64"] {
        archive.directory(&format!("usr/{folder}"))?;
        archive.link(folder, &format!("usr/{folder}"))?;
    }
    for folder in ["dev", "proc", "sys", "run", "tmp", "root", "var/log/nginx", "var/lib/nginx"] {
        archive.directory(folder)?;
    }
    archive.device("dev/console", 5, 1)?;
    archive.file("init", 0o755, include_bytes!("init.sh"))?;
    archive.file("run-lab", 0o644, lab.script.as_bytes())?;
    for (name, content) in FILES {
        archive.file(name, 0o644, content.as_bytes())?;
    }
    for name in PROGRAMS {
        add_program(&mut archive, lab.source, name)?;
    }
    for path in lab.source.beginning_with(ORIGINS)? {
        let name = format!("usr/sbin/{}", path.file_name().unwrap_or_default().display());
        add_executable(&mut archive, lab.source, &path, &name)?;
    }
    let extensions = format!("/usr/lib/{}/{EXTENSIONS}", lab.source.libraries_folder());
    for folder in FOLDERS.iter().chain([&extensions.as_str()]) {
        add_folder(&mut archive, lab.source, &lab.source.path(folder), folder, &|_| false)?;
    }
    extras::add(&mut archive, lab.source)?;
    add_executable(&mut archive, lab.source, lab.tool, "upstream-trace")?;
    add_executable(&mut archive, lab.source, lab.tests, "lab")?;
    add_modules(&mut archive, kernel)?;
    archive.finish()
}

/// A program, for the shell.
fn add_program(archive: &mut Archive<impl std::io::Write>, source: &Source, name: &str) -> Result<()> {
    let Some(path) = source.program(name) else {
        bail!("the guest needs {name}, which this machine does not have; `cargo xtask setup` gets it");
    };
    add_executable(archive, source, &path, &format!("usr/bin/{name}"))
}

/// An executable file under another name, with the libraries that it needs under their own.
pub(super) fn add_executable(
    archive: &mut Archive<impl std::io::Write>,
    source: &Source,
    path: &Path,
    name: &str,
) -> Result<()> {
    add_file(archive, path, name)?;
    for library in source.libraries(path)? {
        add_file(archive, &library, &source.name(&library))?;
    }
    Ok(())
}

/// A folder, if there is one, with the libraries that its files need; without what it says by its name is left out.
pub(super) fn add_folder(
    archive: &mut Archive<impl std::io::Write>,
    source: &Source,
    folder: &Path,
    name: &str,
    is_left_out: &impl Fn(&str) -> bool,
) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let own = entry.file_name().to_string_lossy().into_owned();
        if is_left_out(&own) {
            continue;
        }
        let (path, name) = (source.inside(entry.path()), format!("{name}/{own}"));
        if path.is_dir() {
            add_folder(archive, source, &path, &name, is_left_out)?;
        } else if path.is_file() {
            add_executable(archive, source, &path, &name)?;
        }
    }
    Ok(())
}

/// A file under this name, unless there is one.
pub(super) fn add_file(archive: &mut Archive<impl std::io::Write>, path: &Path, name: &str) -> Result<()> {
    if archive.has(name) {
        return Ok(());
    }
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let permissions = fs::metadata(path)?.permissions().mode() & 0o777;
    archive.file(name, permissions | 0o444, &content)
}

fn add_modules(archive: &mut Archive<impl std::io::Write>, kernel: &Unpacked) -> Result<()> {
    let mut order = String::new();
    for module in modules::in_order(&kernel.modules)? {
        archive.file(&format!("modules/{}.ko", module.name), 0o644, &module.content)?;
        order.push_str(&module.name);
        order.push('\n');
    }
    archive.file("modules/order", 0o644, order.as_bytes())
}
