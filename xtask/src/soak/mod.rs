//! `cargo xtask soak`: mixed traffic with reloads for as long as you like, and whether anything grows or leaks.

pub(crate) mod healthy;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::build::{self, Options};
use crate::sandbox::{Namespace, Nginx, Running, interrupt};
use crate::say::say;
use crate::{process, setup, site};

/// Between two looks at the tracer.
const LOOK: Duration = Duration::from_secs(10);
/// Looks between two lines of the table, and between two reloads.
const EVERY: usize = 3;
/// After the last request, until every attempt is over.
const CALM: Duration = Duration::from_secs(8);
/// Memory may grow by so much from the second quarter to the last: a tenth, and what an allocator plays with.
const PLAY: u64 = 2 << 20;

/// How long to soak.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Soak {
    /// Minutes of traffic
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// The program, already built; built if not given
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    #[command(flatten)]
    healthy: healthy::Options,
}

/// What one look at the tracer saw.
#[derive(Clone, Copy, Debug)]
struct Look {
    resident: u64,
    descriptors: usize,
    threads: usize,
    /// Processor time until then, in ticks.
    ticks: u64,
}

/// Runs it as root; an error if memory grew, an attempt was lost, or a record was left behind.
pub(crate) fn soak(options: &Soak) -> Result<()> {
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
    let (inside, outside) = site::network()?;
    site::add_firewall(&inside)?;
    let _far = site::start_upstreams(&outside, "far")?;
    let _near = site::start_upstreams(&inside, "near")?;
    let nginx = Nginx::start(&inside, "ut-soak", site::configuration)?;
    let mut tracer = start_tracer(&program, nginx.master.pid())?;
    let said = listen(tracer.child.stdout.take().context("the tracer's output")?);
    let client = start_client(&inside, options.minutes)?;
    say("Soaking", format!("{} min, tracer {}", options.minutes, tracer.pid()));
    let looks = watch(&mut tracer, nginx, client, Duration::from_secs(60 * options.minutes))?;
    tracer.signal(Signal::SIGINT);
    ensure!(tracer.wait(Duration::from_secs(10), || false), "the tracer does not end");
    let summary = said.join().ok().flatten().context("the tracer gave no summary")?;
    judge(&looks, &summary)
}

fn start_tracer(program: &Path, nginx: u32) -> Result<Running> {
    let mut command = Command::new(program);
    command.args(["--json", "--pid", &nginx.to_string()]).process_group(0);
    let mut tracer = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    ensure!(!tracer.wait(Duration::from_secs(2), || false), "the tracer did not start");
    Ok(tracer)
}

/// Reads all it says and keeps the summary.
fn listen(stdout: ChildStdout) -> JoinHandle<Option<Value>> {
    thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let last = lines.filter(|line| line.contains(r#""type":"summary""#)).last()?;
        serde_json::from_str(&last).ok()
    })
}

fn start_client(namespace: &Namespace, minutes: u64) -> Result<Running> {
    let mut command = namespace.command(std::env::current_exe().context("cannot find xtask itself")?);
    command.args(["client", "--mixed", &(60 * minutes).to_string()]).process_group(0);
    Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()))
}

/// Looks at the tracer until the traffic is over, and reloads nginx now and then.
fn watch(tracer: &mut Running, mut nginx: Nginx, mut client: Running, limit: Duration) -> Result<Vec<Look>> {
    let begin = Instant::now();
    let mut looks: Vec<Look> = Vec::new();
    say("Table", "minutes  resident MiB  descriptors  threads  CPU %");
    while begin.elapsed() < limit && !interrupt::happened() {
        ensure!(!tracer.wait(LOOK, interrupt::happened), "the tracer ended by itself");
        let look = look(tracer.pid())?;
        if looks.len().is_multiple_of(EVERY) {
            nginx.master.signal(Signal::SIGHUP);
            let before = looks.last().map_or(look.ticks, |before| before.ticks);
            say("", row(begin.elapsed(), look, before));
        }
        looks.push(look);
    }
    client.signal(Signal::SIGTERM);
    client.wait(Duration::from_secs(5), || false);
    tracer.wait(CALM, || false);
    Ok(looks)
}

fn row(after: Duration, look: Look, ticks_before: u64) -> String {
    // A tick is a hundredth of a second on all of Linux's architectures.
    let cpu = look.ticks.saturating_sub(ticks_before) as f64 / LOOK.as_secs_f64();
    let (minutes, resident) = (after.as_secs_f64() / 60.0, look.resident as f64 / f64::from(1 << 20));
    format!("{minutes:>7.1}  {resident:>12.1}  {:>11}  {:>7}  {cpu:>5.1}", look.descriptors, look.threads)
}

fn look(pid: u32) -> Result<Look> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).context("the tracer is gone");
    let count = |name: &str| -> Result<usize> { Ok(fs::read_dir(format!("/proc/{pid}/{name}"))?.count()) };
    let number = |text: &str, index: usize| text.split_whitespace().nth(index).and_then(|n| n.parse().ok());
    let (statm, stat) = (read("statm")?, read("stat")?);
    // Behind the name in brackets, which may hold anything: state, ..., utime, stime.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let pages: u64 = number(&statm, 1).context("statm")?;
    let ticks = |index| number(behind, index).unwrap_or(0u64);
    Ok(Look {
        resident: pages * 4096,
        descriptors: count("fd")?,
        threads: count("task")?,
        ticks: ticks(11) + ticks(12),
    })
}

fn judge(looks: &[Look], summary: &Value) -> Result<()> {
    let accounts = &summary["accounts"];
    say(
        "Attempts",
        format!("{}, failures {}, lost {}", summary["attempts"], summary["failures"], summary["lost"]),
    );
    say("Accounts", accounts.to_string());
    let mut wrong = Vec::new();
    if accounts["missing"] != 0 {
        wrong.push("attempts are not accounted for".to_owned());
    }
    if accounts["live"] != 0 {
        wrong.push(format!("{} records are left though every attempt is over", accounts["live"]));
    }
    if summary["lost"] != 0 {
        wrong.push(format!("{} events were lost", summary["lost"]));
    }
    let quarter = looks.len() / 4;
    if quarter > 0 {
        let median = |from: usize| {
            let mut resident: Vec<_> = looks[from..from + quarter].iter().map(|look| look.resident).collect();
            resident.sort_unstable();
            resident[resident.len() / 2]
        };
        let (early, late) = (median(quarter), median(looks.len() - quarter));
        say("Memory", format!("{} KiB in the second quarter, {} KiB in the last", early >> 10, late >> 10));
        if late > early + early / 10 + PLAY {
            wrong.push("memory grows".to_owned());
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("; "));
    }
    say("Sound", "nothing grew, nothing leaked, nothing was lost");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn looks(resident: impl Fn(u64) -> u64) -> Vec<Look> {
        let look = |index| Look { resident: resident(index), descriptors: 9, threads: 1, ticks: 0 };
        (0..40).map(look).collect()
    }

    #[test]
    fn growth_leaks_and_losses_are_found() {
        let sound = json!({"attempts": 9, "failures": 1, "lost": 0, "accounts": {"missing": 0, "live": 0}});
        assert!(judge(&looks(|_| 20 << 20), &sound).is_ok());
        assert!(judge(&looks(|index| (20 + index) << 20), &sound).is_err());
        for wrong in ["missing", "live"] {
            let mut summary = sound.clone();
            summary["accounts"][wrong] = 1.into();
            assert!(judge(&looks(|_| 20 << 20), &summary).is_err(), "{wrong}");
        }
        let mut summary = sound;
        summary["lost"] = 1.into();
        assert!(judge(&looks(|_| 20 << 20), &summary).is_err());
    }

    #[test]
    fn a_look_at_oneself() {
        let look = look(std::process::id()).unwrap();
        assert!(look.resident > 1 << 20 && look.descriptors > 2 && look.threads >= 1);
    }
}
