//! The origin has too much to do: its queue is full, it does not accept, it does not read.

use std::fs;

use anyhow::Result;
use nix::sys::signal::Signal;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::wire::{Lose, Wire};
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
    // Cookies, a queue with room, and a request that is lost: no overflow.
    ("path-lost/cookies", |lab| {
        let world = lab.world().upstream(FAR).start()?;
        let wire = Wire::lay(world.ng(), world.up())?;
        world.up().sysctl("ipv4/tcp_syncookies", "2")?;
        let _origin = world.origin(FAR, Script::answer(10))?;
        let trace = world.trace(&[])?;
        wire.lose(Lose::Requests)?;
        world.get("/").status(504).log(READING);
        let seen = trace.finish()?;
        seen.failure("path-lost").confidence(Proven | Likely | Possible).upstream(FAR).phase("wait");
        seen.nothing_else();
        Ok(())
    }),
    // Two processes share the port, and one of them stands still.
    ("not-accepted/one-of-two-that-share-a-port-is-stopped", |lab| {
        let world = lab.world().upstream(NEAR).start()?;
        world.file("twins.py", TWINS)?;
        let _app = world.software("python3", &["twins.py"], NEAR)?;
        world.pause(ms(300));
        let stopped = fs::read_to_string(world.folder().join("twin"))?.trim().parse()?;
        let trace = world.trace(&[])?;
        signal(stopped, Signal::SIGSTOP)?;
        let mut clients = (0..16).map(|_| world.begin("GET", "/", &[])).collect::<Result<Vec<_>>>()?;
        let replies: Vec<_> = clients.iter_mut().map(|client| client.receive().status).collect();
        signal(stopped, Signal::SIGCONT)?;
        let failed = replies.iter().filter(|status| **status == 504).count();
        lab.check((1..16).contains(&failed), || format!("all went one way: {replies:?}"));
        let seen = trace.finish()?;
        seen.failures(failed, "not-accepted", |failure| {
            failure.confidence(Proven).upstream(NEAR).phase("wait").status(504);
        });
        seen.nothing_else();
        Ok(())
    }),
    // One that does one after the other has one in its hands, and three wait.
    ("not-accepted/three-wait-behind-one", |lab| {
        let world = lab.world().upstream(NEAR).start()?;
        world.file("one.py", ONE_AFTER_THE_OTHER)?;
        let _app = world.software("python3", &["one.py"], NEAR)?;
        let trace = world.trace(&[])?;
        let mut clients = (0..4).map(|_| world.begin("GET", "/", &[])).collect::<Result<Vec<_>>>()?;
        for client in &mut clients {
            world.answer(client.receive()).status(504).log(READING);
        }
        let seen = trace.finish()?;
        seen.failure("slow-response").confidence(Proven | Likely).upstream(NEAR).phase("wait").status(504);
        seen.failures(3, "not-accepted", |failure| {
            failure.confidence(Proven).upstream(NEAR).phase("wait").status(504);
        });
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

/// Beside nginx.
const NEAR: &str = "127.0.0.1:8081";
/// Behind a wire.
const FAR: &str = "10.95.0.2:8081";
/// Two processes that listen on one port; the second one's number is in a file.
const TWINS: &str = "
import os, socket
child = os.fork()
if child: open('twin', 'w').write(str(child))
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.bind(('127.0.0.1', 8081))
server.listen(64)
while True:
    peer, _ = server.accept()
    if peer.recv(65536): peer.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
    peer.close()
";
const ONE_AFTER_THE_OTHER: &str = "
import socket, time
server = socket.create_server(('127.0.0.1', 8081), backlog=64)
while True:
    peer, _ = server.accept()
    if peer.recv(65536): time.sleep(10)
    peer.close()
";
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
