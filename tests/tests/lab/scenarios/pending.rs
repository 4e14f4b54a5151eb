//! What is wrong is said before nginx gives up.

use std::time::Instant;

use anyhow::Result;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::pace::slow;
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Lab, Scenario};

const V4: &str = "10.99.0.2:8081";

pub(crate) const ALL: &[Scenario] = &[
    ("pending/dropped-syn", |lab| {
        let world = lab.world().upstream(V4).connect_timeout("10s").start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8081 counter drop")?;
        let trace = world.trace(&[])?;
        let asked = Instant::now();
        let client = world.begin("GET", "/", &[])?;
        trace
            .pending("firewall-drop-local", asked, ms(1500))
            .upstream(V4)
            .phase("connect")
            .evidence("dropped");
        firewall.was_hit();
        drop(client);
        world.wait_access("499");
        trace.finish()?.nothing_else();
        Ok(())
    }),
    ("pending/silent-origin", |lab| silent(lab, V4)),
    ("pending/silent-origin-unix", |lab| silent(lab, "unix:app.sock")),
    ("pending/answered-after-all", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::slow_answer(ms(1200), 10))?;
        let trace = world.trace(&["--slow", "500ms"])?;
        let asked = Instant::now();
        let mut client = world.begin("GET", "/", &[])?;
        trace.pending("slow-response", asked, ms(1500));
        world.answer(client.receive()).status(200).body(10);
        world.nginx_is_silent();
        trace.finish()?.nothing_else();
        Ok(())
    }),
    ("pending/stuck-before-the-start", |lab| before_the_start(lab, V4)),
    ("pending/stuck-before-the-start6", |lab| before_the_start(lab, "[fd99::2]:8081")),
    ("pending/connecting-before-the-start", |lab| {
        let world = lab.world().upstream(V4).connect_timeout(&long()).start()?;
        let firewall = Firewall::nft(&world, world.up(), "input", "tcp dport 8081 counter drop")?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(1500));
        let trace = world.trace(&[])?;
        trace.pending("firewall-drop-remote", Instant::now(), ms(1000)).upstream(V4).phase("connect");
        world.answer(client.receive()).status(504).log("while connecting to upstream");
        firewall.was_hit();
        let seen = trace.finish()?;
        seen.failure("firewall-drop-local").upstream(V4).phase("connect").status(504).reused(false);
        lab.check(seen.of_type("resolved").next().is_none(), || "resolved, and it was not".into());
        seen.nothing_else();
        Ok(())
    }),
    ("pending/pooled-before-the-start", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let origin = world.origin(V4, Script::answer(10))?;
        world.get("/").status(200);
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        lab.check(origin.accepted() == 1, || "the connection was not reused".into());
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
];

fn silent(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::silent())?;
    let trace = world.trace(&["--slow", "500ms"])?;
    let asked = Instant::now();
    let mut client = world.begin("GET", "/", &[])?;
    trace.pending("slow-response", asked, ms(1500)).phase("wait");
    world.answer(client.receive()).status(504);
    let seen = trace.finish()?;
    seen.failure("slow-response").phase("wait").status(504);
    seen.nothing_else();
    Ok(())
}

/// Longer than the tool takes to start, also on an emulated machine.
fn long() -> String {
    format!("{}s", 5 * slow())
}

fn before_the_start(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).read_timeout(&long()).start()?;
    let origin = world.origin(upstream, Script::silent())?;
    let mut client = world.begin("GET", "/", &[])?;
    origin.wait_accepted(1)?;
    world.pause(ms(1500));
    let trace = world.trace(&[])?;
    trace.pending("slow-response", Instant::now(), ms(1000)).upstream(upstream).phase("wait");
    world.answer(client.receive()).status(504);
    let seen = trace.finish()?;
    seen.failure("slow-response").upstream(upstream).phase("wait").status(504).lasted(4500.0..=6500.0);
    seen.nothing_else();
    Ok(())
}
