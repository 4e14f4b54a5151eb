//! Debian and its children: what is missing is installed through apt-get.

use std::process::Stdio;
use std::sync::Once;

use anyhow::{Context as _, Result};

use crate::say::{note, say};
use crate::{paths, process};

/// Installs packages and starts no service: for as long as it runs, init scripts are told not to.
const SCRIPT: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=120 install -y -q --no-install-recommends "$@" >/dev/null
"#;

/// A list from when the machine was made names packages that are gone, or, worse, still there and too old: it is
/// brought up to date once, before anything is installed. Without a network what is known may do.
const UPDATE: &str = "apt-get -o DPkg::Lock::Timeout=120 update -q >/dev/null 2>&1 || true";

static UPDATED: Once = Once::new();

/// What a machine that had no nginx should not have afterwards either: one that starts with it.
const NO_SERVICE: &str =
    "[ ! -d /run/systemd/system ] || systemctl disable --now nginx >/dev/null 2>&1 || true";

/// Whether this machine has apt-get, and we may use it.
pub(crate) fn is_usable() -> bool {
    paths::program("apt-get").is_some() && (process::is_root() || paths::program("sudo").is_some())
}

/// Installs packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    say("Installing", format!("{list} (apt-get)"));
    UPDATED.call_once(|| {
        let update = process::as_root("sh").and_then(|mut sh| process::run(sh.args(["-c", UPDATE])));
        update.unwrap_or_else(|error| note("Warning", format!("{error:#}")));
    });
    let mut command = process::as_root("sh")?;
    command.args(["-c", SCRIPT, "sh"]).args(packages).stdin(Stdio::null());
    let how = || format!("apt-get could not install them; see why with: apt-get install {list}");
    process::capture(&mut command).with_context(how)?;
    if packages.iter().any(|package| package.starts_with("nginx")) {
        process::run(process::as_root("sh")?.args(["-c", NO_SERVICE]))?;
    }
    Ok(())
}
