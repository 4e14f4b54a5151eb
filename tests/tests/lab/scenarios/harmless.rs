//! Whatever happens to the tool, nothing of it stays on the host.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use upstream_trace_tests::kernel::{Held, settings};
use upstream_trace_tests::tool::Tool;
use upstream_trace_tests::util::{ms, signal, wait_until};
use upstream_trace_tests::{Lab, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) const ALL: &[Scenario] = &[
    ("harmless/killed-while-it-starts", |lab| {
        let world = lab.world().upstream(V4).start()?;
        for wait in [5, 20, 40, 80] {
            let Some(tool) = start(&world)? else { return Ok(()) };
            thread::sleep(ms(wait));
            kill(lab, tool)?;
        }
        // And after so many programs were loaded and attached.
        for programs in [1, 3, 5, 7, 9, 11] {
            let Some(tool) = start(&world)? else { return Ok(()) };
            let so_many = || Held::by(tool.pid()).programs.len() >= programs;
            wait_until("programs of the tool", LIMIT, so_many)?;
            let held = kill(lab, tool)?;
            lab.check(held >= programs, || format!("it held {held} programs, not {programs}"));
        }
        Ok(())
    }),
    ("harmless/killed-at-work", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let before = settings()?;
        for requests in 1..4 {
            let Some(tool) = start(&world)? else { return Ok(()) };
            ensure!(tool.wait_line(LIMIT, |line| line.contains(r#""type":"start""#)).is_some(), "no start");
            for _ in 0..requests {
                world.get("/").status(502);
            }
            let programs = kill(lab, tool)?;
            lab.check(programs > 10, || format!("it held {programs} programs"));
        }
        lab.check(settings()? == before, || format!("changed: {before}\n{}", settings().unwrap_or_default()));
        // And nginx, as well as the next one that traces it, are as before.
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream(V4);
        seen.nothing_else();
        Ok(())
    }),
    ("harmless/ended", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let before = settings()?;
        let Some(tool) = start(&world)? else { return Ok(()) };
        ensure!(tool.wait_line(LIMIT, |line| line.contains(r#""type":"start""#)).is_some(), "no start");
        let held = Held::by(tool.pid());
        lab.check(held.left()? == held, || "what it holds is not found among all that there is".into());
        tool.stop(Signal::SIGTERM)?;
        gone(lab, &held)?;
        lab.check(settings()? == before, || format!("changed: {before}\n{}", settings().unwrap_or_default()));
        Ok(())
    }),
];

/// With statistics, which are a setting of the whole kernel while it runs.
fn start(world: &World<'_>) -> Result<Option<Tool>> {
    let master = world.nginx().master().to_string();
    let args = ["--json", "-v", "--depth=deep", "--pid", &master].map(str::to_owned);
    world.lab().tool().map(|path| Tool::start(path, &args)).transpose()
}

/// Kills it, and checks that what it held at that moment is gone. How many programs it held.
fn kill(lab: &Lab, tool: Tool) -> Result<usize> {
    let pid = tool.pid();
    // Nothing is added between the look and the kill.
    signal(pid, Signal::SIGSTOP)?;
    let stopped =
        || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "));
    wait_until("the tool to stop", LIMIT, stopped)?;
    let held = Held::by(pid);
    tool.stop(Signal::SIGKILL)?;
    gone(lab, &held)?;
    Ok(held.programs.len())
}

/// The kernel frees programs and maps a little later.
fn gone(lab: &Lab, held: &Held) -> Result<()> {
    let begun = Instant::now();
    let mut left = held.left()?;
    while left != Held::default() && begun.elapsed() < LIMIT {
        thread::sleep(ms(20));
        left = held.left()?;
    }
    lab.check(left == Held::default(), || format!("still there after {LIMIT:?}: {left:?}"));
    Ok(())
}
