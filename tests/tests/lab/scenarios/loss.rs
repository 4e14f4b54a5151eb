//! What does not fit is counted, said, and adds up; and nothing that may lack evidence is called proven.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::Value;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::seen::Seen;
use upstream_trace_tests::trace::Trace;
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::{Lab, Scenario, World};

use super::load::requests;

const V4: &str = "10.99.0.2:8081";
const LOCAL: &str = "127.0.0.1:8081";
const STORM: usize = 600;
const LARGE_STORM: usize = 5_000;

pub(crate) const ALL: &[Scenario] = &[
    ("loss/buffer-full", |lab| {
        // Nothing listens there: the kernel says so itself, which is proof where nothing is lost.
        let world = lab.world().upstream(LOCAL).start()?;
        let trace = world.trace(&["--buffer", "64K"])?;
        world.get("/").status(502);
        world.pause(ms(500));
        storm_while_stopped(&world, &trace)?;
        world.pause(Duration::from_secs(2));
        let seen = trace.finish()?;
        let Some(accounts) = accounts(&seen) else { return Ok(()) };
        let of = |field: &str| accounts[field].as_u64().unwrap_or_default();
        seen.accounted_for();
        lab.check(of("attempts") == STORM as u64 + 1, || format!("not {STORM} attempts: {accounts}"));
        lab.check(of("lost_buffer") > 0, || format!("nothing was lost, so nothing is shown: {accounts}"));
        lost_in(lab, &seen, "ring-buffer", of("lost_buffer"));
        // nginx's own lines tell of those that did not come through, and why they failed they do not say.
        let failures: Vec<_> = seen.of_type("failure").collect();
        let told = failures.len() as u64;
        lab.check(told == of("reported"), || format!("{told} failures: {accounts}"));
        let lines = seen.summary()["log_lines"].clone();
        let all = of("attempts");
        let sums = lines["seen"] == all && lines["joined"] == told && lines["lost"] == all - told;
        lab.check(sums, || format!("{told} failures of {all}, and lines: {lines}"));
        let proven = failures.iter().filter(|failure| failure["confidence"] == "proven").count();
        lab.check(proven <= 1, || {
            format!("{proven} are called proven, and the evidence of all but one may be lost")
        });
        Ok(())
    }),
    // More waits in the buffer than the default one holds, and the end comes with it.
    ("loss/large-buffer-read-to-its-end", |lab| {
        let world = lab.world().upstream(LOCAL).start()?;
        let trace = world.trace(&["--buffer", "8M"])?;
        if let Some(pid) = trace.pid() {
            signal(pid, Signal::SIGSTOP)?;
        }
        requests(&world, LARGE_STORM, false, |_| ("/", 502))?;
        if let Some(pid) = trace.pid() {
            signal(pid, Signal::SIGINT)?;
            signal(pid, Signal::SIGCONT)?;
        }
        let seen = trace.wait_for_end()?;
        let Some(accounts) = accounts(&seen) else { return Ok(()) };
        let of = |field: &str| accounts[field].as_u64().unwrap_or_default();
        seen.accounted_for();
        let told = seen.of_type("failure").count() as u64;
        lab.check(told == of("reported"), || format!("{told} failures were told: {accounts}"));
        lab.check(told + of("lost_buffer") == LARGE_STORM as u64, || {
            format!("{told} of {LARGE_STORM} failures were told: {accounts}")
        });
        lost_in(lab, &seen, "ring-buffer", of("lost_buffer"));
        Ok(())
    }),
    // The kernel tells of some of these resets only: they are all of a kind, and nothing is lost with the others.
    ("loss/a-storm-of-refusals-is-proven", |lab| {
        let world = lab.world().upstream(LOCAL).start()?;
        let trace = world.trace(&["--buffer", "8M"])?;
        requests(&world, LARGE_STORM, false, |_| ("/", 502))?;
        world.pause(ms(500));
        let seen = trace.finish()?;
        lost_in(lab, &seen, "packet-reports", 0);
        let failures: Vec<_> = seen.of_type("failure").collect();
        let proven =
            |failure: &&Value| failure["cause"] == "port-refused" && failure["confidence"] == "proven";
        let proven = failures.iter().filter(|failure| proven(failure)).count();
        lab.check(proven == LARGE_STORM, || format!("{proven} of {} are proven", failures.len()));
        Ok(())
    }),
    ("loss/buffer-full-without-log", |lab| {
        let world = lab.world().upstream(LOCAL).start()?;
        let trace = world.trace(&["--buffer", "64K", "--error-log", "none"])?;
        storm_while_stopped(&world, &trace)?;
        world.pause(ms(500));
        let seen = trace.finish()?;
        let Some(accounts) = accounts(&seen) else { return Ok(()) };
        let of = |field: &str| accounts[field].as_u64().unwrap_or_default();
        seen.accounted_for();
        lab.check(of("lost_buffer") > 0, || format!("nothing was lost, so nothing is shown: {accounts}"));
        let failures = seen.of_type("failure").count() as u64;
        lab.check(failures == of("reported"), || format!("{failures} failures: {accounts}"));
        lab.check(failures + of("lost_buffer") == STORM as u64, || {
            format!("{failures} failures: {accounts}")
        });
        Ok(())
    }),
    ("loss/table-full", |lab| {
        let world = lab.world().upstream(V4).read_timeout("2s").start()?;
        let _origin = world.origin(V4, Script::silent())?;
        let trace = world.trace(&["--max-connections", "64"])?;
        let waiting = (0..100).map(|_| world.begin("GET", "/", &[])).collect::<Result<Vec<_>>>()?;
        for mut client in waiting {
            world.answer(client.receive()).status(504);
        }
        world.pause(ms(1500));
        let seen = trace.finish()?;
        let Some(accounts) = accounts(&seen) else { return Ok(()) };
        let of = |field: &str| accounts[field].as_u64().unwrap_or_default();
        seen.accounted_for();
        lab.check(of("attempts") == 100, || format!("not 100 attempts: {accounts}"));
        lab.check(of("lost_table") == 36, || format!("64 fit, and 36 do not: {accounts}"));
        lab.check(of("live") == 0, || format!("all are over: {accounts}"));
        lost_in(lab, &seen, "connection-map", 36);
        let failures = seen.of_type("failure").count() as u64;
        let lines = seen.summary()["log_lines"].clone();
        let sums = failures == 64 && lines["joined"] == 64 && lines["lost"] == 36;
        lab.check(sums, || format!("{failures} failures, and lines: {lines}; accounts: {accounts}"));
        Ok(())
    }),
    ("loss/nothing-is-lost", |lab| {
        let world = lab.world().upstream(V4).keepalive(8).config(refused).start()?;
        let _origin = world.origin(V4, Script::answer(100))?;
        let trace = world.trace(&[])?;
        for _ in 0..20 {
            world.get("/").status(200);
            world.get("/refused").status(502);
        }
        // A client that leaves.
        drop(world.begin("GET", "/refused", &[])?);
        world.pause(ms(500));
        let seen = trace.finish()?;
        let Some(accounts) = accounts(&seen) else { return Ok(()) };
        let of = |field: &str| accounts[field].as_u64().unwrap_or_default();
        seen.accounted_for();
        lab.check(of("lost_buffer") + of("lost_table") == 0, || format!("something was lost: {accounts}"));
        lab.check(of("live") >= 1, || format!("nginx keeps a connection: {accounts}"));
        Ok(())
    }),
];

/// Requests that all fail, while the tool may not run.
fn storm_while_stopped(world: &World<'_>, trace: &Trace<'_>) -> Result<()> {
    if let Some(pid) = trace.pid() {
        signal(pid, Signal::SIGSTOP)?;
    }
    for _ in 0..STORM {
        world.get("/").status(502);
    }
    if let Some(pid) = trace.pid() {
        signal(pid, Signal::SIGCONT)?;
    }
    Ok(())
}

fn refused(config: &mut upstream_trace_tests::nginx::Config) {
    config.server.push("location /refused { proxy_pass http://10.99.0.2:8099; }".into());
}

/// Where the attempts are, unless the tool did not run.
fn accounts(seen: &Seen<'_>) -> Option<Value> {
    Some(seen.summary()["accounts"].clone()).filter(|accounts| !accounts.is_null())
}

/// What was lost there is said, and is in the summary.
fn lost_in(lab: &Lab, seen: &Seen<'_>, place: &str, count: u64) {
    let of_place = seen.of_type("lost").filter(|lost| lost["where"] == place);
    let said: u64 = of_place.filter_map(|lost| lost["count"].as_u64()).sum();
    lab.check(said == count, || format!("{said} were said to be lost in {place}, not {count}"));
    let summary = seen.summary();
    let (total, of_place) = (summary["lost"].as_u64(), summary["lost_by_place"][place].as_u64());
    // A place where nothing was lost is not listed.
    lab.check(of_place.unwrap_or(0) == count && total >= of_place, || {
        format!("the summary counts {total:?} lost, {of_place:?} of them in {place}, not {count}")
    });
}
