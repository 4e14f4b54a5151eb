//! Origins on the same kernel: who they are, how they ended, and why they reset.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use upstream_trace_tests::cgroup::MemoryLimit;
use upstream_trace_tests::expect::Expected;
use upstream_trace_tests::nginx::Config;
use upstream_trace_tests::origin::{Script, Step};
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Lab, Likely, Proven, Scenario, World};

const LOOPBACK: &str = "127.0.0.1:8081";

/// An origin that accepts nothing, and forks children that fail as fast as it can.
struct Looping(Child);

impl Looping {
    fn start(world: &World<'_>) -> Result<Self> {
        let child = world.ng().run(|| {
            let listener = OwnedFd::from(TcpListener::bind(LOOPBACK)?);
            let mut shell = Command::new("sh");
            shell.args(["-c", "while :; do (exit 1); done"]).stdin(Stdio::from(listener));
            shell.spawn().context("start a shell")
        })?;
        Ok(Self(child))
    }
}

impl Drop for Looping {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _already_gone = self.0.wait();
    }
}

pub(crate) const ALL: &[Scenario] = &[
    ("origins/killed-for-want-of-memory", |lab| {
        let limit = MemoryLimit::new(32 << 20)?;
        let world = lab.world().upstream(LOOPBACK).start()?;
        let origin = world.origin_process(LOOPBACK)?;
        limit.take(origin.pid())?;
        let trace = world.trace(&[])?;
        // The processes behind an upstream are looked for once nginx has used it.
        let mut waiting = world.begin("GET", "/", &[])?;
        world.pause(ms(400));
        world.get("/eat").status(502);
        world.answer(waiting.receive()).status(502);
        let seen = trace.finish()?;
        seen.failures(2, "backend-crashed", |failure| {
            says(lab, &failure, "summary", "was killed by the OOM killer");
            says(lab, &failure, "summary", &format!("control group {}", limit.path()));
            says(lab, &failure, "fix", "Raise its memory limit");
            failure.confidence(Proven).evidence_says("\"out_of_memory\":true").evidence_says("\"signal\":9");
        });
        seen.nothing_else();
        Ok(())
    }),
    ("origins/forks-and-fails-in-a-loop", |lab| {
        let refused = |config: &mut Config| {
            config.server.push("location /refused { proxy_pass http://127.0.0.1:8099; }".into());
        };
        let world = lab.world().upstream(LOOPBACK).config(refused).start()?;
        let _origin = Looping::start(&world)?;
        let trace = world.trace(&[])?;
        let _waiting = world.begin("GET", "/", &[])?;
        // Each end is told by the kernel side; of what is too much only the number is.
        let is_lost = |line: &str| line.contains("\"where\":\"origin-table\"");
        let told = trace.wait_line(Duration::from_secs(30), is_lost);
        lab.check(told, || "ends beyond the bound are not told as lost".into());
        world.get("/refused").status(502);
        trace.wait_failures(1, Duration::from_secs(5));
        trace.finish()?.failure("port-refused").upstream("127.0.0.1:8099");
        Ok(())
    }),
    ("origins/killed-by-somebody", |lab| {
        let world = lab.world().upstream(LOOPBACK).start()?;
        let mut origin = world.origin_process(LOOPBACK)?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(400));
        origin.kill(Signal::SIGKILL)?;
        world.answer(client.receive()).status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("backend-crashed").confidence(Proven);
        says(lab, &failure, "summary", "was killed by signal 9 (SIGKILL, from a supervisor or an admin)");
        says(lab, &failure, "fix", "It was not the OOM killer");
        seen.nothing_else();
        Ok(())
    }),
    ("origins/who-listened-until-a-moment-ago", |lab| gone(lab, LOOPBACK, "port-refused")),
    ("origins/who-listened-on-a-socket", |lab| gone(lab, "unix:app.sock", "socket-refused")),
    ("origins/listens-on-another-address", |lab| {
        let world = lab.world().upstream("10.99.0.1:8081").start()?;
        let _origin = world.origin(LOOPBACK, Script::answer(10))?;
        let trace = world.trace(&[])?;
        // The tool looks for the process of a listener a little at a time.
        for _ in 0..4 {
            world.get("/").status(502);
            world.pause(ms(1100));
        }
        let seen = trace.finish()?;
        let said = seen.of_type("failure").last().map(|last| last["summary"].to_string());
        let who = format!("[{}] listens on {LOOPBACK} only", std::process::id());
        lab.check(said.as_ref().is_none_or(|said| said.contains(&who)), || format!("{said:?} without {who}"));
        seen.failures(4, "port-refused", |failure| {
            says(lab, &failure, "fix", "or nginx connect to 127.0.0.1:8081");
            failure.confidence(Proven).evidence("listens-elsewhere");
        });
        seen.nothing_else();
        Ok(())
    }),
    ("origins/reset-with-data-unread", |lab| {
        let script = Script::new(vec![Step::Sleep(ms(200)), Step::Close]);
        resets(lab, script, "it closed the connection with unread data")
    }),
    ("origins/reset-without-lingering", |lab| {
        resets(lab, Script::read_then_rst(), "it aborted the connection (SO_LINGER 0)")
    }),
    ("origins/closed-and-who-did", |lab| {
        let world = lab.world().upstream(LOOPBACK).start()?;
        let _origin = world.origin(LOOPBACK, Script::read_then_fin())?;
        let trace = world.trace(&[])?;
        for _ in 0..4 {
            world.get("/").status(502);
            world.pause(ms(1100));
        }
        let seen = trace.finish()?;
        let said = seen.of_type("failure").last().map(|last| last["summary"].to_string());
        let who = format!("[{}]", std::process::id());
        lab.check(said.as_ref().is_none_or(|said| said.contains(&who)), || format!("{said:?} without {who}"));
        seen.failures(4, "premature-close", |failure| drop(failure.confidence(Proven)));
        seen.nothing_else();
        Ok(())
    }),
];

fn says(lab: &Lab, failure: &Expected<'_>, field: &str, text: &str) {
    let Some(object) = failure.object() else { return };
    let got = object[field].as_str().unwrap_or_default();
    if !got.contains(text) && lab.may_differ(field) {
        return;
    }
    lab.check(got.contains(text), || format!("{field} of {} is {got:?}, without {text:?}", object["cause"]));
}

fn gone(lab: &Lab, upstream: &str, cause: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let mut origin = world.origin_process(upstream)?;
    let trace = world.trace(&[])?;
    let mut client = world.begin("GET", "/", &[])?;
    world.pause(ms(400));
    origin.kill(Signal::SIGKILL)?;
    world.answer(client.receive()).status(502);
    world.pause(ms(500));
    world.get("/").status(502);
    let seen = trace.finish()?;
    seen.failure("backend-crashed").confidence(Proven | Likely);
    let failure = seen.failure(cause).confidence(Proven).evidence("origin-exit");
    says(lab, &failure, "summary", &format!("[{}] (", origin.pid()));
    says(lab, &failure, "summary", "served it until");
    says(lab, &failure, "summary", "SIGKILL");
    seen.nothing_else();
    Ok(())
}

fn resets(lab: &Lab, script: Script, why: &str) -> Result<()> {
    let world = lab.world().upstream(LOOPBACK).start()?;
    let _origin = world.origin(LOOPBACK, script)?;
    let trace = world.trace(&[])?;
    world.get("/").status(502);
    let seen = trace.finish()?;
    seen.failure("reset-by-backend").confidence(Proven).told("summary", why);
    seen.nothing_else();
    Ok(())
}
