//! The origin has too much to do: its queue is full, it does not accept, it does not read.

use anyhow::Result;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario};

pub(crate) const ALL: &[Scenario] = &[
    ("accept-queue-full/unix", |lab| {
        let world = lab.world().upstream("unix:app.sock").start()?;
        let _origin = world.origin("unix:app.sock", Script::never_accept(0))?;
        let _waiting = world.fill("unix:app.sock")?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("failed (11: Resource temporarily unavailable)");
        let seen = trace.finish()?;
        let failure =
            seen.failure("accept-queue-full").confidence(Proven | Likely).upstream(&world.unix("app.sock"));
        failure.transport("unix").phase("connect").status(502).errno(11);
        seen.nothing_else();
        Ok(())
    }),
    ("accept-queue-full/loopback4", |lab| full_beside_nginx(lab, "127.0.0.1:8081")),
    ("accept-queue-full/loopback6", |lab| full_beside_nginx(lab, "[::1]:8081")),
    ("accept-queue-full/own-address", |lab| full_beside_nginx(lab, "10.99.0.1:8081")),
    ("accept-queue-full/remote-with-siblings", |lab| {
        let world = lab.world().upstream("10.99.0.2:8081").start()?;
        let origin = world.origin("10.99.0.2:8081", Script::answer(10).backlog(0))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        origin.pause(true);
        let waiting = world.fill("10.99.0.2:8081")?;
        world.get("/").status(504).log(CONNECTING);
        drop(waiting);
        origin.pause(false);
        world.get("/").status(200);
        let seen = trace.finish()?;
        let failure = seen.failure("accept-queue-full").confidence(Proven | Likely | Possible);
        failure.upstream("10.99.0.2:8081").phase("connect").status(504).evidence("retransmit");
        seen.nothing_else();
        Ok(())
    }),
    ("not-accepted/loopback4", |lab| not_accepted(lab, "127.0.0.1:8081")),
    ("not-accepted/loopback6", |lab| not_accepted(lab, "[::1]:8081")),
    ("not-accepted/unix", |lab| not_accepted(lab, "unix:app.sock")),
    ("not-reading/tcp4", |lab| not_reading(lab, "10.99.0.2:8081")),
    ("not-reading/tcp6", |lab| not_reading(lab, "[fd99::2]:8081")),
    ("not-reading/unix", |lab| not_reading(lab, "unix:app.sock")),
];

const CONNECTING: &str = "upstream timed out (110: Connection timed out) while connecting to upstream";
const READING: &str =
    "upstream timed out (110: Connection timed out) while reading response header from upstream";
const SENDING: &str = "upstream timed out (110: Connection timed out) while sending request to upstream";

fn full_beside_nginx(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::never_accept(0))?;
    let _waiting = world.fill(upstream)?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(CONNECTING);
    let seen = trace.finish()?;
    let failure = seen.failure("accept-queue-full").confidence(Proven | Likely).upstream(upstream);
    failure.transport("tcp").phase("connect").status(504).lasted(1900.0..=2900.0);
    seen.nothing_else();
    Ok(())
}

fn not_accepted(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::never_accept(128))?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(READING);
    let seen = trace.finish()?;
    let failure = seen.failure("not-accepted").confidence(Proven | Likely).status(504).phase("wait");
    if !upstream.starts_with("unix:") {
        failure.upstream(upstream);
    }
    seen.nothing_else();
    Ok(())
}

fn not_reading(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let origin = world.origin(upstream, Script::not_reading())?;
    let trace = world.trace(&[])?;
    world.post("/", 16 << 20).status(504).log(SENDING);
    origin.wait_accepted(1)?;
    let seen = trace.finish()?;
    seen.failure("not-reading").confidence(Proven | Likely).phase("send").status(504);
    seen.nothing_else();
    Ok(())
}
