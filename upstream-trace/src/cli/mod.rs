//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice, Parser, Subcommand};
use jiff::SignedDuration;

use upstream_trace_read::args::{Explain, Redact, Report};
use upstream_trace_read::sinks::{Format, Options};

use crate::errorlog::ErrorLog;
use crate::kernel::hook_filter::HookFilter;
use crate::nginx::Target;

const EXAMPLE: &str = "\
Examples:
  sudo upstream-trace --pid nginx --duration 60s
  sudo upstream-trace --pid nginx --record monday.zst
  upstream-trace report monday.zst --html monday.html
  upstream-trace explain accept-queue-full
  sudo upstream-trace doctor

Exit status:
  0  it ran, to the end of --duration or until Ctrl-C
  1  it could not run; the message says what to do
  2  wrong usage
  3  a failed attempt was seen, with --fail-on-failure";

/// Open upstream connections that the kernel's table has room for, unless told otherwise.
pub const MAX_CONNECTIONS: u32 = 32768;

/// Bytes of the buffer between the kernel and this program, unless told otherwise.
pub const BUFFER: u32 = 2 << 20;

/// Says why an nginx answers 502 or 504, from what the kernel did with its
/// upstream connections.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(version, max_term_width = 80, after_help = EXAMPLE, args_conflicts_with_subcommands = true)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Cli {
    /// Something else than tracing.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// nginx to watch: pid of a master or a worker, or a name; may be repeated
    #[arg(long, value_name = "PID|NAME", default_value = "nginx")]
    pub pid: Vec<Target>,

    /// Stop after this time (500ms, 60s, 2m, 1h) instead of at Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,

    /// Also write what was seen to a new file, for `upstream-trace report`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Leave out of the recording who asked for what: client addresses, paths
    /// of requests and names of hosts become names that stand for them
    #[arg(long, requires = "record")]
    pub redact: bool,

    /// nginx's error.log: `auto` finds it, `none` does without, or a file
    #[arg(long, value_name = "auto|FILE|none", default_value = "auto")]
    pub error_log: ErrorLog,

    /// Report an attempt that has no answer for this long, before it ends
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub slow: Duration,

    /// Exit with status 3 if a failed attempt was seen
    #[arg(long)]
    pub fail_on_failure: bool,

    /// Size of the kernel's table of open upstream connections
    #[arg(long, value_name = "N", default_value_t = MAX_CONNECTIONS,
          value_parser = clap::value_parser!(u32).range(64..=1_048_576))]
    pub max_connections: u32,

    /// Which hooks may be used: `list` shows them; HOOK=off, HOOK=KIND and
    /// KIND=off, joined by commas, leave only that
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub hooks: HookFilter,

    /// Give hooks up that cost more than this part of the host's processor
    /// time, and say so: less is told then
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_overhead: Option<f64>,

    /// Size of the buffer between the kernel and this program (64K, 4M); a power
    /// of two
    #[arg(long, value_name = "SIZE", default_value = "2M", value_parser = buffer)]
    pub buffer: u32,

    /// Also print how much each hook cost
    #[arg(long, short)]
    pub verbose: bool,

    /// Use colours
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

impl Cli {
    /// What results of a trace are written as.
    #[must_use]
    pub fn sinks(&self) -> Options {
        let format = if self.json { Format::Json } else { Format::Text };
        Options { formats: vec![format], colour: self.color, verbose: self.verbose, several: false }
    }
}

/// Something else than tracing.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Print the verdicts from a recording; needs no root
    Report(Report),
    /// Write a copy of a recording to share, without who asked for what
    Redact(Redact),
    /// Say what a cause means, how it is told apart and what to do
    Explain(Explain),
    /// Say what this kernel and these rights allow, and what is lost without
    Doctor(Doctor),
}

/// What to look at.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Doctor {
    /// nginx to look for: pid of a master or a worker, or a name
    #[arg(long, value_name = "PID|NAME", default_value = "nginx")]
    pub pid: Vec<Target>,

    /// Which hooks a trace may use: as `--hooks` of a trace
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub hooks: HookFilter,

    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,

    /// Use colours
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// Reads a percentage, with or without its sign.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').parse::<f64>().ok();
    number
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .ok_or_else(|| "write a percentage such as 0.5, more than 0 and at most 100".to_owned())
}

/// Reads `64K`, `4M`; a ring buffer is a power of two, and whole pages.
fn buffer(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let bytes = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| bytes.is_power_of_two() && (64 << 10..=256 << 20).contains(bytes))
        .ok_or_else(|| "write a power of two from 64K to 256M".to_owned())
}

/// Reads `500ms`, `60s`, `2m`, `1h`, `1h30m`; a plain number counts seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let spelled = if plain { format!("{text}s") } else { text.to_owned() };
    let parsed = spelled.parse::<SignedDuration>().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write a time such as 500ms, 60s, 2m or 1h, more than 0".to_owned())
}

#[cfg(test)]
mod tests;
