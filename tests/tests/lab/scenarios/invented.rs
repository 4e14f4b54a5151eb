//! Faults that nobody reported: made up to see what the tool says of what it does not know.

use std::fs;

use anyhow::{Context as _, Result};
use upstream_trace_tests::origin::{Script, Shows, Step};
use upstream_trace_tests::util::{ms, sh};
use upstream_trace_tests::wire::{Lose, Wire};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario};

const V4: &str = "10.99.0.2:8081";
const LOOPBACK: &str = "127.0.0.1:8081";
/// What a server of HTTP/2 sends first: its settings.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Answers over TLS, and writes past its TLS library in the middle of the body.
const DAMAGES: &str = "
import os, socket, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('certificate.pem', 'key.pem')
server = socket.create_server(('127.0.0.1', 8081))
while True:
    peer, _ = server.accept()
    try:
        tls = context.wrap_socket(peer, server_side=True)
        tls.recv(65536)
        tls.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 90000\\r\\n\\r\\n' + b'x' * 9000)
        os.write(tls.fileno(), b'\\x17\\x03\\x03\\x00\\x40' + b'z' * 64)
        tls.recv(1)
    except OSError: pass
";

pub(crate) const ALL: &[Scenario] = &[
    ("invented/http2-where-nginx-speaks-http1", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let steps = vec![Step::Request, Step::Send(SETTINGS.to_vec()), Step::Sleep(ms(300)), Step::Close];
        let _origin = world.origin(V4, Script::new(steps))?;
        let trace = world.trace(&["--depth", "deep"])?;
        // The answer has no header.
        let _reply = world.begin("GET", "/", &[])?.receive();
        world.nginx_says("upstream sent no valid HTTP/1.0 header");
        let seen = trace.finish()?;
        let failure = seen.failure("invalid-response").confidence(Possible).upstream(V4);
        failure.told("fix", "grpc_pass");
        seen.nothing_else();
        Ok(())
    }),
    ("invented/damaged-tls-record", |lab| {
        let world = lab
            .world()
            .upstream(LOOPBACK)
            .location("proxy_pass https://origin;")
            .certificate(Shows::Valid)
            .start()?;
        world.file("damages.py", DAMAGES)?;
        let _app = world.software("python3", &["damages.py"], LOOPBACK)?;
        let trace = world.trace(&[])?;
        world.get("/").status(200).truncated().log("SSL_read() failed (SSL:");
        let seen = trace.finish()?;
        let failure = seen.failure("invalid-response").confidence(Proven | Likely).upstream(LOOPBACK);
        failure.told("fix", "A TLS record was damaged");
        seen.nothing_else();
        Ok(())
    }),
    ("invented/keepalive-probes-unanswered", |lab| {
        let upstream = "10.95.0.2:8081";
        let world = lab
            .world()
            .upstream(upstream)
            .read_timeout("20s")
            .location("proxy_socket_keepalive on;")
            .start()?;
        let wire = Wire::lay(world.ng(), world.up())?;
        for (key, value) in [("time", "1"), ("intvl", "1"), ("probes", "1")] {
            world.ng().sysctl(&format!("ipv4/tcp_keepalive_{key}"), value)?;
        }
        let _origin = world.origin(upstream, Script::silent())?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(400));
        wire.lose(Lose::Everything)?;
        world.answer(client.receive()).status(502).log("recv() failed (110: Connection timed out)");
        let seen = trace.finish()?;
        let failure = seen.failure("path-lost").confidence(Likely).upstream(upstream).phase("wait");
        failure.status(502).errno(110).told("summary", "keepalive probes");
        seen.nothing_else();
        Ok(())
    }),
    ("invented/header-too-slow", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let mut steps = vec![Step::Request, Step::Send(b"HTTP/1.1 200 OK\r\nX: ".to_vec())];
        for _ in 0..20 {
            steps.extend([Step::Sleep(ms(200)), Step::Send(b"x".to_vec())]);
        }
        let _origin = world.origin(V4, Script::new(steps))?;
        let trace = world.trace(&[])?;
        world.get("/").status(504).log("while reading response header from upstream");
        let seen = trace.finish()?;
        let failure = seen.failure_of(&["slow-response", "slow-body"]).confidence(Likely | Possible);
        failure.upstream(V4).status(504);
        seen.nothing_else();
        Ok(())
    }),
    ("invented/worker-without-memory", |lab| {
        let buffers = "proxy_buffer_size 64m; proxy_buffers 8 16m; proxy_busy_buffers_size 64m;";
        let world = lab.world().upstream(V4).location(buffers).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let worker = world.nginx().worker()?;
        let memory = fs::read_to_string(format!("/proc/{worker}/statm"))?;
        let pages: u64 = memory.split_whitespace().next().context("an empty statm")?.parse()?;
        sh(&format!("prlimit --pid {worker} --as={}", pages * 4096 + (20 << 20)))?;
        let trace = world.trace(&[])?;
        world.get("/").status(500).log("malloc(67108864) failed (12: Cannot allocate memory)");
        let seen = trace.finish()?;
        let failure = seen.failure("misconfigured").confidence(Proven | Likely).upstream(V4).status(500);
        failure.told("fix", "MemoryMax");
        seen.nothing_else();
        Ok(())
    }),
    ("invented/multicast-address", |lab| impossible(lab, "224.0.0.9:8081", 101)),
    ("invented/link-local-address", |lab| impossible(lab, "[fe80::1234]:8081", 22)),
    // The origin answered; where that leads is between it and the configuration.
    ("invented/redirection-cycle", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let answer = b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /\r\nContent-Length: 0\r\n\r\n";
        let _origin = world.origin(V4, Script::new(vec![Step::Request, Step::Send(answer.to_vec())]))?;
        let trace = world.trace(&[])?;
        world.get("/").status(500).log("rewrite or internal redirection cycle");
        let seen = trace.finish()?;
        lab.check(seen.summary()["log_lines"]["passed_over"] == 1, || "the line was not counted".to_owned());
        seen.nothing_else();
        Ok(())
    }),
];

fn impossible(lab: &Lab, address: &str, errno: i64) -> Result<()> {
    let world = lab.world().location(&format!("proxy_pass http://{address};")).start()?;
    let trace = world.trace(&[])?;
    world.get("/").status(502);
    let seen = trace.finish()?;
    let failure = seen.failure("misconfigured").confidence(Proven).upstream(address).phase("connect");
    failure.status(502).errno(errno.try_into()?);
    seen.nothing_else();
    Ok(())
}
