//! `cargo xtask run -- ARGS`: builds, then becomes the program, as root.

use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::build::{self, Options};
use crate::{process, setup};

/// Returns only if it cannot be started.
pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::all()?;
    let binary = build::build(Options::default())?;
    let mut command = process::as_root(&binary)?;
    let error = command.args(args).exec();
    Err(error).with_context(|| format!("cannot start {}", process::text(&command)))
}
