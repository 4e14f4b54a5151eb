//! Programs that make packages; built into `target/tools` where there are none.

use std::path::PathBuf;

use anyhow::Result;

use crate::setup;

/// Makes Debian packages.
pub(super) fn cargo_deb() -> Result<PathBuf> {
    setup::installed("cargo-deb", "3.8.0")
}

/// Makes packages of Fedora, RHEL, SUSE.
pub(super) fn cargo_generate_rpm() -> Result<PathBuf> {
    setup::installed("cargo-generate-rpm", "0.21.1")
}

/// Lists what is linked.
pub(super) fn cargo_cyclonedx() -> Result<PathBuf> {
    setup::installed("cargo-cyclonedx", "0.5.9")
}
