//! Arguments of the commands that need no root: `report`, `redact`, `explain`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice};
use jiff::SignedDuration;

use crate::sinks::Outputs;

/// Reads `500ms`, `60s`, `2m`, `1h`, `1h30m`; a plain number counts seconds.
///
/// # Errors
/// What to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let spelled = if plain { format!("{text}s") } else { text.to_owned() };
    let parsed = spelled.parse::<SignedDuration>().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write a time such as 500ms, 60s, 2m or 1h, more than 0".to_owned())
}

/// What to report.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Report {
    /// Recordings that `--record` has written, compressed or as JSON lines, or
    /// folders of `--record` with `--keep`; one or more per host
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Only the last part of each recording (10m, 90s)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub since: Option<Duration>,

    /// What to write.
    #[command(flatten)]
    pub outputs: Outputs,

    /// Replace client addresses, request paths and host names
    #[arg(long)]
    pub redact: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// What to show.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Top {
    /// A recording
    pub file: PathBuf,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// What to copy.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Redact {
    /// A recording
    pub file: PathBuf,

    /// The copy: a new file
    pub copy: PathBuf,
}

/// What to explain.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Explain {
    /// Id of a cause, as in the output; without one, all are listed
    pub cause: Option<String>,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}
