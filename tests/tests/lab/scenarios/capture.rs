//! What was recorded says elsewhere what the trace said, whatever became of it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use serde_json::Value;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::{Origin, Script};
use upstream_trace_tests::tool::{Ended, Tool};
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Lab, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const LIMIT: Duration = Duration::from_secs(20);

/// Path of the request, upstream, the cause that is provoked there.
const FAULTS: [(&str, &str, &str); 5] = [
    ("/refused", "10.99.0.2:8081", "port-refused"),
    ("/dropped", "10.99.0.2:8082", "firewall-drop-local"),
    ("/silent", "10.99.0.2:8083", "slow-response"),
    ("/closes", "10.99.0.2:8084", "premature-close"),
    ("/missing", "unix:/nonexistent/app.sock", "socket-missing"),
];

/// A name that is a client's own business, in a message of nginx. Nobody resolves it.
const NAMED: &str = "location /name { set $name secret.lab.test; resolver 10.99.0.2:5399 ipv6=off; \
    resolver_timeout 300ms; proxy_pass http://$name; }";

pub(crate) const ALL: &[Scenario] = &[
    ("capture/five-faults-reported-elsewhere", five_faults_reported_elsewhere),
    ("capture/redacted", redacted),
    ("capture/killed", killed),
    ("capture/full-disk", full_disk),
    ("capture/status-line", status_line),
];

/// A world in which each path fails for a reason of its own.
fn faulty(lab: &Lab) -> Result<(World<'_>, Vec<Rc<Origin>>)> {
    let locations = FAULTS.map(|(path, upstream, _)| {
        let behind = if upstream.starts_with("unix:") { ":/" } else { "" };
        format!("location {path} {{ proxy_pass http://{upstream}{behind}; }}")
    });
    let world = lab.world().config(|config| config.server.extend(locations)).server(NAMED).start()?;
    let silent = world.origin(FAULTS[2].1, Script::silent())?;
    let closes = world.origin(FAULTS[3].1, Script::read_then_fin())?;
    Ok((world, vec![silent, closes]))
}

fn five_faults_reported_elsewhere(lab: &Lab) -> Result<()> {
    let (world, _origins) = faulty(lab)?;
    let _firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8082 counter drop")?;
    let recording = world.folder().join("recording.zst");
    let trace = world.trace_to(&recording, &[])?;
    for (path, _, _) in FAULTS {
        world.get(&format!("{path}?id=42"));
    }
    // The end is followed by a report of the recording, which must say the same.
    let seen = trace.finish()?;
    for (_, upstream, cause) in FAULTS {
        seen.failure(cause).upstream(upstream).logged("client", "127.0.0.1");
    }
    seen.nothing_else();
    let Some(tool) = lab.tool() else { return Ok(()) };
    let elsewhere = Elsewhere::new(&world, tool, &recording)?;
    let lines = elsewhere.report(&["--json"])?;
    let causes: Vec<_> =
        objects(&lines).filter_map(|value| Some(value["cause"].as_str()?.to_owned())).collect();
    lab.check(FAULTS.iter().all(|(_, _, cause)| causes.iter().any(|said| said == cause)), || {
        format!("a report without root says {causes:?}")
    });
    let start = objects(&lines).next().unwrap_or_default();
    lab.check(start["nginx"][0].as_str().is_some_and(|version| version.contains('/')), || {
        format!("no version of nginx in {start}")
    });
    let summary = text(&elsewhere.report(&["--markdown"])?);
    let page = elsewhere.folder.join("report.html");
    elsewhere.report(&["--html", &page.display().to_string()])?;
    let page = fs::read_to_string(page)?;
    for (path, upstream, cause) in FAULTS {
        lab.check(summary.contains(&format!("**{cause}** at `{upstream}`")), || {
            format!("{cause} is not in the summary:\n{summary}")
        });
        lab.check(page.contains(&format!("GET {path}?id=42 HTTP/1.1")), || {
            format!("the request for {path} is not in the page")
        });
    }
    Ok(())
}

/// Another user in a folder of their own, without root and without anything of the trace but the recording.
struct Elsewhere {
    folder: PathBuf,
    tool: PathBuf,
}

impl Elsewhere {
    fn new(world: &World<'_>, tool: &Path, recording: &Path) -> Result<Self> {
        let folder = world.folder().join("elsewhere");
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        fs::copy(tool, folder.join("tool"))?;
        fs::copy(recording, folder.join("copy.zst"))?;
        fs::set_permissions(folder.join("copy.zst"), fs::Permissions::from_mode(0o644))?;
        Ok(Self { tool: folder.join("tool"), folder })
    }

    fn report(&self, args: &[&str]) -> Result<Ended> {
        let tool = self.tool.display().to_string();
        let file = self.folder.join("copy.zst").display().to_string();
        let user = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "-i"];
        let all = [&user[..], &[&tool, "report", &file], args].concat();
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        let ended = Tool::start(Path::new("setpriv"), &all)?.wait(LIMIT)?;
        anyhow::ensure!(ended.status.success(), "report as nobody: {}", ended.said());
        Ok(ended)
    }
}

fn redacted(lab: &Lab) -> Result<()> {
    let (world, _origins) = faulty(lab)?;
    let _firewall =
        Firewall::nft(&world, world.ng(), "output", "tcp dport 8082 counter drop comment \"secret rule\"")?;
    let recording = world.folder().join("recording.zst");
    let master = world.nginx().master().to_string();
    let file = recording.display().to_string();
    let Some(tool) = world.start_tool_alone(&["--pid", &master, "--json", "--redact", "--record", &file])?
    else {
        return Ok(());
    };
    tool.wait_line(LIMIT, |line| line.contains(r#""type":"start""#)).context("the tool did not start")?;
    for (path, _, _) in FAULTS {
        world.get(&format!("{path}?secret=42"));
    }
    world.get("/name").log("secret.lab.test could not be resolved");
    unknown_words(&world)?;
    world.pause(ms(1_300));
    let live = tool.stop(Signal::SIGINT)?;
    let report = report(lab, &recording, &["--json"])?;
    let verdict = |value: &Value| {
        ["type", "cause", "confidence", "upstream", "phase", "status", "alternatives"]
            .map(|field| value[field].clone())
    };
    let (said, shared): (Vec<_>, Vec<_>) = (
        objects(&live).map(|value| verdict(&value)).collect(),
        objects(&report).map(|value| verdict(&value)).collect(),
    );
    lab.check(said == shared && said.len() > FAULTS.len(), || format!("live {said:?}\nredacted {shared:?}"));
    let raw = zstd::decode_all(fs::File::open(&recording)?).context("the recording")?;
    let raw = String::from_utf8_lossy(&raw);
    let (printed, text) = (text(&live), text(&report));
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname")?;
    for private in ["secret", "/silent", "\"127.0.0.1\"", &format!("\"{}\"", hostname.trim())] {
        let found = raw.lines().find(|found| found.contains(private)).unwrap_or_default();
        lab.check(found.is_empty(), || format!("{private} is in the redacted recording: {found}"));
        lab.check(!text.contains(private), || format!("{private} is in the report"));
        lab.check(!printed.contains(private), || format!("{private} is in the redacted output"));
    }
    lab.check(text.contains(r#""client":"client-1""#), || "no line of the log is in it".into());
    lab.check(text.contains("no-live-upstreams"), || "a line with unknown words is not in it".into());
    Ok(())
}

/// Lines that verdicts use, with words that nginx never says, and lines that no verdict uses.
fn unknown_words(world: &World<'_>) -> Result<()> {
    let worker = world.nginx().workers().first().copied().context("a worker")?;
    let mut log = fs::OpenOptions::new().append(true).open(world.folder().join("error.log"))?;
    for message in [
        "no live upstreams token=secret while connecting to upstream",
        "[lua] auth.lua:12: token=secret",
        "user \"secret\": password mismatch",
    ] {
        let tail = "client: 127.0.0.1, server: lab, request: \"GET /secret HTTP/1.1\", host: \"secret\"";
        let upstream = "upstream: \"http://secret/\"";
        writeln!(log, "2026/11/20 09:12:01 [error] {worker}#{worker}: *999 {message}, {tail}, {upstream}")?;
    }
    Ok(())
}

fn killed(lab: &Lab) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let recording = world.folder().join("recording.zst");
    let trace = world.trace_to(&recording, &[])?;
    for _ in 0..5 {
        world.get("/").status(502);
    }
    // What was seen is on its way to the disk within a second; the rest may be lost.
    world.pause(ms(2_500));
    let Some(tool) = trace.into_tool() else { return Ok(()) };
    let live = tool.stop(Signal::SIGKILL)?;
    let report = report(lab, &recording, &["--json"])?;
    let failures = |ended: &Ended| objects(ended).filter(|value| value["type"] == "failure").count();
    lab.check(failures(&report) == 5 && failures(&live) == 5, || {
        format!("{} failures live, {} after SIGKILL", failures(&live), failures(&report))
    });
    lab.check(report.stderr.contains("cut off"), || {
        format!("not said that it is cut off: {}", report.stderr)
    });
    let mode = fs::metadata(&recording)?.permissions().mode() & 0o777;
    lab.check(mode == 0o600, || format!("mode {mode:o}"));
    Ok(())
}

/// A disk of 16 kB, gone when it is dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path)?;
        let size = Some("size=16k");
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), size).context("mount a disk")?;
        Ok(Self(path))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _in_use = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn full_disk(lab: &Lab) -> Result<()> {
    const MOST: usize = 4_000;
    let world = lab.world().upstream(V4).start()?;
    let disk = Disk::new(world.folder().join("disk"))?;
    let recording = disk.0.join("recording.zst");
    let file = recording.display().to_string();
    let master = world.nginx().master().to_string();
    let Some(tool) = world.start_tool_alone(&["--pid", &master, "--json", "--record", &file])? else {
        return Ok(());
    };
    tool.wait_line(LIMIT, |line| line.contains(r#""type":"start""#)).context("the tool did not start")?;
    let full = |line: &str| line.contains("the recording") && line.contains("ends here");
    let mut asked = 0;
    while tool.wait_error(ms(0), full).is_none() && asked < MOST {
        for _ in 0..50 {
            world.get("/").status(502);
        }
        asked += 50;
    }
    for _ in 0..20 {
        world.get("/").status(502);
    }
    world.pause(ms(1_300));
    let live = tool.stop(Signal::SIGINT)?;
    lab.check(live.status.success(), || format!("the tool ended with {}", live.status));
    let warnings = live.stderr.lines().filter(|line| full(line)).count();
    lab.check(warnings == 1, || format!("{warnings} warnings about a full disk:\n{}", live.stderr));
    let failures = |ended: &Ended| objects(ended).filter(|value| value["type"] == "failure").count();
    lab.check(failures(&live) == asked + 20, || {
        format!("{} requests failed, {} failures were told", asked + 20, failures(&live))
    });
    let report = report(lab, &recording, &["--json"])?;
    lab.check((1..=asked).contains(&failures(&report)), || {
        format!("{} failures in the recording of {asked}", failures(&report))
    });
    lab.check(report.stderr.contains("cut off"), || {
        format!("not said that it is cut off: {}", report.stderr)
    });
    Ok(())
}

fn status_line(lab: &Lab) -> Result<()> {
    let Some(path) = lab.tool() else { return Ok(()) };
    let world = lab.world().upstream(V4).start()?;
    let recording = world.folder().join("recording.zst");
    let (master, file) = (world.nginx().master(), recording.display());
    let command = format!("{} --pid {master} --color never --duration 4s --record {file}", path.display());
    // A terminal of its own, whose contents are kept.
    let args = ["-qefc", &command, "/dev/null"].map(str::to_owned);
    let tool = Tool::start(Path::new("script"), &args)?;
    tool.wait_line(LIMIT, |line| line.contains("watching nginx")).context("the tool did not start")?;
    world.get("/").status(502);
    let ended = tool.wait(LIMIT)?;
    let all = text(&ended);
    lab.check(all.contains("recording 0:0") && all.contains("1 failed: port-refused 1 · 0 lost"), || {
        format!("no status line in {all:?}")
    });
    let screen: Vec<_> = all.split('\n').map(last_written).collect();
    lab.check(!screen.iter().any(|line| line.contains("recording 0:")), || {
        format!("the status line stays on the screen: {screen:#?}")
    });
    let told = screen.iter().filter(|line| line.contains("failure  port-refused")).count();
    lab.check(told == 1, || format!("the failure is not to be read: {screen:#?}"));
    Ok(())
}

/// What is to be seen of a line in the end.
fn last_written(line: &str) -> String {
    line.rsplit("\u{1b}[2K").next().unwrap_or_default().trim_end_matches('\r').to_owned()
}

fn report(lab: &Lab, recording: &Path, args: &[&str]) -> Result<Ended> {
    let tool = lab.tool().context("there is no tool")?;
    let file = recording.display().to_string();
    let all: Vec<String> = [&["report", &file], args].concat().into_iter().map(str::to_owned).collect();
    let ended = Tool::start(tool, &all)?.wait(LIMIT)?;
    lab.note("the report", &ended.said());
    lab.check(ended.status.success(), || format!("the report ended with {}", ended.status));
    Ok(ended)
}

fn objects(ended: &Ended) -> impl Iterator<Item = Value> + '_ {
    ended.lines.iter().filter_map(|(_, line)| serde_json::from_str(line).ok())
}

fn text(ended: &Ended) -> String {
    ended.lines.iter().map(|(_, line)| line.clone() + "\n").collect()
}
