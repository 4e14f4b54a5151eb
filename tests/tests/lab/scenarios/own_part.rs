//! What nginx's own host does to a healthy exchange: workers that stand still, clients that do not read, files, address
//! translation, listeners that close.

use std::fs;
use std::time::Instant;

use anyhow::Result;
use nix::sys::signal::Signal;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::{Likely, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const LOOPBACK: &str = "127.0.0.1:8081";

/// Gives up a client that does not read, with a reset.
const IMPATIENT: &str = "
import socket, struct
server = socket.create_server(('127.0.0.1', 8081))
while True:
    peer, _ = server.accept()
    peer.recv(65536)
    peer.settimeout(2.5)
    try: peer.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 90000000\\r\\n\\r\\n' + b'x' * 90000000)
    except OSError: peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    peer.close()
";

/// Accepts nothing, closes its listener when it is told to, and stays.
const CLOSES: &str = "
import os, socket, time
server = socket.create_server(('127.0.0.1', 8081))
while not os.path.exists('close'): time.sleep(0.02)
server.close()
time.sleep(60)
";

pub(crate) const ALL: &[Scenario] = &[
    ("worker-stalled/answer-lay-unread", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::slow_answer(ms(600), 10))?;
        let trace = world.trace(&[])?;
        stopped(&world)?;
        let seen = trace.finish()?;
        let failure = seen.failure("worker-stalled").confidence(Proven).upstream(V4);
        let failure = failure.phase("wait").status(504).joined("upstream timed out");
        failure.told("summary", "unread in its socket for ");
        seen.nothing_else();
        Ok(())
    }),
    // It is told while the worker stands still.
    ("worker-stalled/told-while-pending", |lab| {
        let world = lab.world().upstream(V4).read_timeout("10s").start()?;
        let _origin = world.origin(V4, Script::slow_answer(ms(600), 10))?;
        let trace = world.trace(&[])?;
        let worker = world.nginx().worker()?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(200));
        let since = Instant::now();
        signal(worker, Signal::SIGSTOP)?;
        trace.pending("worker-stalled", since, ms(4_000)).confidence(Likely).upstream(V4);
        signal(worker, Signal::SIGCONT)?;
        world.answer(client.receive()).status(200);
        trace.finish()?.no_more_failures();
        Ok(())
    }),
    // The trap beside: the worker stood still, and nothing came all the same.
    ("worker-stalled/nothing-came", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::silent())?;
        let trace = world.trace(&[])?;
        stopped(&world)?;
        let seen = trace.finish()?;
        let failure = seen.failure("slow-response").confidence(Proven).upstream(V4);
        failure.phase("wait").status(504).joined("upstream timed out");
        seen.nothing_else();
        Ok(())
    }),
    ("slow-client/origin-gives-up", |lab| {
        let world = lab.world().upstream(LOOPBACK).location("proxy_buffering off;").start()?;
        world.file("impatient.py", IMPATIENT)?;
        let _app = world.software("python3", &["impatient.py"], LOOPBACK)?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(3_500));
        world.answer(client.receive()).status(200).truncated();
        let seen = trace.finish()?;
        seen.failure("slow-client").confidence(Proven).upstream(LOOPBACK).phase("receive");
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
    ("listener-closed/with-connections-in-its-queue", |lab| {
        let world = lab.world().upstream(LOOPBACK).read_timeout("20s").start()?;
        world.file("closes.py", CLOSES)?;
        let _app = world.software("python3", &["closes.py"], LOOPBACK)?;
        let trace = world.trace(&[])?;
        let mut clients = (0..2).map(|_| world.begin("GET", "/", &[])).collect::<Result<Vec<_>>>()?;
        world.pause(ms(400));
        world.file("close", "")?;
        for client in &mut clients {
            world.answer(client.receive()).status(502);
        }
        let seen = trace.finish()?;
        seen.failures(2, "listener-closed", |failure| {
            failure.confidence(Proven).upstream(LOOPBACK).status(502);
        });
        seen.nothing_else();
        Ok(())
    }),
    // A REJECT that answers from within the send is no end that came before it.
    ("stale-keepalive/rejected-from-within-the-send", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        let rule = "tcp dport 8081 tcp flags & psh == psh reject with tcp reset";
        let _firewall = Firewall::nft(&world, world.ng(), "output", rule)?;
        world.post("/", 10).status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("firewall-reject-local").confidence(Proven | Likely).upstream(V4);
        failure.reused(true).status(502);
        seen.nothing_else();
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
