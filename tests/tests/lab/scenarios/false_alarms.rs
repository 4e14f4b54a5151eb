//! What newer nginx does with healthy upstreams, beside the failures that look alike.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use upstream_trace_tests::origin::{Script, Shows, Step};
use upstream_trace_tests::software::Software;
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

const APP: &str = "127.0.0.1:8081";
const V4: &str = "10.99.0.2:8081";
const STREAM: &str = "127.0.0.1:8085";

pub(crate) const ALL: &[Scenario] = &[
    ("newer/grpc-pool-idles", |lab| http2(lab, Http2 { tls: false, pass: "grpc_pass grpc://app;" })),
    ("newer/grpc-pool-idles-over-tls", |lab| http2(lab, Http2 { tls: true, pass: "grpc_pass grpcs://app;" })),
    ("newer/http2-pool-idles", |lab| {
        http2(lab, Http2 { tls: false, pass: "proxy_http_version 2; proxy_pass http://app;" })
    }),
    ("newer/http2-pool-idles-over-tls", |lab| {
        http2(lab, Http2 { tls: true, pass: "proxy_http_version 2; proxy_pass https://app;" })
    }),
    // The trap beside: a request on such a connection that is never answered.
    ("newer/grpc-slow-response", |lab| {
        let world = http2_world(lab, "grpc_pass grpc://app; grpc_read_timeout 2s;")?;
        let _app = start_http2(&world, false)?;
        let trace = world.trace(&[])?;
        world.get("/h2").status(200);
        world.pause(ms(600));
        world.get("/h2/slow").status(504);
        let seen = trace.finish()?;
        let failure = seen.failure("slow-response").upstream(APP).phase("wait").status(504);
        failure.confidence(Proven | Likely | Possible).joined("upstream timed out");
        seen.nothing_else();
        Ok(())
    }),
    ("newer/stream-origin-closes-without-a-word", |lab| {
        let world = lab.world().stream(&to(V4)).start()?;
        let _origin = world.origin(V4, Script::close_after_accept())?;
        let trace = world.trace(&[])?;
        let mut client = stream(&world)?;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest)?;
        world.pause(ms(100));
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("newer/stream-origin-closes-after-the-client-spoke", |lab| {
        let world = lab.world().stream(&to(V4)).start()?;
        let _origin = world.origin(V4, Script::new(vec![Step::Bytes, Step::Close]))?;
        let trace = world.trace(&[])?;
        let mut client = stream(&world)?;
        client.write_all(b"hello")?;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest)?;
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("newer/stream-client-closes-its-half", |lab| {
        let world = lab.world().stream(&to(V4)).start()?;
        let script = vec![Step::Bytes, Step::Sleep(ms(300)), Step::Send(b"done".to_vec()), Step::Close];
        let _origin = world.origin(V4, Script::new(script))?;
        let trace = world.trace(&[])?;
        let mut client = stream(&world)?;
        client.write_all(b"hello")?;
        client.shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest)?;
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("newer/stream-client-says-nothing-and-leaves", |lab| {
        let world = lab.world().stream(&to(V4)).start()?;
        let _origin = world.origin(V4, Script::new(vec![Step::UntilClosed]))?;
        let trace = world.trace(&[])?;
        let client = stream(&world)?;
        world.pause(ms(1200));
        drop(client);
        world.pause(ms(100));
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    // The trap beside: nobody listens there.
    ("newer/stream-refused", |lab| {
        let world = lab.world().stream(&to(V4)).start()?;
        let trace = world.trace(&[])?;
        let mut client = stream(&world)?;
        let mut rest = Vec::new();
        let _reset = client.read_to_end(&mut rest);
        world.nginx_says("connect() failed (111: Connection refused)");
        let seen = trace.finish()?;
        seen.failure("port-refused").confidence(Proven).upstream(V4).joined("connect() failed");
        seen.nothing_else();
        Ok(())
    }),
    // The trap beside: a reset is no end.
    ("newer/stream-origin-resets", |lab| {
        let world = lab.world().stream(&to(V4)).start()?;
        let _origin = world.origin(V4, Script::new(vec![Step::Bytes, Step::Sleep(ms(50)), Step::Reset]))?;
        let trace = world.trace(&[])?;
        let mut client = stream(&world)?;
        client.write_all(b"hello")?;
        let mut rest = Vec::new();
        let _reset = client.read_to_end(&mut rest);
        world.nginx_says("recv() failed (104");
        let seen = trace.finish()?;
        seen.failure("reset-by-backend").upstream(V4).joined("recv() failed (104");
        seen.nothing_else();
        Ok(())
    }),
    ("newer/stream-tls-client-leaves-without-a-word", |lab| {
        let world = tls_stream(lab)?;
        let _origin = world.tls_origin(V4, "")?;
        let trace = world.trace(&[])?;
        let client = stream(&world)?;
        world.pause(ms(500));
        drop(client);
        world.pause(ms(200));
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("newer/stream-tls-client-says-bye", |lab| {
        let world = tls_stream(lab)?;
        let _origin = world.tls_origin(V4, "-www")?;
        let trace = world.trace(&[])?;
        let mut client = stream(&world)?;
        client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest)?;
        drop(client);
        world.pause(ms(200));
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    // A close_notify before the FIN of an origin that ends a session.
    ("newer/stream-tls-origin-ends-it", |lab| {
        let world = tls_stream(lab)?;
        let origin = world.tls_origin(V4, "")?;
        let trace = world.trace(&[])?;
        let mut client = stream(&world)?;
        client.write_all(b"hello\n")?;
        world.pause(ms(300));
        drop(origin);
        let mut rest = Vec::new();
        let _reset = client.read_to_end(&mut rest);
        world.pause(ms(200));
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    // The trap beside: the certificate is not the one asked for.
    ("newer/stream-tls-wrong-name", |lab| {
        let options = "proxy_ssl on; proxy_ssl_verify on; proxy_ssl_name other.test; \
                       proxy_ssl_trusted_certificate @folder@/certificate.pem;";
        let world = lab
            .world()
            .certificate(Shows::Valid)
            .stream(&format!("server {{ listen {STREAM}; {options} proxy_pass {V4}; }}"))
            .start()?;
        let _origin = world.tls_origin(V4, "")?;
        let trace = world.trace(&[])?;
        let mut client = stream(&world)?;
        let mut rest = Vec::new();
        let _reset = client.read_to_end(&mut rest);
        world.nginx_says("upstream SSL certificate does not match");
        let seen = trace.finish()?;
        seen.failure("tls-handshake-failed").upstream(V4).phase("tls");
        seen.nothing_else();
        Ok(())
    }),
];

fn to(upstream: &str) -> String {
    format!(
        "server {{ listen {STREAM}; proxy_connect_timeout 2s; proxy_timeout 10s; proxy_pass {upstream}; }}"
    )
}

fn tls_stream(lab: &Lab) -> Result<World<'_>> {
    let server = format!("server {{ listen {STREAM}; proxy_ssl on; proxy_timeout 10s; proxy_pass {V4}; }}");
    lab.world().certificate(Shows::Valid).stream(&server).start()
}

/// A client's connection to the port of `stream`.
fn stream(world: &World<'_>) -> Result<TcpStream> {
    world.ng().run(|| {
        let client = TcpStream::connect(STREAM).context("connect to stream")?;
        client.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(client)
    })
}

#[derive(Clone, Copy)]
struct Http2 {
    tls: bool,
    pass: &'static str,
}

/// The origin sends control frames when its connection idles; nginx answers them, and closes it later.
fn http2(lab: &Lab, how: Http2) -> Result<()> {
    let world = http2_world(lab, how.pass)?;
    let _app = start_http2(&world, how.tls)?;
    let trace = world.trace(&[])?;
    for _ in 0..3 {
        world.get("/h2").status(200);
        world.pause(ms(300));
    }
    // The pool closes it after two seconds, whole ones as timeouts are.
    world.pause(ms(3500));
    world.get("/h2").status(200);
    world.pause(ms(300));
    world.nginx_is_silent();
    trace.finish()?.nothing_at_all();
    Ok(())
}

pub(super) fn http2_world<'lab>(lab: &'lab Lab, pass: &str) -> Result<World<'lab>> {
    lab.world()
        .newer()
        .certificate(Shows::Valid)
        .config(|config| {
            config.http.push(format!("upstream app {{ server {APP}; keepalive 8; keepalive_timeout 2s; }}"));
        })
        .server(&format!("location /h2 {{ {pass} }}"))
        .start()
}

pub(super) fn start_http2(world: &World<'_>, tls: bool) -> Result<Software> {
    let make = if tls {
        "createSecureServer({key: fs.readFileSync('key.pem'), cert: fs.readFileSync('certificate.pem')})"
    } else {
        "createServer()"
    };
    world.file(
        "h2.js",
        &format!(
            "const fs = require('fs');
const server = require('http2').{make};
server.on('session', session => {{
  setTimeout(() => session.destroyed || session.ping(() => {{}}), 100);
  setTimeout(() => session.destroyed || session.settings({{maxConcurrentStreams: 50}}), 200);
}});
server.on('stream', (stream, headers) => {{
  if (headers[':path'].endsWith('/slow')) return;
  const grpc = (headers['content-type'] || '').startsWith('application/grpc');
  stream.respond({{':status': 200, 'content-type': grpc ? 'application/grpc' : 'text/plain'}}, {{waitForTrailers: grpc}});
  stream.on('wantTrailers', () => stream.sendTrailers({{'grpc-status': '0'}}));
  stream.end('x'.repeat(100000));
}});
server.listen(8081, '127.0.0.1');
"
        ),
    )?;
    world.software("node", &["h2.js"], APP)
}
