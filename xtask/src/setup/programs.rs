//! Programs that the demo and the fault lab start.

use anyhow::{Result, bail};

use super::apt;
use crate::paths;

/// Program, Debian package.
const PROGRAMS: [(&str, &str); 6] = [
    ("nginx", "nginx-light"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
    ("iptables-nft", "iptables"),
    ("iptables-legacy", "iptables"),
];

/// Those that are not there.
pub(crate) fn missing() -> Vec<&'static str> {
    let all = PROGRAMS.iter().map(|(program, _)| *program);
    all.filter(|program| paths::program(program).is_none()).collect()
}

/// Makes sure that all are there.
pub(crate) fn ensure() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if !apt::is_usable() {
        bail!("the demo and the tests need {}: install them and run this again", missing.join(", "));
    }
    let mut packages: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| missing.contains(program))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    apt::install(&packages)
}
