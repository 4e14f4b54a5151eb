//! `cargo xtask soak`: mixed traffic with reloads and disturbances for as long as you like, and whether anything grows or
//! leaks.

pub(crate) mod healthy;
mod history;
mod judge;
mod looks;
mod plot;
mod schedule;
mod tracer;
mod truth;
mod world;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::build::{self, Options};
use crate::sandbox::interrupt;
use crate::say::{note, say};
use crate::{paths, process, setup};
use history::History;
use looks::Held;
use tracer::Tracer;
use world::World;

/// Between two looks at the tracer.
const LOOK: Duration = Duration::from_secs(10);
/// Looks between two lines of the table, and between two reloads.
const EVERY: usize = 3;
/// After the last request, until every attempt is over.
const CALM: Duration = Duration::from_secs(8);
/// For the kernel to give back what the tracer held, after its end.
const GIVEN_BACK: Duration = Duration::from_secs(10);
/// Size that recordings may have.
const RECORD_LIMIT: u64 = 64 << 20;

/// How long to soak.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Soak {
    /// Minutes of traffic
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    minutes: u64,
    /// Hours of traffic
    #[arg(long, conflicts_with = "minutes", value_parser = clap::value_parser!(u64).range(1..=168))]
    hours: Option<u64>,
    /// The program, already built; built if not given
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where to draw what was seen; default: target/soak.svg
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Where to write what was seen; default: target/soak.json
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only draw what an earlier run has written
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hours", "minutes", "program", "json", "healthy"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    healthy: healthy::Options,
}

impl Soak {
    fn time(&self) -> Duration {
        Duration::from_mins(self.hours.map_or(self.minutes, |hours| 60 * hours))
    }

    fn draw(&self, history: &History) -> Result<()> {
        let plot = self.plot.clone().unwrap_or_else(|| paths::target().join("soak.svg"));
        plot::draw(history, &plot)?;
        say("Drawn", paths::shown(&plot));
        Ok(())
    }
}

/// Runs it as root; an error if anything grew, was lost, or was left behind.
pub(crate) fn soak(options: &Soak) -> Result<()> {
    if let Some(file) = &options.from {
        return options.draw(&History::read(file)?);
    }
    ensure!(process::is_root(), "this takes root: run it with sudo");
    let program = if let Some(program) = &options.program {
        program.clone()
    } else {
        setup::all()?;
        build::build(Options::default())?
    };
    if options.healthy.healthy {
        return healthy::run(&options.healthy, &program);
    }
    interrupt::catch()?;
    let json = options.json.clone().unwrap_or_else(|| paths::target().join("soak.json"));
    let mut history = History::default();
    let wrong = run(options.time(), &program, &json, &mut history);
    // Also of a run that broke off.
    history.write(&json)?;
    if let Err(error) = options.draw(&history) {
        note("Not drawn", format!("{error:#}"));
    }
    let wrong = wrong?;
    if !wrong.is_empty() {
        bail!("{}", wrong.join("; "));
    }
    say("Sound", "nothing grew, nothing leaked, nothing was left over");
    Ok(())
}

/// What is wrong with the tracer; an error if that cannot be said.
fn run(time: Duration, program: &Path, json: &Path, history: &mut History) -> Result<Vec<String>> {
    let mut world = World::start()?;
    let more = arguments(&world, time);
    let mut tracer = Tracer::start(program, world.nginx.master.pid(), "auto", &more)?;
    let pid = tracer.running.pid();
    say("Soaking", format!("{} min, tracer {pid}", time.as_secs() / 60));
    let mut held = Held::default();
    watch(&mut tracer, &mut world, time, (&mut *history, &mut held), json)?;
    let said = tracer.end()?;
    history.summary = said.summary;
    history.firsts = said.firsts.into_values().collect();
    history.wrong = said.wrong;
    let left = held.left(GIVEN_BACK);
    // Its process group has its number.
    let processes = killpg(Pid::from_raw(pid.cast_signed()), None).is_ok();
    let mut wrong = judge::growth(&history.looks, RECORD_LIMIT);
    wrong.extend(judge::summary(&history.summary));
    wrong.extend(judge::causes(&history.wrong));
    wrong.extend(judge::left(left.0, left.1, processes));
    if !interrupt::happened() {
        let (taken, scraped) = world.collectors.since();
        let came = [(taken, "the receiver"), (scraped, "the scraper")];
        wrong.extend(
            came.iter()
                .filter(|came| came.0 == 0)
                .map(|came| format!("{} got nothing since it is back", came.1)),
        );
    }
    show(history);
    if let Err(error) = read_recordings(program, world.recordings()) {
        wrong.push(format!("recordings cannot be read: {error:#}"));
    }
    Ok(wrong)
}

/// A service with all its sinks.
fn arguments(world: &World, time: Duration) -> Vec<OsString> {
    let [metrics, otlp] = world.collectors.arguments();
    let keep = (time / 6).clamp(Duration::from_mins(1), Duration::from_mins(30));
    let (keep, limit) = (format!("{}s", keep.as_secs()), format!("{}M", RECORD_LIMIT >> 20));
    let mut all: Vec<OsString> =
        ["--metrics", &metrics, "--otlp", &otlp, "--keep", &keep, "--record-limit", &limit]
            .map(OsString::from)
            .into();
    all.extend(["--record".into(), world.recordings().into()]);
    all
}

/// Looks at the tracer until the traffic is over, reloads nginx now and then, and disturbs what is due.
fn watch(
    tracer: &mut Tracer,
    world: &mut World,
    time: Duration,
    (history, held): (&mut History, &mut Held),
    json: &Path,
) -> Result<()> {
    let mut client = world.start_client(time.as_secs())?;
    let begin = Instant::now();
    let mut plan = schedule::plan(time).into_iter().peekable();
    let mut next = LOOK;
    say("Table", looks::HEAD);
    while begin.elapsed() < time && !interrupt::happened() {
        let due = plan.peek().map_or(next, |due| due.at.min(next));
        let pause = due.saturating_sub(begin.elapsed());
        ensure!(!tracer.running.wait(pause, interrupt::happened), "the tracer ended by itself");
        while let Some(due) = plan.next_if(|due| due.at <= begin.elapsed()) {
            world.act(due.step)?;
            history.note(due.step, begin.elapsed().as_secs_f64());
        }
        if begin.elapsed() < next {
            continue;
        }
        next += LOOK;
        let look =
            looks::look(tracer.running.pid(), begin.elapsed().as_secs_f64(), world.recordings(), held)?;
        if history.looks.len().is_multiple_of(EVERY) {
            world.nginx.master.signal(Signal::SIGHUP);
            say("", looks::row(&look, history.looks.last().unwrap_or(&look)));
            history.write(json)?;
        }
        history.looks.push(look);
    }
    client.signal(Signal::SIGTERM);
    client.wait(Duration::from_secs(5), || false);
    tracer.running.wait(CALM, || false);
    Ok(())
}

fn show(history: &History) {
    let summary = &history.summary;
    let number = |name: &str| summary[name].to_string();
    say("Attempts", format!("{}, failures {}", number("attempts"), number("failures")));
    say("Accounts", number("accounts"));
    say("Lost", format!("{}: {}", number("lost"), number("lost_by_place")));
    let quarter = history.looks.len() / 4;
    let late = history.looks.len() - quarter;
    let quarters = (&history.looks[quarter..2 * quarter], &history.looks[late..]);
    let (early, late) = judge::memory(quarters.0, quarters.1);
    say("Allocated", format!("{} KiB in the second quarter, {} KiB in the last", early >> 10, late >> 10));
    for told in summary["by_cause"].as_array().into_iter().flatten() {
        let (cause, upstream) = (&told["cause"], &told["upstream"]);
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        say("", format!("{:>7} {:<20} {}", told["count"].to_string(), text(cause), text(upstream)));
    }
}

/// Whether the tool reads what it wrote.
fn read_recordings(program: &Path, folder: &Path) -> Result<()> {
    ensure!(fs::read_dir(folder)?.next().is_some(), "there is none");
    process::capture(Command::new(program).arg("report").arg(folder)).map(drop)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        soak: Soak,
    }

    #[test]
    fn hours_or_minutes() {
        let minutes = |words: &[&str]| {
            let line = Line::try_parse_from([&["soak"], words].concat());
            line.map(|line| line.soak.time().as_secs() / 60).ok()
        };
        assert_eq!([minutes(&[]), minutes(&["--hours", "3"])], [Some(15), Some(180)]);
        assert_eq!(minutes(&["--hours", "3", "--minutes", "3"]), None);
    }
}
