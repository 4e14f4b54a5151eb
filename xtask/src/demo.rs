//! `cargo xtask demo`: a private nginx with broken upstreams, traced live by the real program.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::build::{self, Options};
use crate::sandbox::{Files, Namespace, Nginx, Notices, Running, interrupt};
use crate::say::say;
use crate::site::{self, LISTEN, UPSTREAMS, client};
use crate::{paths, process, setup};

/// From the start of the tracer until it is attached, on a slow machine. After that the client asks all the same.
const START: Duration = Duration::from_secs(10);

/// From the last answer to the end of the trace, seconds.
const SPARE: u64 = 1;

/// How the demo runs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Demo {
    /// How long to trace
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Keep nginx and its upstreams until Ctrl-C, to try things by hand
    #[arg(long)]
    keep: bool,
    /// The program, already built: how the demo calls itself as root
    #[arg(long, hide = true)]
    program: Option<PathBuf>,
}

/// Runs it; whatever happens, nothing is left behind.
pub(crate) fn demo(demo: &Demo) -> Result<()> {
    if let Some(program) = &demo.program {
        return show(demo, program);
    }
    setup::all()?;
    let program = build::build(Options::soonest())?;
    if process::is_root() { show(demo, &program) } else { become_root(demo, &program) }
}

fn become_root(demo: &Demo, program: &Path) -> Result<()> {
    let mut command = process::as_root(std::env::current_exe().context("cannot find xtask itself")?)?;
    command.args(["demo", "--seconds", &demo.seconds.to_string(), "--program"]).arg(program);
    command.args(demo.keep.then_some("--keep"));
    Err(command.exec()).with_context(|| format!("cannot start {}", process::text(&command)))
}

fn show(demo: &Demo, program: &Path) -> Result<()> {
    interrupt::catch()?;
    play(demo, program)?;
    say("Cleaned up", "nginx, its upstreams, firewall and namespaces are gone");
    Ok(())
}

fn play(demo: &Demo, program: &Path) -> Result<()> {
    // Dropped in the other order: first nginx, then the upstreams, then the namespaces.
    let (inside, outside) = site::network()?;
    site::add_firewall(&inside)?;
    let _far = site::start_upstreams(&outside, "far")?;
    let _near = site::start_upstreams(&inside, "near")?;
    let nginx = Nginx::start(&inside, "ut-demo", site::configuration)?;
    say("Started", format!("nginx, pid {}, in the network namespace {}", nginx.master.pid(), inside.name));
    for upstream in &UPSTREAMS {
        let verb = if upstream.is_healthy { "Healthy" } else { "Broken" };
        say(verb, format!("{:<10} {}:{}  {}", upstream.path, upstream.address, upstream.port, upstream.what));
    }
    trace(demo.seconds, program, nginx.master.pid(), &inside)?;
    if demo.keep {
        keep(program, nginx.master.pid(), &inside);
    }
    Ok(())
}

/// Traces while a client asks, then tells what the client saw.
fn trace(seconds: u64, program: &Path, nginx: u32, namespace: &Namespace) -> Result<()> {
    let mut command = Command::new(program);
    command.args(["--pid", &nginx.to_string(), "--duration", &format!("{seconds}s")]);
    say("Tracing", process::text(&command).replace(&program.display().to_string(), &paths::shown(program)));
    let files = Files::new("ut-demo-tracer")?;
    let notices = Notices::of(&mut command, &files.0)?;
    let mut tracer = Running::start(&mut command)?;
    let limit = Duration::from_secs(seconds + 10);
    let mut client = None;
    if !tracer.wait(START, || notices.say_ready() || interrupt::happened()) && !interrupt::happened() {
        client = Some(start_client(namespace, client::rounds_in(seconds - SPARE))?);
        tracer.wait(limit, interrupt::happened);
    }
    // Ctrl-C reaches the tracer as well, another signal may not.
    if !tracer.wait(Duration::from_secs(1), || false) {
        tracer.signal(Signal::SIGINT);
        tracer.wait(Duration::from_secs(3), || false);
    }
    let status = if tracer.has_ended() { tracer.child.wait().ok() } else { None };
    match status {
        Some(status) if status.success() => {}
        Some(status) => bail!("{} ended with {status}", paths::shown(program)),
        None => bail!("{} did not end within {} s", paths::shown(program), limit.as_secs()),
    }
    client.map_or(Ok(()), tell)
}

fn start_client(namespace: &Namespace, rounds: usize) -> Result<Running> {
    let mut command = namespace.command(std::env::current_exe().context("cannot find xtask itself")?);
    command.args(["client", &rounds.to_string()]).process_group(0);
    Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))
}

/// What the client saw: all that one knows without a tracer.
fn tell(mut client: Running) -> Result<()> {
    client.wait(Duration::from_secs(1), || false);
    let stdout = client.child.stdout.take();
    drop(client);
    let mut lines = String::new();
    stdout
        .map(|mut stdout| stdout.read_to_string(&mut lines))
        .transpose()
        .context("cannot hear the client")?;
    for upstream in &UPSTREAMS {
        let answers = lines.lines().filter_map(|line| line.strip_prefix(upstream.path)).map(str::trim);
        let answers = answers.collect::<Vec<_>>().join(", ");
        if !answers.is_empty() {
            say("Client", format!("{:<10} {answers}", upstream.path));
        }
    }
    Ok(())
}

fn keep(program: &Path, nginx: u32, namespace: &Namespace) {
    say("Kept", "until Ctrl-C; try, in other terminals:");
    anstream::eprintln!("{:12} sudo {} --pid {nginx}", "", paths::shown(program));
    anstream::eprintln!("{:12} sudo ip netns exec {} curl -i {LISTEN}/firewall", "", namespace.name);
    while !interrupt::happened() {
        thread::sleep(Duration::from_millis(50));
    }
}
