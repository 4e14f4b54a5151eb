//! What is measured against what: nothing, the tool, empty programs, and peers that see the same events.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::world::{ORIGIN_PORT, World};
use super::{floor, interrupted, usage};
use crate::sandbox::{Collectors, Running};

/// The events that the tool looks at, as far as its tracepoints go, counted and timed.
const BPFTRACE: &str = "
tracepoint:sock:inet_sock_set_state /args->newstate == 2/ { @begun[args->skaddr] = nsecs; }
tracepoint:sock:inet_sock_set_state /args->oldstate == 2/ {
  @connect_us = hist((nsecs - @begun[args->skaddr]) / 1000); delete(@begun[args->skaddr]);
}
tracepoint:tcp:tcp_destroy_sock { @ended = count(); }
tracepoint:tcp:tcp_receive_reset { @resets = count(); }
tracepoint:tcp:tcp_retransmit_skb { @retransmits = count(); }
tracepoint:skb:kfree_skb { @drops[args->reason] = count(); }
tracepoint:sock:sock_send_length { @sent[pid] = count(); }
tracepoint:sock:sock_recv_length { @received[pid] = count(); }
";

const BPFTRACE_START: &str = "mount -t debugfs none /sys/kernel/debug 2>/dev/null
mount -t tracefs none /sys/kernel/tracing 2>/dev/null
exec bpftrace -e \"$1\"";

/// For `--depth auto` to be through with its first look, of five seconds; its next one is half a minute later.
const FIRST_LOOK: Duration = Duration::from_secs(7);

/// How long a peer has from its start until it must be at work.
const READY: Duration = Duration::from_secs(30);

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tracer {
    Nothing,
    Tool,
    Settled,
    Watch,
    Deep,
    Recording,
    Collected,
    SettledCollected,
    Floor,
    Bpftrace,
    Tcpdump,
    Strace,
}

impl Tracer {
    /// As in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Tool => "upstream-trace",
            Self::Settled => "upstream-trace, after its first look",
            Self::Watch => "upstream-trace --depth watch",
            Self::Deep => "upstream-trace --depth deep",
            Self::Recording => "upstream-trace --record",
            Self::Collected => "upstream-trace --record --metrics --otlp",
            Self::SettledCollected => "upstream-trace --record --metrics --otlp, after its first look",
            Self::Floor => "empty programs",
            Self::Bpftrace => "bpftrace",
            Self::Tcpdump => "tcpdump -w",
            Self::Strace => "strace -e network",
        }
    }
}

/// What it cost, and what it told.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// Processor time that it took itself, nanoseconds.
    pub(super) cpu_ns: u64,
    /// What it had taken when it was at work, nanoseconds.
    pub(super) startup_cpu_ns: u64,
    /// Memory that was resident in the end, KiB.
    pub(super) resident_kib: u64,
    /// Events that it says it lost.
    pub(super) lost: u64,
    /// The tool's objects `start` and `summary`.
    pub(super) start: Value,
    pub(super) summary: Value,
}

/// One that is at work.
pub(super) struct Session {
    tracer: Tracer,
    running: Option<Running>,
    out: PathBuf,
    err: PathBuf,
    cpu_before: u64,
    /// What it is asked by, and sends to.
    collectors: Option<Collectors>,
}

/// What is needed to start one.
pub(super) struct Tracers<'a> {
    /// The tool.
    pub(super) program: &'a Path,
    /// Raw tracepoints that the tool attaches to.
    pub(super) hooks: Vec<String>,
}

impl Tracers<'_> {
    /// Starts it; it is at work when this returns.
    pub(super) fn start(&self, tracer: Tracer, world: &World) -> Result<Session> {
        match tracer {
            Tracer::Nothing => Ok(Session::nothing()),
            Tracer::Tool => self.tool(world, world.proxy.master.pid(), &[]),
            Tracer::Watch => self.tool(world, world.proxy.master.pid(), &["--depth", "watch"]),
            Tracer::Deep => self.tool(world, world.proxy.master.pid(), &["--depth", "deep"]),
            Tracer::Settled => self.tool(world, world.proxy.master.pid(), &[])?.settled(),
            Tracer::Recording => self.tool(world, world.proxy.master.pid(), &["--record", &recording(world)]),
            Tracer::Collected => self.collected(world),
            Tracer::SettledCollected => self.collected(world)?.settled(),
            Tracer::Floor => self.floor(world, &self.hooks),
            Tracer::Bpftrace => {
                // It wants tracefs below debugfs, which need not be mounted; in a mount namespace nobody notices.
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", BPFTRACE_START, "sh", BPFTRACE]);
                // It has no word for being ready; the number of probes is its first.
                Session::start(tracer, command, world, |out, _| out.contains("Attaching"))
                    .inspect(|_| thread::sleep(Duration::from_secs(1)))
            }
            Tracer::Tcpdump => {
                let mut command = world.namespace.command("tcpdump");
                command.args(["-i", "lo", "-U", "-w"]).arg(world.files.0.join("packets.pcap"));
                command.arg(format!("tcp port {ORIGIN_PORT}"));
                Session::start(tracer, command, world, |_, err| err.contains("listening on"))
            }
            Tracer::Strace => {
                let mut command = Command::new("strace");
                command.args(["-f", "-e", "trace=network", "-o"]).arg(world.files.0.join("calls.txt"));
                for worker in world.workers() {
                    command.args(["-p", &worker.to_string()]);
                }
                Session::start(tracer, command, world, |_, err| err.contains("attached"))
            }
        }
    }

    /// The tool, watching this nginx.
    pub(super) fn tool(&self, world: &World, nginx: u32, more: &[&str]) -> Result<Session> {
        let mut command = Command::new(self.program);
        command.args(["--json", "--pid", &nginx.to_string()]).args(more);
        Session::start(Tracer::Tool, command, world, |out, _| out.contains("\"type\":\"start\""))
    }

    /// The tool with its sinks, each of them in use.
    fn collected(&self, world: &World) -> Result<Session> {
        let collectors = Collectors::start()?;
        let [metrics, otlp] = collectors.arguments();
        let more = ["--record", &recording(world), "--metrics", &metrics, "--otlp", &otlp];
        let session = self.tool(world, world.proxy.master.pid(), &more)?;
        Ok(Session { collectors: Some(collectors), ..session })
    }

    /// Empty programs on these tracepoints.
    #[expect(clippy::unused_self, reason = "beside the others")]
    pub(super) fn floor(&self, world: &World, hooks: &[String]) -> Result<Session> {
        let mut command = Command::new(std::env::current_exe().context("cannot find xtask itself")?);
        command.arg("floor").args(hooks);
        Session::start(Tracer::Floor, command, world, |out, _| out.contains(floor::READY))
    }
}

impl Session {
    fn nothing() -> Self {
        Self {
            tracer: Tracer::Nothing,
            running: None,
            out: PathBuf::new(),
            err: PathBuf::new(),
            cpu_before: 0,
            collectors: None,
        }
    }

    /// Once its first look is over; what it took until then does not count.
    fn settled(mut self) -> Result<Self> {
        let begun = Instant::now();
        while begun.elapsed() < FIRST_LOOK {
            interrupted()?;
            thread::sleep(Duration::from_millis(100));
        }
        self.cpu_before = self.running.as_ref().map_or(0, |running| usage::cpu_ns(running.pid()));
        Ok(self)
    }

    fn start(
        tracer: Tracer,
        mut command: Command,
        world: &World,
        ready: impl Fn(&str, &str) -> bool,
    ) -> Result<Self> {
        let (out, err) = (world.files.0.join("out"), world.files.0.join("err"));
        let file =
            |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
        command.process_group(0).stdin(Stdio::piped()).stdout(file(&out)?).stderr(file(&err)?);
        let mut running = Running::start(&mut command)?;
        let is_ready = || ready(&text(&out), &text(&err));
        if running.wait(READY, is_ready) || !is_ready() {
            bail!("{} did not start: {}", tracer.name(), text(&err).trim());
        }
        let cpu_before = usage::cpu_ns(running.pid());
        Ok(Self { tracer, running: Some(running), out, err, cpu_before, collectors: None })
    }

    /// Ends it in order.
    pub(super) fn stop(mut self) -> Result<Report> {
        let Some(mut running) = self.running.take() else { return Ok(Report::default()) };
        let mut report = Report {
            cpu_ns: usage::cpu_ns(running.pid()).saturating_sub(self.cpu_before),
            resident_kib: usage::resident_kib(running.pid()),
            startup_cpu_ns: self.cpu_before,
            ..Report::default()
        };
        drop(self.collectors.take());
        running.signal(Signal::SIGINT);
        if !running.wait(Duration::from_secs(20), || false) {
            bail!("{} does not end", self.tracer.name());
        }
        let (out, err) = (text(&self.out), text(&self.err));
        let object = |kind: &str| {
            let mut objects = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            objects.rfind(|object| object["type"] == kind).unwrap_or_default()
        };
        (report.start, report.summary) = (object("start"), object("summary"));
        report.lost = report.summary["lost"].as_u64().unwrap_or(0) + complaints(&err);
        Ok(report)
    }
}

/// Where the tool records to; what an earlier round left there is gone.
fn recording(world: &World) -> String {
    let file = world.files.0.join("recording.zst");
    let _absent = fs::remove_file(&file);
    file.to_string_lossy().into_owned()
}

fn text(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Losses that bpftrace (`Lost 12 events`) and tcpdump (`12 packets dropped by kernel`) admit.
fn complaints(err: &str) -> u64 {
    let of = |line: &str| {
        let lost = line.strip_prefix("Lost ").filter(|line| line.contains("events"));
        let dropped = Some(line).filter(|line| line.contains("packets dropped by kernel"));
        lost.or(dropped)?.split_whitespace().next()?.parse::<u64>().ok()
    };
    err.lines().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::complaints;

    #[test]
    fn losses_of_the_peers() {
        assert_eq!(complaints("Lost 12 events\n7 packets captured\n3 packets dropped by kernel\n"), 15);
        assert_eq!(complaints("Lost patience\n"), 0);
    }
}
