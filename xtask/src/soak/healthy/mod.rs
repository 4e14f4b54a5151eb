//! `cargo xtask soak --healthy`: requests of all kinds to origins that are well, of which the tool must tell nothing.

mod cancel;
mod count;
mod judge;
mod kinds;
mod load;
pub(super) mod names;
pub(crate) mod odd;
mod origin;
mod proxy;
pub(crate) mod responder;
pub(super) mod world;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use nix::sys::signal::Signal;

use super::tracer::{Said, Tracer};
use crate::sandbox::interrupt;
use crate::say::{note, say};
use crate::{process, setup};
use count::Count;
use judge::{tool, world as judge_world};
use kinds::STREAMS;
use world::World;

/// Between two reloads of nginx.
const RELOAD: Duration = Duration::from_secs(30);
/// Between two looks at the access log.
const LOOK: Duration = Duration::from_millis(500);
/// A slower machine than this is too slow for so many requests.
const SLOWEST: u64 = 300;
/// After the last request, until every attempt is over.
const CALM: Duration = Duration::from_secs(4);

/// Which nginx is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Release {
    /// That of this machine.
    #[value(name = "1.22", alias = "installed")]
    Installed,
    /// That of a newer Debian.
    #[value(alias = "1.30")]
    Newer,
}

/// What to ask, and of whom.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only requests of all kinds to healthy origins; fails if anything is told of them
    #[arg(long)]
    pub(super) healthy: bool,
    /// With --healthy: how many
    #[arg(long, default_value_t = 1_000_000, requires = "healthy")]
    requests: u64,
    /// With --healthy: which nginx is traced
    #[arg(long, value_enum, default_value = "1.22", requires = "healthy")]
    nginx: Release,
    /// With --healthy: `--depth` of the tool
    #[arg(long, default_value = "auto", value_parser = ["auto", "watch", "deep"], requires = "healthy")]
    depth: String,
    /// With --healthy: more arguments of the tool
    #[arg(last = true, value_name = "ARGS", requires = "healthy")]
    more: Vec<OsString>,
}

/// What came of it.
struct Outcome {
    said: Said,
    count: Count,
    certificates: u64,
    complaints: Vec<String>,
}

/// Runs it as root; an error if the tool told anything, or nginx or an origin failed after all.
pub(super) fn run(options: &Options, program: &Path) -> Result<()> {
    ensure!(process::is_root(), "this takes root: run it with sudo");
    setup::for_healthy()?;
    interrupt::catch()?;
    let newer = options.nginx == Release::Newer;
    let world = World::start(newer)?;
    let mut names: Vec<&str> = kinds::all(newer).map(|kind| kind.name).collect();
    if world.streams {
        names.extend(STREAMS.map(|(_, name, _)| name));
    } else {
        note("Without", "stream: this nginx has no such module");
    }
    let outcome = ask(options, program, world, &names)?;
    show(&outcome);
    let wrong =
        judge_world(&outcome.count, &names, options.requests, outcome.certificates, &outcome.complaints);
    if !wrong.is_empty() {
        bail!("this world was not healthy: {}", wrong.join("; "));
    }
    let wrong = tool(&outcome.said, options.requests);
    if !wrong.is_empty() {
        bail!("{}", wrong.join("; "));
    }
    say("Silent", "nothing was told, nothing was lost, and every attempt is accounted for");
    Ok(())
}

fn ask(options: &Options, program: &Path, mut world: World, names: &[&str]) -> Result<Outcome> {
    let mut tracer = Tracer::start(program, world.proxy.master.pid(), &options.depth, &options.more)?;
    let access = world.proxy.dir().join("access.log");
    let mut count = Count::of(&access)?;
    let mut load = world.load()?;
    say("Asking", format!("{} requests of {} kinds, depth {}", options.requests, names.len(), options.depth));
    let (begin, mut reloaded) = (Instant::now(), Instant::now());
    let limit = Duration::from_secs(60 + options.requests / SLOWEST);
    let requests = |count: &Count| {
        names.iter().map(|name| count.kind(name)).map(|kind| kind.answered + kind.left).sum::<u64>()
    };
    while requests(&count) < options.requests && !interrupt::happened() {
        ensure!(begin.elapsed() < limit, "only {} requests within {limit:?}", requests(&count));
        ensure!(!load.has_ended(), "a client ended by itself");
        ensure!(!tracer.running.wait(LOOK, interrupt::happened), "the tracer ended by itself");
        if reloaded.elapsed() > RELOAD {
            world.proxy.master.signal(Signal::SIGHUP);
            reloaded = Instant::now();
        }
        count.read()?;
    }
    say("Asked", format!("{} requests in {:.0} s", requests(&count), begin.elapsed().as_secs_f64()));
    drop(load);
    // What waits and what idles in pools ends with its worker.
    thread::sleep(CALM);
    world.proxy.master.signal(Signal::SIGHUP);
    thread::sleep(CALM);
    let said = tracer.end()?;
    count.read()?;
    let certificates = fs::read_to_string(world.files.0.join("ocsp.log")).unwrap_or_default();
    Ok(Outcome {
        said,
        count,
        certificates: certificates.lines().count() as u64,
        complaints: count::complaints(&world.proxy.dir().join("error.log")),
    })
}

fn show(outcome: &Outcome) {
    say("Kinds", "answered, left by the client");
    for (name, tally) in &outcome.count.kinds {
        say("", format!("{name:<16} {:>8} {:>7}", tally.answered, tally.left));
    }
    say("OCSP", format!("{} requests", outcome.certificates));
    let summary = &outcome.said.summary;
    say("Accounts", summary["accounts"].to_string());
    say("Depth", format!("{} of {} ms", summary["deep_ms"], summary["duration_ms"]));
    for told in summary["by_cause"].as_array().into_iter().flatten() {
        note("Told", format!("{} times {} of {}", told["count"], told["cause"], told["upstream"]));
    }
    say("Lines", summary["log_lines"].to_string());
    for line in outcome.complaints.iter().take(20) {
        note("nginx", line);
    }
    for line in &outcome.said.shown {
        println!("{line}");
    }
}
