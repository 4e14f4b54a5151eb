//! Faults that users reported, whose kinds no other file has: what nginx was told, whom it went to, lines that look different.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use upstream_trace_tests::nginx::FOLDER;
use upstream_trace_tests::origin::{Dns, Says, Script, Shows, Step};
use upstream_trace_tests::policy::{Policy, Rule};
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::wire::{Lose, Wire};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario};

use super::translation::send_to_port;

const V4: &str = "10.99.0.2:8081";
const OTHER: &str = "10.99.0.2:8082";
const LOOPBACK: &str = "127.0.0.1:8081";
const FAR: &str = "10.95.0.2:8081";
const DATAGRAMS: &str = "127.0.0.1:5300";

pub(crate) const ALL: &[Scenario] = &[
    // Neither the line nor the connection says which of the two it was for.
    ("names/one-address-in-two-groups", |lab| {
        let groups = format!("upstream one {{ server {V4}; }} upstream two {{ server {V4}; }}");
        let location = "location /two { proxy_pass http://two; }";
        let world = lab.world().config(|config| config.http.push(groups)).server(location).start()?;
        let trace = world.trace(&[])?;
        world.get("/two").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused").confidence(Proven).upstream(V4);
        if let Some(object) = failure.object() {
            let group = &object["group"];
            lab.check(group.is_null() || *group == "two", || format!("the group is {group}"));
        }
        seen.nothing_else();
        Ok(())
    }),
    ("no-live-upstreams/peers-of-its-own-group-only", |lab| {
        let groups = format!(
            "upstream one {{ server {V4}; server {OTHER}; }} upstream two {{ server 10.99.0.2:8083; }}"
        );
        let locations = "location /one { proxy_pass http://one; } location /two { proxy_pass http://two; }";
        let world = lab.world().config(|config| config.http.push(groups)).server(locations).start()?;
        let trace = world.trace(&[])?;
        world.get("/two").status(502);
        world.get("/one").status(502);
        world.get("/one").status(502).log("no live upstreams");
        let seen = trace.finish()?;
        let failure = seen.failure("no-live-upstreams").status(502);
        if let Some(object) = failure.object() {
            let ejected = object["ejected"].to_string();
            let own = ejected.contains(V4) && ejected.contains(OTHER) && !ejected.contains("8083");
            lab.check(own, || format!("ejected are {ejected}"));
        }
        seen.failures(3, "port-refused", |failure| drop(failure.confidence(Proven)));
        seen.nothing_else();
        Ok(())
    }),
    // nginx sends on what it reads: its line says "while sending to client".
    ("truncated-response/unbuffered", |lab| {
        unbuffered(lab, Script::partial_then_fin(100, 1000), "truncated-response", "prematurely closed")
    }),
    ("reset-by-backend/in-an-unbuffered-body", |lab| {
        unbuffered(
            lab,
            Script::partial_then_rst(100, 1000),
            "reset-by-backend",
            "104: Connection reset by peer",
        )
    }),
    // The socket has another address than nginx's line.
    ("port-refused/sent-elsewhere-by-a-control-group", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let _policy = Policy::on(world.nginx().worker()?, Rule::ToPort(8082))?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("connect() failed (111: Connection refused)");
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused").confidence(Proven | Likely).phase("connect").errno(111);
        failure.joined("connect() failed (111");
        seen.nothing_else();
        Ok(())
    }),
    ("port-refused/translated-on-its-way-out", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        send_to_port(&world, 8082)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("connect() failed (111: Connection refused)");
        let seen = trace.finish()?;
        // Who reset it is known by the address that it was sent to.
        let failure = seen.failure("port-refused").confidence(Proven | Likely | Possible).upstream(V4);
        failure.errno(111).joined("connect() failed (111");
        seen.nothing_else();
        Ok(())
    }),
    // Siblings pass, so it is no firewall for the port, and nobody saw a full queue.
    ("firewall-drop-remote/one-connection-of-many", |lab| {
        let world = lab.world().upstream(FAR).start()?;
        let wire = Wire::lay(world.ng(), world.up())?;
        let _origin = world.origin(FAR, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        wire.lose(Lose::Flow)?;
        let mut lost = world.begin("GET", "/", &[])?;
        world.pause(ms(100));
        for _ in 0..5 {
            world.get("/").status(200);
        }
        world.answer(lost.receive()).status(504);
        let seen = trace.finish()?;
        let failure = seen.failure_of(&["firewall-drop-remote", "path-lost", "accept-queue-full", "unknown"]);
        failure.confidence(Possible).upstream(FAR).phase("connect").status(504);
        seen.nothing_else();
        Ok(())
    }),
    // It was stopped for as long as nginx waited, and goes on as nginx gives up.
    ("not-accepted/goes-on-as-nginx-gives-up", |lab| {
        let world = lab.world().upstream(LOOPBACK).read_timeout("3s").start()?;
        let app = world.origin_process(LOOPBACK)?;
        signal(app.pid(), Signal::SIGSTOP)?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(2_950));
        signal(app.pid(), Signal::SIGCONT)?;
        world.answer(client.receive()).status(504);
        let seen = trace.finish()?;
        let failure = seen.failure("not-accepted").confidence(Proven | Likely).upstream(LOOPBACK);
        failure.phase("wait").status(504);
        seen.nothing_else();
        Ok(())
    }),
    // 408: nginx ends the upstream's connection as its client stalls.
    ("healthy/client-stalls-its-upload", |lab| {
        let options = "proxy_request_buffering off; client_body_timeout 1s;";
        let world = lab.world().upstream(V4).location(options).start()?;
        let _origin = world.origin(V4, Script::silent())?;
        let trace = world.trace(&[])?;
        let mut client = world.connect()?;
        client.send_bytes(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 100000\r\n\r\n0123456789")?;
        world.pause(ms(1_500));
        world.wait_access("408");
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    // The old worker is out of time, and nobody can read why.
    ("healthy/worker-shutdown-timeout-without-a-log", |lab| {
        let world = lab.world().upstream(V4).read_timeout("20s").config(|config| {
            config.main.push("worker_shutdown_timeout 1s; error_log /dev/null crit;".into());
        });
        let world = world.start()?;
        let _origin = world.origin(V4, Script::silent())?;
        let trace = world.trace(&[])?;
        let _client = world.begin("GET", "/", &[])?;
        world.pause(ms(200));
        world.nginx().reload()?;
        world.pause(ms(2_000));
        trace.finish()?.nothing_else();
        Ok(())
    }),
    // What a client sends through a tunnel is no request, and the end of the tunnel no answer that is missing.
    ("healthy/tunnel-that-its-origin-closes", |lab| {
        let upgrade = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
        let world = lab.world().upstream(V4).location(upgrade).start()?;
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        let script = Script::new(vec![Step::Request, Step::Send(switch.to_vec()), Step::Bytes, Step::Close]);
        let _origin = world.origin(V4, script)?;
        let trace = world.trace(&[])?;
        let mut client = world.connect()?;
        client.send_bytes(
            b"GET / HTTP/1.1\r\nHost: lab\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )?;
        world.pause(ms(300));
        // "Goodbye" of WebSocket, without its mask.
        client.send_bytes(b"\x88\x02\x03\xe8")?;
        let reply = client.receive();
        lab.check(reply.status == 101, || format!("no tunnel: {reply:?}"));
        world.wait_access("101");
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    // nginx asks about its own certificate; no upstream failed.
    ("healthy/nobody-answers-for-a-certificate", |lab| {
        let server = format!(
            "server {{ listen 127.0.0.1:8443 ssl; ssl_certificate {FOLDER}/certificate.pem; \
             ssl_certificate_key {FOLDER}/key.pem; ssl_trusted_certificate {FOLDER}/certificate.pem; \
             ssl_stapling on; ssl_stapling_responder http://{OTHER}/; return 204; }}"
        );
        let world = lab.world().upstream(V4).certificate(Shows::Valid);
        let world = world.config(|config| config.http.push(server)).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        // It leaves after the handshake, for want of input.
        world.ng().command("openssl s_client -connect 127.0.0.1:8443 -status")?;
        world.nginx_says("while requesting certificate status");
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    // `server ... resolve`: nginx asks on its own, for no client.
    ("dns-failure/name-of-a-peer-that-nginx-resolves-itself", |lab| {
        let group = "resolver 127.0.0.1:5353 valid=1s; resolver_timeout 1s; \
                     upstream app { zone app 64k; server app.test:8081 resolve; }";
        let world = lab.world().newer().config(|config| config.http.push(group.into()));
        let world = world.server("location /app { proxy_pass http://app; }").start()?;
        let _server = Dns::start(world.ng(), "127.0.0.1:5353", Says::Error(3))?;
        // It asked before there was a name server, and does so again after its timeout.
        world.pause(ms(2_500));
        let trace = world.trace(&[])?;
        world.pause(ms(2_500));
        world.nginx_says("could not be resolved (3: Host not found)");
        let seen = trace.finish()?;
        seen.failure("dns-failure").confidence(Proven | Likely).joined("could not be resolved (3");
        Ok(())
    }),
    ("healthy/datagrams-answered", |lab| datagrams(lab, true, &[])),
    ("healthy/datagrams-to-nobody", |lab| {
        datagrams(lab, false, &["recv() failed (111: Connection refused)"])
    }),
];

fn unbuffered(lab: &Lab, script: Script, cause: &str, says: &str) -> Result<()> {
    let world = lab.world().upstream(V4).location("proxy_buffering off;").start()?;
    let _origin = world.origin(V4, script)?;
    let trace = world.trace(&[])?;
    world.get("/").status(200).truncated().log(says);
    let seen = trace.finish()?;
    let failure = seen.failure(cause).confidence(Proven | Likely).upstream(V4).phase("receive");
    failure.joined(says);
    seen.nothing_else();
    Ok(())
}

/// `stream` with datagrams: nothing of that is a connection to an upstream, nor a lookup by nginx's resolver.
fn datagrams(lab: &Lab, answered: bool, says: &[&str]) -> Result<()> {
    let server =
        "server { listen 127.0.0.1:5300 udp; proxy_pass 10.99.0.2:53; proxy_timeout 1s; proxy_responses 1; }";
    let world = lab.world().stream(server).start()?;
    let resolver = world.up().run(|| Ok(UdpSocket::bind("10.99.0.2:53")?))?;
    let resolver = answered.then_some(resolver);
    let trace = world.trace(&[])?;
    let client = world.ng().run(|| Ok(UdpSocket::bind("127.0.0.1:0")?))?;
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    for _ in 0..3 {
        client.send_to(QUESTION, DATAGRAMS)?;
        if let Some(resolver) = &resolver {
            let mut buffer = [0; 512];
            let (size, from) = resolver.recv_from(&mut buffer)?;
            resolver.send_to(&buffer[..size], from)?;
            client.recv_from(&mut buffer)?;
        }
    }
    world.pause(ms(1_500));
    for text in says {
        world.nginx_says(text);
    }
    trace.finish()?.nothing_at_all();
    Ok(())
}

/// A question for the address of `app.test`.
const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03app\x04test\0\0\x01\0\x01";
