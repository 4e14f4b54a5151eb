//! The files of a package, as they are installed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{paths, process};

/// How the unit in `packaging` starts the program, and how the one of a package does.
const BY_HAND: &str = "/usr/local/bin/upstream-trace --pid nginx --journal";
const PACKAGED: &str = "/usr/bin/upstream-trace --config /etc/upstream-trace.toml";

/// Files that are copied as they are.
const COPIED: [(&str, &str); 7] = [
    ("packaging/upstream-trace.toml", "upstream-trace.toml"),
    ("packaging/prometheus/upstream-trace.rules.yml", "upstream-trace.rules.yml"),
    ("packaging/grafana/upstream-trace.json", "upstream-trace.grafana.json"),
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
];

/// Where each shell looks for completions, and what the file is called there.
const SHELLS: [(&str, &str); 3] =
    [("bash", "upstream-trace.bash"), ("zsh", "_upstream-trace"), ("fish", "upstream-trace.fish")];

/// Fills a folder that is not there yet; gives it back.
pub(super) fn fill(folder: &Path, binary: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder.join("man"))?;
    let program = folder.join("upstream-trace");
    fs::copy(binary, &program).with_context(|| format!("copy {}", binary.display()))?;
    strip(&program)?;
    for (from, to) in COPIED {
        let from = paths::root().join(from);
        fs::copy(&from, folder.join(to)).with_context(|| format!("copy {}", from.display()))?;
    }
    fs::write(folder.join("upstream-trace.service"), unit()?)?;
    process::run(Command::new(&program).arg("manual").arg(folder.join("man")))?;
    for (shell, name) in SHELLS {
        let script = process::capture(Command::new(&program).args(["completions", shell]))?;
        fs::write(folder.join(name), script)?;
    }
    readable(folder)?;
    Ok(folder.to_owned())
}

/// A panic says its file and line without them.
fn strip(program: &Path) -> Result<()> {
    process::run(Command::new("strip").arg("--strip-all").arg(program))?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The unit, with the program where packages install it and the options in a file.
fn unit() -> Result<String> {
    let path = paths::root().join("packaging/upstream-trace.service");
    let unit = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    ensure!(unit.contains(BY_HAND), "{} does not start {BY_HAND}", path.display());
    Ok(unit.replace(BY_HAND, PACKAGED))
}

/// The same rights whatever the umask is.
fn readable(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let executable = path.is_dir() || path.ends_with("upstream-trace");
        fs::set_permissions(&path, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
        if path.is_dir() {
            readable(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packaged_unit_starts_the_packaged_program() {
        let unit = unit().unwrap();
        assert!(unit.contains(&format!("ExecStart={PACKAGED}\n")) && !unit.contains("/usr/local"), "{unit}");
    }
}
