//! `cargo xtask bench`: what tracing costs a busy nginx, side by side with peers in one run.

mod cpu;
pub(crate) mod floor;
pub(crate) mod hold;
mod hooks;
mod load;
mod numbers;
mod scale;
mod startup;
mod storm;
mod table;
mod throughput;
mod tracer;
mod usage;
mod world;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::build::{self, Options as Build};
use crate::sandbox::interrupt;
use crate::say::say;
use crate::{paths, process, setup};
use tracer::{Tracer, Tracers};
use world::World;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Measure only this; may be repeated
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// Rounds, each with every tracer in turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: Option<u64>,
    /// Seconds that each load lasts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: Option<u64>,
    /// A first impression, in about four minutes
    #[arg(long)]
    quick: bool,
    /// Of the processor time, only that of a tool which has been on for a while, saturated
    #[arg(long)]
    left_on: bool,
    /// Where to write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The program, already built: how the benchmark calls itself as root
    #[arg(long, hide = true)]
    program: Option<PathBuf>,
}

/// A part that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Processor time of nginx per request under each tracer, saturated and paced
    Cpu,
    /// Throughput of nginx under each tracer
    Throughput,
    /// Every connection is refused
    Storm,
    /// Cost of a run of each hook
    Hooks,
    /// From start to attached
    Startup,
    /// Many workers, many open connections
    Scale,
}

/// Measures, prints, and returns the numbers.
type Measure = fn(&Plan, &Tracers<'_>) -> Result<Value>;

/// How much is measured.
struct Plan {
    rounds: usize,
    /// Of one second each.
    short_rounds: usize,
    seconds: u64,
    quick: bool,
    left_on: bool,
}

impl Plan {
    fn of(options: &Options) -> Self {
        let (rounds, short_rounds, seconds) = if options.quick { (3, 6, 1) } else { (7, 20, 3) };
        Self {
            rounds: options.rounds.unwrap_or(rounds) as usize,
            short_rounds: options.rounds.unwrap_or(short_rounds) as usize,
            seconds: options.seconds.unwrap_or(seconds),
            quick: options.quick,
            left_on: options.left_on,
        }
    }

    /// Who watches in this round. The peers are there for scale: fewer rounds do.
    fn tracers(&self, round: usize) -> Vec<Tracer> {
        let mut tracers = vec![Tracer::Tool, Tracer::Recording, Tracer::Floor];
        if round < if self.quick { 1 } else { 3 } {
            tracers.extend([Tracer::Bpftrace, Tracer::Tcpdump]);
        }
        if round == 0 {
            tracers.push(Tracer::Strace);
        }
        tracers
    }
}

/// Runs it; whatever happens, nothing is left behind.
pub(crate) fn bench(options: &Options) -> Result<()> {
    if let Some(program) = &options.program {
        return measure(options, program);
    }
    setup::all()?;
    setup::for_bench()?;
    let program = build::build(Build::default())?;
    if process::is_root() { measure(options, &program) } else { become_root(&program) }
}

fn become_root(program: &Path) -> Result<()> {
    let mut command = process::as_root(std::env::current_exe().context("cannot find xtask itself")?)?;
    command.args(std::env::args_os().skip(1)).arg("--program").arg(program);
    Err(command.exec()).with_context(|| format!("cannot start {}", process::text(&command)))
}

fn measure(options: &Options, program: &Path) -> Result<()> {
    interrupt::catch()?;
    let plan = Plan::of(options);
    let tracers = Tracers { program, hooks: raw_tracepoints(program)? };
    let mut numbers = Map::new();
    numbers.insert("machine".to_owned(), machine());
    let parts: [(&str, Part, Measure); 6] = [
        ("cpu", Part::Cpu, cpu::measure),
        ("startup", Part::Startup, startup::measure),
        ("hooks", Part::Hooks, hooks::measure),
        ("storm", Part::Storm, storm::measure),
        ("throughput", Part::Throughput, throughput::measure),
        ("scale", Part::Scale, scale::measure),
    ];
    for (name, part, measure) in parts {
        if options.only.is_empty() || options.only.contains(&part) {
            numbers.insert(name.to_owned(), measure(&plan, &tracers)?);
        }
    }
    let file = options.json.clone().unwrap_or_else(|| paths::target().join("bench.json"));
    fs::write(&file, format!("{:#}\n", Value::Object(numbers)))
        .with_context(|| format!("cannot write {}", file.display()))?;
    say("Wrote", paths::shown(&file));
    Ok(())
}

/// What the tool attaches to here, as it says itself.
fn raw_tracepoints(program: &Path) -> Result<Vec<String>> {
    let world = World::new(1)?;
    let tracers = Tracers { program, hooks: Vec::new() };
    let report = tracers.start(Tracer::Tool, &world)?.stop()?;
    let hooks = report.start["hooks"].as_array().context("the tool names no hooks")?;
    let raw = hooks.iter().filter(|hook| hook["attached"] == true && hook["kind"] == "raw_tracepoint");
    Ok(raw.filter_map(|hook| hook["name"].as_str().map(str::to_owned)).collect())
}

/// What can be said of the machine without naming it.
fn machine() -> Value {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    let version = release.split('-').next().unwrap_or_default().trim();
    json!({
        "cores": info.lines().filter(|line| line.starts_with("processor")).count(),
        "processor": model.trim_start_matches([' ', '\t', ':']),
        "kernel": version,
    })
}

/// An error once somebody wants to stop.
fn interrupted() -> Result<()> {
    if interrupt::happened() {
        bail!("interrupted");
    }
    Ok(())
}

/// A whole number with separators.
fn count(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let digits = format!("{value:.0}");
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            [0.4, 999.0, 1_000.0, 1_234_567.0, f64::NAN].map(count),
            ["0", "999", "1,000", "1,234,567", "-"]
        );
        assert_eq!(percent(0.0123), "1.2 %");
    }

    #[test]
    fn peers_take_part_in_the_first_rounds() {
        let plan = Plan { rounds: 7, short_rounds: 20, seconds: 3, quick: false, left_on: false };
        assert_eq!(plan.tracers(0).len(), 6);
        assert_eq!(plan.tracers(6), [Tracer::Tool, Tracer::Recording, Tracer::Floor]);
    }
}
