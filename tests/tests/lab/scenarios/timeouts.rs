//! A timeout on one side is shorter than the work on the other.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use upstream_trace_tests::origin::{Ending, Script, Step};
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

const READING: &str =
    "upstream timed out (110: Connection timed out) while reading response header from upstream";
const BODY: &str = "upstream timed out (110: Connection timed out) while reading upstream";
const V4: &str = "10.99.0.2:8081";

pub(crate) const ALL: &[Scenario] = &[
    ("slow-response/tcp4", |lab| slow(lab, V4)),
    ("slow-response/tcp6", |lab| slow(lab, "[fd99::2]:8081")),
    ("slow-response/loopback", |lab| slow(lab, "127.0.0.1:8081")),
    ("slow-response/unix", |lab| slow(lab, "unix:app.sock")),
    ("slow-response/pooled-connection", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let first = [Script::answer(10).steps, Script::silent().steps].concat();
        let steps = first.into_iter().filter(|step| !matches!(step, Step::Again)).collect();
        let _origin = world.origin(V4, Script::new(steps))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        world.get("/").status(504).log(READING);
        let seen = trace.finish()?;
        let failure = seen.failure("slow-response").confidence(Proven | Likely | Possible).upstream(V4);
        failure.reused(true).phase("wait").status(504);
        seen.nothing_else();
        Ok(())
    }),
    ("slow-body/unbuffered", |lab| stall(lab, V4, "proxy_buffering off;")),
    ("slow-body/buffered", |lab| stall(lab, V4, "proxy_buffering on;")),
    ("slow-body/unix", |lab| stall(lab, "unix:app.sock", "proxy_buffering off;")),
    ("slow-body/header-incomplete", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::says(b"HTTP/1.1 200 OK\r\nContent-"))?;
        let trace = world.trace(&[])?;
        world.get("/").status(504).log(READING);
        let seen = trace.finish()?;
        // Half a header is the begin of an answer where it was watched; by nginx's words alone there was no header.
        let failure = seen.failure_of(&["slow-body", "slow-response"]).upstream(V4).status(504);
        failure.confidence(Proven | Likely | Possible);
        seen.nothing_else();
        Ok(())
    }),
    ("stale-keepalive/fin4", |lab| stale(lab, V4, Ending::Fin)),
    ("stale-keepalive/fin6", |lab| stale(lab, "[fd99::2]:8081", Ending::Fin)),
    ("stale-keepalive/fin-loopback", |lab| stale(lab, "127.0.0.1:8081", Ending::Fin)),
    // nginx finds the error before it sends anything, and may therefore try again even with POST.
    ("stale-keepalive/rst4", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let trace = world.trace(&[])?;
        reuse_closed(&world, V4, Ending::Rst, "POST", 200)?;
        world.nginx_says("connect() failed (104: Connection reset by peer) while connecting to upstream");
        let seen = trace.finish()?;
        let failure = seen.failure("stale-keepalive").confidence(Proven | Likely).upstream(V4);
        failure.reused(true).recovered(true).evidence("reset");
        seen.nothing_else();
        Ok(())
    }),
    ("stale-keepalive/unix", |lab| stale(lab, "unix:app.sock", Ending::Fin)),
    ("stale-keepalive/retried", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let trace = world.trace(&[])?;
        reuse_closed(&world, V4, Ending::Fin, "GET", 200)?;
        world
            .nginx_says("upstream prematurely closed connection while reading response header from upstream");
        let seen = trace.finish()?;
        seen.failure("stale-keepalive").upstream(V4).reused(true).recovered(true);
        seen.nothing_else();
        seen.counted("recovered", 1);
        Ok(())
    }),
    ("idle-tunnel/websocket", |lab| {
        let upgrade = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
        // nginx says this at level info only.
        let world =
            lab.world().upstream(V4).location(upgrade).location("error_log error.log info;").start()?;
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        let _origin = world.origin(V4, Script::says(switch))?;
        let trace = world.trace(&[])?;
        let mut client = world.connect()?;
        client.send_bytes(
            b"GET / HTTP/1.1\r\nHost: lab\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )?;
        let reply = client.receive();
        lab.check(reply.status == 101, || format!("no tunnel: {reply:?}"));
        world.nginx_says("upstream timed out (110: Connection timed out) while proxying upgraded connection");
        let seen = trace.finish()?;
        seen.failure("idle-tunnel").upstream(V4).confidence(Proven | Likely | Possible);
        seen.nothing_else();
        Ok(())
    }),
];

fn slow(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::silent())?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(READING);
    let seen = trace.finish()?;
    let failure = seen.failure("slow-response").confidence(Proven | Likely | Possible);
    failure.phase("wait").status(504).lasted(1900.0..=2900.0);
    seen.nothing_else();
    Ok(())
}

fn stall(lab: &Lab, upstream: &str, buffering: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).location(buffering).start()?;
    let _origin = world.origin(upstream, Script::partial_then_stall(100, 1000))?;
    let trace = world.trace(&[])?;
    world.get("/").status(200).truncated().log(BODY);
    let seen = trace.finish()?;
    let failure = seen.failure("slow-body").confidence(Proven | Likely | Possible);
    failure.phase("receive").lasted(1900.0..=2900.0);
    seen.nothing_else();
    Ok(())
}

fn stale(lab: &Lab, upstream: &str, ending: Ending) -> Result<()> {
    let world = lab.world().upstream(upstream).keepalive(4).start()?;
    let trace = world.trace(&[])?;
    reuse_closed(&world, upstream, ending, "POST", 502)?;
    let seen = trace.finish()?;
    let failure = seen.failure("stale-keepalive").confidence(Proven | Likely);
    failure.reused(true).recovered(false).status(502);
    seen.nothing_else();
    Ok(())
}

/// Makes nginx send a request on a pooled connection that the origin has closed.
///
/// A stopped worker finds, when it goes on, both the request and the end of the connection. It deals with them in the
/// order of their arrival: the request must come first, and on a connection that nginx has accepted before.
fn reuse_closed(world: &World<'_>, upstream: &str, ending: Ending, method: &str, status: u16) -> Result<()> {
    let origin = world.origin(upstream, Script::answer(10))?;
    let mut client = world.connect()?;
    client.send("GET", "/", &[], true)?;
    world.answer(client.receive()).status(200);
    let worker = world.nginx().worker()?;
    world.pause(ms(50));
    signal(worker, Signal::SIGSTOP)?;
    let closed = client.send(method, "/", &[], true).and_then(|()| {
        world.pause(Duration::from_millis(50));
        origin.close_connections(ending)
    });
    world.pause(ms(50));
    signal(worker, Signal::SIGCONT)?;
    closed?;
    world.answer(client.receive()).status(status);
    Ok(())
}
