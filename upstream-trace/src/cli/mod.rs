//! The command line.

pub mod config;
pub mod documents;
mod size;
mod which;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};

use upstream_trace_read::args::{Explain, Redact, Report, duration};
use upstream_trace_read::sinks::{Format, Options};

use crate::errorlog::ErrorLog;
use crate::kernel::hook_filter::HookFilter;
use crate::output::{self, journal};
pub use which::Which;

const EXAMPLE: &str = "\
Examples:
  sudo upstream-trace --pid nginx --duration 60s
  sudo upstream-trace --container web
  sudo upstream-trace --pid nginx --record monday.zst
  upstream-trace report monday.zst --html monday.html
  upstream-trace explain accept-queue-full
  sudo upstream-trace doctor

Exit status:
  0  the trace ran until --duration or Ctrl-C
  1  the trace could not run, or its output could not be written; the message
     says what to do
  2  wrong usage
  3  an attempt failed, with --fail-on-failure";

/// Open upstream connections that the kernel's table has room for, unless told otherwise.
pub const MAX_CONNECTIONS: u32 = 32768;

/// Bytes of the ring buffer, unless told otherwise.
pub const BUFFER: u32 = 2 << 20;

/// Explains why nginx answers 502 or 504, by tracing its upstream connections
/// in the kernel.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(version, max_term_width = 80, after_help = EXAMPLE, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Something else than tracing.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// How to trace.
    #[command(flatten)]
    pub trace: Trace,
}

/// How to trace.
#[derive(Clone, Debug, PartialEq, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Trace {
    /// Which nginx to watch.
    #[command(flatten)]
    pub which: Which,

    /// Read options from this file (TOML, the names of these options)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Stop after this time (500ms, 60s, 2m, 1h) instead of at Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,

    /// Also record all events to a new file, for `upstream-trace report`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Keep only recordings of the last TIME: `--record` names a folder then,
    /// and `--record-limit` bounds the whole folder
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "record")]
    pub keep: Option<Duration>,

    /// Stop recording at this file size (1M to 1T); tracing goes on. It also
    /// stops before the disk is full
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size::record_limit)]
    pub record_limit: u64,

    /// Replace client addresses, request paths and host names, in the output
    /// and in the recording
    #[arg(long)]
    pub redact: bool,

    /// Where results go beyond that, for a service.
    #[command(flatten)]
    pub service: output::Options,

    /// nginx's error.log: `auto` finds it, `none` ignores it, or a file
    #[arg(long, value_name = "auto|FILE|none", default_value = "auto")]
    pub error_log: ErrorLog,

    /// Report an attempt as pending after this time without a response
    #[arg(long = "pending-after", alias = "slow", value_name = "TIME", default_value = "1s",
          value_parser = duration)]
    pub slow: Duration,

    /// Exit with status 3 if any attempt failed
    #[arg(long)]
    pub fail_on_failure: bool,

    /// Open upstream connections that can be traced at a time, 64 to 1048576
    #[arg(long, value_name = "N", default_value_t = MAX_CONNECTIONS,
          value_parser = clap::value_parser!(u32).range(64..=1_048_576))]
    pub max_connections: u32,

    /// When to watch what nginx sends and receives: `auto`, while there is
    /// trouble, and for samples in between; `watch`, never; `deep`, always,
    /// which costs most and tells of every error status and latency
    #[arg(long, value_name = "auto|watch|deep", default_value = "auto", hide_possible_values = true)]
    pub depth: Depth,

    /// Restrict hooks: comma-separated HOOK=off, HOOK=KIND, KIND=off;
    /// `doctor --list-hooks` lists them
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub hooks: HookFilter,

    /// Detach the costliest optional hooks above this share of the host's CPU
    /// time, in percent: more than 0, at most 100. Without it, only `--depth
    /// auto` has a limit: 1 % for the hooks on sends and receives
    #[arg(long, value_name = "PERCENT", value_parser = size::percent)]
    pub max_overhead: Option<f64>,

    /// Size of the buffer for events from the kernel: a power of two, 64K to
    /// 256M
    #[arg(long = "ring-buffer-size", alias = "buffer", value_name = "SIZE", default_value = "2M",
          value_parser = size::ring_buffer)]
    pub buffer: u32,

    /// Also print the cost of each hook, and more messages
    #[arg(long, short)]
    pub verbose: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,

    /// On the whole terminal, instead of text.
    #[arg(skip)]
    pub screen: bool,
}

/// When what nginx sends and receives is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Depth {
    /// While there is trouble, and for samples.
    #[default]
    Auto,
    /// Never.
    Watch,
    /// All the time.
    Deep,
}

impl Depth {
    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Watch => "watch",
            Self::Deep => "deep",
        }
    }
}

impl Trace {
    /// What results of a trace are written as.
    #[must_use]
    pub fn sinks(&self) -> Options {
        if self.screen {
            return Options::default();
        }
        let formats = match (self.json, self.writes_journal() && journal::is_stdout()) {
            (true, _) => vec![Format::Json],
            (false, true) => Vec::new(),
            (false, false) => vec![Format::Text],
        };
        Options { formats, colour: self.color, verbose: self.verbose, several: false }
    }

    fn writes_journal(&self) -> bool {
        self.service.journal || !self.json && journal::is_stdout()
    }

    /// What results go to beyond that, for a service.
    #[must_use]
    pub fn service_sinks(&self) -> output::Options {
        output::Options { journal: self.writes_journal(), ..self.service.clone() }
    }
}

/// Something else than tracing.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Print verdicts and reports from recordings; needs no root
    Report(Report),
    /// Show causes and pending attempts on the whole terminal, live or of a
    /// recording
    Top(Box<Top>),
    /// Copy a recording without client addresses, request paths and host names
    Redact(Redact),
    /// Explain a cause: what it means, its evidence, the fix
    Explain(Explain),
    /// Check what this kernel and these privileges allow
    Doctor(Doctor),
    /// Look at the configuration file of the service
    #[command(subcommand)]
    Config(Config),
    /// Print the script that completes options in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages; for packages
    #[command(hide = true)]
    Manual {
        /// Where to
        folder: PathBuf,
    },
}

/// What to show.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Top {
    /// A recording; without one, nginx is traced
    pub file: Option<PathBuf>,

    /// How to trace.
    #[command(flatten)]
    pub trace: Trace,
}

/// What to do with the configuration file.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Config {
    /// Say whether it is right; if not, file, line and the known keys
    Check {
        /// The file
        #[arg(default_value = config::FILE)]
        file: PathBuf,
    },
}

/// What to check.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Doctor {
    /// Which nginx to look for.
    #[command(flatten)]
    pub which: Which,

    /// Restrict hooks, as `--hooks` of a trace does
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub hooks: HookFilter,

    /// Only list the hooks: name, ways to attach, what is lost without it
    #[arg(long)]
    pub list_hooks: bool,

    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

#[cfg(test)]
mod tests;
