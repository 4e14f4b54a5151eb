//! What others can do to the tool: readers that pause or leave, file systems that hang. None of it stops a trace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use upstream_trace_tests::pace::patient;
use upstream_trace_tests::tool::Tool;
use upstream_trace_tests::util::{ms, sh, signal, wait_until};
use upstream_trace_tests::{Lab, Scenario, World};

use super::load::requests;

const V4: &str = "10.99.0.2:8081";
const REFUSED: &str = "connect() failed (111: Connection refused)";
const LIMIT: Duration = Duration::from_secs(10);
/// Far more JSON than a pipe holds.
const STORM: usize = 300;

pub(crate) const ALL: &[Scenario] = &[
    ("hostile/reader-paused-until-the-time-is-over", |lab| {
        paused(lab, &["--duration", "7s"], |tool| tool.wait(LIMIT))
    }),
    ("hostile/reader-paused-until-sigterm", |lab| {
        paused(lab, &[], |tool| {
            signal(tool.0.id(), Signal::SIGTERM)?;
            tool.wait(LIMIT)
        })
    }),
    ("hostile/second-signal", |lab| {
        // The first one waits for a reader that may still read.
        paused_recording(lab, &[], Pause::Short, |tool| {
            signal(tool.0.id(), Signal::SIGTERM)?;
            std::thread::sleep(ms(50));
            signal(tool.0.id(), Signal::SIGTERM)?;
            tool.wait(LIMIT)?;
            // Not the end of its patience.
            let status = tool.0.wait()?;
            lab.check(status.code() == Some(128 + 15), || format!("it ended with {status}"));
            Ok(())
        })
        .map(drop)
    }),
    ("hostile/reader-left-without-a-word", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let Some(mut tool) = Quiet::start(&world, &[])? else { return Ok(()) };
        // Nothing is written that could fail.
        drop(tool.0.stdout.take());
        tool.wait(LIMIT)
    }),
    ("hostile/error-log-hangs", error_log_hangs),
];

/// A tool whose output nobody reads.
struct Quiet(Child);

impl Quiet {
    fn start(world: &World<'_>, args: &[&str]) -> Result<Option<Self>> {
        let Some(path) = world.lab().tool() else { return Ok(None) };
        let master = world.nginx().master().to_string();
        let mut command = Command::new(path);
        command.args(["--json", "--pid", &master]).args(args);
        let mut tool = Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
        // Its first line is read, and nothing after it.
        let mut byte = [0];
        let mut stdout = tool.0.stdout.take().context("stdout")?;
        loop {
            let read = std::io::Read::read(&mut stdout, &mut byte)?;
            ensure!(read > 0, "the tool did not start");
            if byte == *b"\n" {
                break;
            }
        }
        tool.0.stdout = Some(stdout);
        Ok(Some(tool))
    }

    fn wait(&mut self, limit: Duration) -> Result<()> {
        let (begun, limit) = (Instant::now(), patient(limit));
        while self.0.try_wait()?.is_none() {
            if begun.elapsed() > limit {
                bail!("the tool did not end within {limit:?}");
            }
            std::thread::sleep(ms(5));
        }
        Ok(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _already_gone = self.0.wait();
    }
}

/// Nobody reads while failures come; the tool ends all the same, and the recording has all of them.
fn paused(lab: &Lab, args: &[&str], end: impl FnOnce(&mut Quiet) -> Result<()>) -> Result<()> {
    let Some(recording) = paused_recording(lab, args, Pause::Long, end)? else { return Ok(()) };
    let tool = lab.tool().context("it ran")?;
    let report = ["report", "--json", &recording.display().to_string()].map(str::to_owned);
    let report = Tool::start(tool, &report)?.wait(LIMIT)?;
    let objects = report.lines.iter().filter_map(|(_, line)| serde_json::from_str::<Value>(line).ok());
    let failures = objects.filter(|object| object["type"] == "failure").count();
    let all = 2 * STORM;
    lab.check(failures == all, || format!("{failures} of {all} failures are in the recording"));
    lab.check(!report.stderr.contains("cut off"), || format!("it was cut off: {}", report.stderr));
    lab.check(report.status.success(), || format!("the recording is not whole: {}", report.said()));
    Ok(())
}

/// For how long nobody has read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// So short that the end waits for whoever may still read.
    Short,
    /// So long that it does not.
    Long,
}

fn paused_recording(
    lab: &Lab,
    args: &[&str],
    pause: Pause,
    end: impl FnOnce(&mut Quiet) -> Result<()>,
) -> Result<Option<PathBuf>> {
    let world = lab.world().upstream(V4).start()?;
    let recording = world.folder().join("paused.zst");
    let mut all = vec!["--record", recording.to_str().context("a path")?];
    all.extend(args);
    let Some(mut tool) = Quiet::start(&world, &all)? else { return Ok(None) };
    requests(&world, STORM, false, |_| ("/", 502))?;
    if pause == Pause::Long {
        // Until the first ones are written, or are in the way.
        world.pause(ms(1_500));
        requests(&world, STORM, false, |_| ("/", 502))?;
    }
    world.pause(ms(100));
    end(&mut tool)?;
    let kept = std::env::temp_dir().join(format!("paused-{}-{}.zst", std::process::id(), tool.0.id()));
    fs::copy(&recording, &kept)?;
    Ok(Some(kept))
}

/// A folder that is mounted through FUSE, by a program that can be stopped.
struct Fuse {
    server: Child,
    folder: PathBuf,
}

impl Fuse {
    fn mount(name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(&from)?;
        fs::create_dir_all(&to)?;
        let server = Command::new("bindfs").arg("-f").args([&from, &to]).spawn().context("bindfs")?;
        let fuse = Self { server, folder };
        let mounted = || fs::read_to_string("/proc/mounts").is_ok_and(|all| all.contains(&shown(&to)));
        wait_until("the file system to be mounted", LIMIT, mounted)?;
        Ok(fuse)
    }

    fn signal(&self, what: Signal) -> Result<()> {
        signal(self.server.id(), what)
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        let _already_gone = self.signal(Signal::SIGCONT);
        let _not_mounted = sh(&format!("umount -l {}", shown(&self.folder.join("to"))));
        let _already_gone = self.server.kill();
        let _already_gone = self.server.wait();
        let _in_use = fs::remove_dir_all(&self.folder);
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// One of two logs is on a file system that stops to answer: the other one is followed, and the tool can be ended.
fn error_log_hangs(lab: &Lab) -> Result<()> {
    let fuse = Fuse::mount("lab-fuse")?;
    let log = shown(&fuse.folder.join("to/hangs.log"));
    let world = lab
        .world()
        .upstream(V4)
        .config(|config| {
            config
                .server
                .push(format!("location /hangs {{ error_log {log} error; proxy_pass http://{V4}; }}"));
        })
        .start()?;
    let trace = world.trace(&[])?;
    world.get("/hangs").status(502);
    world.get("/before").status(502);
    world.pause(ms(300));
    fuse.signal(Signal::SIGSTOP)?;
    let hangs = |line: &str| line.contains("does not answer") && line.contains("hangs.log");
    let said = trace.wait_line(LIMIT, hangs);
    lab.check(said, || "the tool does not say that the log hangs".into());
    world.get("/meanwhile").status(502);
    world.pause(ms(1_500));
    // The kernel flushes a file on FUSE when its last holder ends, and lets nothing end that wait: what is left of the
    // process stays until the file system answers, though all of its results are written.
    let server = fuse.server.id();
    let answers = std::thread::spawn(move || {
        std::thread::sleep(ms(3_000));
        signal(server, Signal::SIGCONT)
    });
    let seen = trace.finish_at_once(Signal::SIGTERM)?;
    answers.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    for path in ["/hangs", "/before", "/meanwhile"] {
        seen.failure("port-refused").joined(REFUSED).logged("request", &format!("GET {path} HTTP/1.1"));
    }
    // What the log lost while it hung is counted.
    seen.no_more_failures();
    Ok(())
}
