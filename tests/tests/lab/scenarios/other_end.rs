//! The other end of a connection is on this kernel, in another network namespace than nginx's: who ended it.

use anyhow::Result;
use nix::sys::signal::Signal;
use upstream_trace_tests::expect::Expected;
use upstream_trace_tests::netns::Namespace;
use upstream_trace_tests::origin::{Origin, Script, fill};
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const V6: &str = "[fd99::2]:8081";
const LOOPBACK: &str = "127.0.0.1:8081";
const VIRTUAL: &str = "10.96.0.9:8081";
const CONNECTING: &str = "upstream timed out (110: Connection timed out) while connecting to upstream";
const READING: &str =
    "upstream timed out (110: Connection timed out) while reading response header from upstream";
const CLOSED: &str = "upstream prematurely closed connection while reading response header";

/// Another host that never answers: an interface of nginx's namespace whose packets this program takes.
const FAR: &str = "
import fcntl, os, socket, struct
tap = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH22x', b'far0', 0x1002))
for what in ('addr add 10.96.0.1/24 dev far0', 'link set far0 up',
             'neigh replace 10.96.0.2 lladdr 02:00:00:00:96:02 dev far0 nud permanent'):
    assert os.system('ip ' + what) == 0
ready = socket.create_server(('127.0.0.1', 8077))
while True: os.read(tap, 65536)
";

/// Answers, and keeps the connection.
const KEEPS: &str = "
import socket, threading
server = socket.create_server(('127.0.0.1', 8081))
def serve(peer):
    while peer.recv(65536): peer.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
while True:
    peer, _ = server.accept()
    threading.Thread(target=serve, args=(peer,), daemon=True).start()
";

pub(crate) const ALL: &[Scenario] = &[
    ("other-end/killed-in-another-namespace4", |lab| killed(lab, V4, Signal::SIGKILL)),
    ("other-end/killed-in-another-namespace6", |lab| killed(lab, V6, Signal::SIGTERM)),
    // The traps beside: it closes by itself, or ends in order.
    ("other-end/closes-by-itself-in-another-namespace", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::read_then_fin())?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log(CLOSED);
        let seen = trace.finish()?;
        let failure = seen.failure("premature-close").confidence(Proven).upstream(V4).status(502);
        failure.evidence("origin-closed").told("summary", &format!("[{}]", std::process::id()));
        seen.nothing_else();
        Ok(())
    }),
    ("other-end/resets-by-itself-in-another-namespace", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::read_then_rst())?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("reset-by-backend").confidence(Proven).upstream(V4).status(502);
        failure.evidence("origin-closed").told("summary", &format!("[{}]", std::process::id()));
        seen.nothing_else();
        Ok(())
    }),
    ("other-end/exits-in-order-in-another-namespace", |lab| ends_itself(lab, "/exit-0", "premature-close")),
    ("other-end/exits-with-a-status-in-another-namespace", |lab| {
        ends_itself(lab, "/exit-3", "backend-crashed")
    }),
    // Nobody knew that this process would serve the upstream.
    ("other-end/began-a-moment-ago", |lab| began_a_moment_ago(lab, LOOPBACK)),
    ("other-end/began-a-moment-ago-in-another-namespace", |lab| began_a_moment_ago(lab, V4)),
    ("other-end/one-of-several-in-another-namespace", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origins = world.origin_processes(V4)?;
        let trace = world.trace(&[])?;
        drop(world.begin("GET", "/", &[])?);
        world.pause(ms(400));
        world.get("/exit-3").status(502).log(CLOSED);
        let seen = trace.finish()?;
        let failure = seen.failure("backend-crashed").confidence(Proven).phase("wait").status(502);
        failure.evidence("origin-closed");
        seen.nothing_else();
        Ok(())
    }),
    // One of two is killed; the other closes by itself in the same moment.
    ("other-end/another-was-killed", |lab| {
        let world = lab.world().upstream(LOOPBACK).upstream("127.0.0.1:8082").start()?;
        let mut dies = world.origin_process(LOOPBACK)?;
        let _closes = world.origin("127.0.0.1:8082", Script::read_then_fin())?;
        let trace = world.trace(&[])?;
        let mut waits = world.begin("GET", "/", &[])?;
        world.pause(ms(400));
        dies.kill(Signal::SIGKILL)?;
        world.answer(waits.receive()).status(502);
        let seen = trace.finish()?;
        seen.failure("backend-crashed").confidence(Proven).upstream(LOOPBACK);
        seen.failure("premature-close").confidence(Proven).upstream("127.0.0.1:8082");
        seen.nothing_else();
        Ok(())
    }),
    ("other-end/killed-behind-a-translation", |lab| {
        let world = lab.world().upstream(VIRTUAL).router().start()?;
        let chain = "chain away {\ntype nat hook prerouting priority -100\n\
                     ip daddr 10.96.0.9 tcp dport 8081 dnat to 10.97.0.2:8081\n}";
        world.router()?.script(&format!("nft -f - <<'END'\ntable ip away {{\n{chain}\n}}\nEND"))?;
        let mut origin = world.origin_process("10.97.0.2:8081")?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(400));
        origin.kill(Signal::SIGKILL)?;
        world.answer(client.receive()).status(502).log(CLOSED);
        let seen = trace.finish()?;
        seen.failure("backend-crashed").confidence(Proven).upstream(VIRTUAL).evidence("origin-closed");
        seen.nothing_else();
        Ok(())
    }),
    // A pooled connection that carries nothing ends with its process: no failure.
    ("other-end/killed-while-idle", |lab| {
        let world = lab.world().upstream(LOOPBACK).keepalive(4).start()?;
        world.file("keeps.py", KEEPS)?;
        let app = world.software("python3", &["keeps.py"], LOOPBACK)?;
        let trace = world.trace(&[])?;
        for _ in 0..3 {
            world.get("/").status(200);
        }
        drop(app);
        world.pause(ms(300));
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("other-end/queue-is-full-in-another-namespace4", |lab| full(lab, V4)),
    ("other-end/queue-is-full-in-another-namespace6", |lab| full(lab, V6)),
    ("other-end/never-accepted-in-another-namespace", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::never_accept(128))?;
        let trace = world.trace(&[])?;
        world.get("/").status(504).log(READING);
        let seen = trace.finish()?;
        let failure = seen.failure("not-accepted").confidence(Proven).upstream(V4).phase("wait").status(504);
        failure.evidence("listener");
        seen.nothing_else();
        Ok(())
    }),
    // One has the request, the others wait for it: each by itself.
    ("other-end/one-is-served-and-two-wait", |lab| one_is_served(lab, LOOPBACK)),
    ("other-end/one-is-served-and-two-wait-in-another-namespace", |lab| one_is_served(lab, V4)),
    ("other-end/stopped-in-another-namespace", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let origin = world.origin_process(V4)?;
        let trace = world.trace(&[])?;
        signal(origin.pid(), Signal::SIGSTOP)?;
        world.get("/").status(504).log(READING);
        signal(origin.pid(), Signal::SIGCONT)?;
        let seen = trace.finish()?;
        let failure = seen.failure("not-accepted").confidence(Proven).upstream(V4).phase("wait").status(504);
        // Who listens is looked for for a short time only, and may be found later.
        failure.told("summary", "had not accepted the connection to");
        seen.nothing_else();
        Ok(())
    }),
    // The trap beside: another namespace, which nginx's packets do not get to, has the same address and an idle listener.
    ("other-end/the-same-address-in-a-namespace-apart", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::never_accept(128))?;
        let apart = Namespace::create(9_999, "ap")?;
        apart.script("ip link set lo up\nip addr add 10.99.0.2/32 dev lo")?;
        let _idle = world.origin_process_in(&apart, V4)?;
        let trace = world.trace(&[])?;
        world.get("/").status(504).log(READING);
        let seen = trace.finish()?;
        let failure = seen.failure("not-accepted").confidence(Proven).upstream(V4);
        failure.phase("wait").status(504);
        seen.nothing_else();
        Ok(())
    }),
    // The same, and the link-layer address of nginx's next hop is on that namespace's interface only.
    ("other-end/the-same-link-address-in-a-namespace-apart", |lab| {
        let location = "location /far { proxy_connect_timeout 2s; proxy_pass http://10.96.0.2:8081; }";
        let world = lab.world().upstream(V4).server(location).start()?;
        let apart = Namespace::create(9_998, "al")?;
        let _far = world.software("python3", &["-c", FAR], "127.0.0.1:8077")?;
        apart.script(
            "ip link set lo up
             ip link add own0 type veth peer name own1
             ip link set own0 address 02:00:00:00:96:02
             ip addr add 10.96.0.2/32 dev own0
             ip link set own0 up
             ip link set own1 up",
        )?;
        let _listener = Origin::start(&apart, "10.96.0.2:8081", Script::never_accept(0))?;
        let _waiting = fill(&apart, "10.96.0.2:8081")?;
        let trace = world.trace(&[])?;
        world.get("/far").status(504).log(CONNECTING);
        let seen = trace.finish()?;
        seen.failure("firewall-drop-remote").confidence(Possible | Likely).upstream("10.96.0.2:8081");
        seen.nothing_else();
        Ok(())
    }),
    // Somebody ends the connection from outside of both processes: at the origin's side, and at nginx's.
    ("other-end/ended-from-outside", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let failure = ended_from_outside(&world, world.up(), "sport", "reset-by-backend")?;
        failure.confidence(Proven).told("summary", "from outside of the process (`ss -K`)");
        Ok(())
    }),
    ("other-end/ended-from-outside-at-nginx", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let failure = ended_from_outside(&world, world.ng(), "dport", "unknown")?;
        failure.told("summary", "from outside of nginx (`ss -K`)");
        Ok(())
    }),
];

fn full(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::never_accept(0))?;
    let _waiting = world.fill(upstream)?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(CONNECTING);
    let seen = trace.finish()?;
    let failure = seen.failure("accept-queue-full").confidence(Proven).upstream(upstream).status(504);
    failure.phase("connect").evidence("listener");
    seen.nothing_else();
    Ok(())
}

fn one_is_served(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let origin = world.origin(upstream, Script::silent())?;
    let trace = world.trace(&[])?;
    let mut served = world.begin("GET", "/first", &[])?;
    origin.wait_accepted(1)?;
    origin.pause(true);
    let mut wait = (0..2).map(|_| world.begin("GET", "/later", &[])).collect::<Result<Vec<_>>>()?;
    world.answer(served.receive()).status(504);
    for client in &mut wait {
        world.answer(client.receive()).status(504);
    }
    let seen = trace.finish()?;
    seen.failure("slow-response").confidence(Proven).upstream(upstream).phase("wait").status(504);
    seen.failures(2, "not-accepted", |failure| {
        failure.confidence(Proven).upstream(upstream).phase("wait").status(504);
    });
    seen.nothing_else();
    Ok(())
}

fn killed(lab: &Lab, upstream: &str, how: Signal) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let mut origin = world.origin_process(upstream)?;
    let trace = world.trace(&[])?;
    let mut client = world.begin("GET", "/", &[])?;
    world.pause(ms(400));
    origin.kill(how)?;
    world.answer(client.receive()).status(502).log(CLOSED);
    let seen = trace.finish()?;
    let failure = seen.failure("backend-crashed").confidence(Proven).upstream(upstream).status(502);
    let failure =
        failure.phase("wait").evidence("origin-closed").told("summary", &format!("[{}]", origin.pid()));
    failure.evidence_says(&format!("\"signal\":{}", how as i32)).told("summary", how.as_str());
    seen.nothing_else();
    Ok(())
}

fn ends_itself(lab: &Lab, path: &str, cause: &str) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let _origin = world.origin_process(V4)?;
    let trace = world.trace(&[])?;
    world.get(path).status(502).log(CLOSED);
    let seen = trace.finish()?;
    let failure = seen.failure(cause).confidence(Proven).upstream(V4).status(502);
    failure.evidence("origin-closed").evidence_says("\"exiting\":true");
    seen.nothing_else();
    Ok(())
}

fn began_a_moment_ago(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let trace = world.trace(&[])?;
    let mut origin = world.origin_process(upstream)?;
    let mut client = world.begin("GET", "/", &[])?;
    world.pause(ms(30));
    origin.kill(Signal::SIGKILL)?;
    world.answer(client.receive()).status(502).log(CLOSED);
    let seen = trace.finish()?;
    seen.failure("backend-crashed").confidence(Proven).upstream(upstream).status(502);
    seen.nothing_else();
    Ok(())
}

/// Somebody ends the connection in this namespace while nginx waits for the response; `port` says which of its ports is the
/// upstream's.
fn ended_from_outside<'a>(
    world: &'a World<'_>,
    at: &Namespace,
    port: &str,
    cause: &str,
) -> Result<Expected<'a>> {
    let _origin = world.origin(V4, Script::silent())?;
    let trace = world.trace(&[])?;
    let mut client = world.begin("GET", "/", &[])?;
    world.pause(ms(400));
    at.command(&format!("ss -K state established {port} = :8081"))?;
    world.answer(client.receive()).status(502);
    let seen = trace.finish()?;
    let failure = seen.failure(cause).upstream(V4).status(502);
    seen.nothing_else();
    Ok(failure)
}
