//! What nginx's own host does to a healthy exchange: workers that stand still, clients that do not read, files, address
//! translation, listeners that close.

use std::fs;

use anyhow::Result;
use nix::sys::signal::Signal;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::{Likely, Possible, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";

pub(crate) const ALL: &[Scenario] = &[
    ("worker-stalled/answer-lay-unread", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::slow_answer(ms(600), 10))?;
        let trace = world.trace(&[])?;
        stopped(&world)?;
        let seen = trace.finish()?;
        let failure = seen.failure("worker-stalled").confidence(Proven | Likely).upstream(V4);
        failure.phase("wait").status(504).joined("upstream timed out");
        seen.nothing_else();
        Ok(())
    }),
    // The trap beside: the worker stood still, and nothing came all the same.
    ("worker-stalled/nothing-came", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::silent())?;
        let trace = world.trace(&[])?;
        stopped(&world)?;
        let seen = trace.finish()?;
        let failure = seen.failure("slow-response").confidence(Proven | Likely | Possible).upstream(V4);
        failure.phase("wait").status(504).joined("upstream timed out");
        seen.nothing_else();
        Ok(())
    }),
    ("temp-file-failed/folder-is-gone", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(30_000_000))?;
        fs::remove_dir_all(world.folder().join("temp/proxy"))?;
        world.file("temp/proxy", "")?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(500));
        world.answer(client.receive()).status(200).truncated();
        let seen = trace.finish()?;
        let failure = seen.failure("temp-file-failed").confidence(Proven | Likely).upstream(V4);
        failure.joined("Not a directory");
        seen.nothing_else();
        Ok(())
    }),
    // The trap beside: no file is needed.
    ("temp-file-failed/no-file-needed", |lab| {
        let world = lab.world().upstream(V4).location("proxy_max_temp_file_size 0;").start()?;
        let _origin = world.origin(V4, Script::answer(30_000_000))?;
        fs::remove_dir_all(world.folder().join("temp/proxy"))?;
        world.file("temp/proxy", "")?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(500));
        world.answer(client.receive()).status(200);
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    // The trap beside: a range that is large enough.
    ("nat-failed/ports-left", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        translate(&world, "2000-2999")?;
        let trace = world.trace(&[])?;
        for _ in 0..5 {
            world.get("/").status(200);
        }
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
];

/// nginx's worker stands still from before the answer until after its timeout. Its first wait then ends with a signal, and
/// it deals with its timers before it learns of the answer.
fn stopped(world: &World<'_>) -> Result<()> {
    let worker = world.nginx().worker()?;
    let mut client = world.begin("GET", "/", &[])?;
    world.pause(ms(200));
    signal(worker, Signal::SIGSTOP)?;
    world.pause(ms(2_500));
    signal(worker, Signal::SIGCONT)?;
    world.answer(client.receive()).status(504).log("upstream timed out");
    Ok(())
}

fn translate(world: &World<'_>, ports: &str) -> Result<()> {
    let chain = format!(
        "chain ports {{\ntype nat hook postrouting priority 100\n\
         ip daddr 10.99.0.2 tcp dport 8081 snat to 10.99.0.1:{ports}\n}}"
    );
    world.ng().script(&format!("nft -f - <<'END'\ntable ip ports {{\n{chain}\n}}\nEND")).map(drop)
}
