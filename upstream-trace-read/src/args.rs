//! Arguments of the commands that need no root: `report`, `redact`, `explain`.

use std::path::PathBuf;

use clap::{Args, ColorChoice};

/// What to report.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Report {
    /// What `--record` wrote, as it is or as plain lines of JSON; of several
    /// hosts, one file each
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,

    /// Print a short summary to paste into a chat or a ticket
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,

    /// Write a report with charts: one file that opens in any browser, offline
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,

    /// Leave out who asked for what, as `--record --redact` does
    #[arg(long)]
    pub redact: bool,

    /// Use colours
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// What to copy.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Redact {
    /// What `--record` wrote
    pub file: PathBuf,

    /// A new file
    pub copy: PathBuf,
}

/// What to explain.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Explain {
    /// Id of a cause, as in the output; all of them are listed without one
    pub cause: Option<String>,

    /// Use colours
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}
