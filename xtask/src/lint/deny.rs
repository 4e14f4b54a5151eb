//! Licences, sources and advisories of everything that is linked, through cargo-deny.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{FUZZERS, KERNEL_SIDE, Outcome};
use crate::{paths, process, setup};

/// Each has a lock file of its own.
const MANIFESTS: [&str; 3] = ["Cargo.toml", KERNEL_SIDE, FUZZERS];

pub(super) fn licences() -> Result<Outcome> {
    let deny = setup::cargo_deny()?;
    check(&deny, &["bans", "licenses", "sources"])?;
    Ok(Outcome::Clean)
}

/// The database of `RustSec` lies on a public forge, which machines that reach package registries alone cannot ask.
pub(super) fn advisories() -> Result<Outcome> {
    let deny = setup::cargo_deny()?;
    let mut fetch = Command::new(&deny);
    if let Err(error) = process::capture(fetch.current_dir(paths::root()).args(["fetch", "db"])) {
        let error = error.to_string();
        return Ok(Outcome::NotRun(format!("RustSec's database cannot be fetched: {}", complaint(&error))));
    }
    check(&deny, &["advisories"])?;
    Ok(Outcome::Clean)
}

fn check(deny: &Path, what: &[&str]) -> Result<()> {
    MANIFESTS.iter().try_for_each(|manifest| {
        let mut command = Command::new(deny);
        command.current_dir(paths::root()).arg("--manifest-path").arg(paths::root().join(manifest));
        process::run(command.arg("check").args(what))
    })
}

/// The line that says it best: git's own, or the last.
fn complaint(text: &str) -> &str {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().find_map(|line| line.strip_prefix("fatal: ")).or_else(|| lines().next_back()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn one_line_says_why() {
        let text =
            "cargo-deny fetch db ended with 1: [ERROR] failed to clone\nCloning ...\nfatal: no host\n\n";
        assert_eq!(complaint(text), "no host");
        assert_eq!(complaint("one\ntwo\n"), "two");
        assert_eq!(complaint(""), "");
    }
}
