//! What nginx was told cannot work.

use anyhow::Result;
use upstream_trace_tests::nginx::Config;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

use super::false_alarms::{http2_world, start_http2};

const V4: &str = "10.99.0.2:8081";
const V6: &str = "[fd99::2]:8081";
const OTHER: &str = "10.99.0.2:8082";

pub(crate) const ALL: &[Scenario] = &[
    // A subrequest with the length of a body that it does not have: the origin waits for that body.
    ("misconfigured/subrequest-without-its-body", |lab| subrequest(lab, "", true)),
    // The trap beside: it promises none, and the origin is slow.
    ("misconfigured/not-a-subrequest-that-promises-nothing", |lab| {
        subrequest(lab, "proxy_set_header Content-Length '';", false)
    }),
    // `RestrictAddressFamilies=AF_UNIX AF_INET` in the service, and an upstream with IPv6.
    ("misconfigured/service-without-ipv6", |lab| {
        refused(lab, V6, "socket() failed (97", |config| config.refused_families = vec![10])
    }),
    // A container without CAP_NET_RAW.
    ("misconfigured/transparent-without-the-right", |lab| {
        refused(lab, V4, "setsockopt(IP_TRANSPARENT) failed (1", |config| {
            "-net_raw,-net_admin".clone_into(&mut config.capabilities);
            config.location.push("proxy_bind 10.99.0.1 transparent;".to_owned());
        })
    }),
    // A request of gRPC takes the idle connection of HTTP/1.
    ("misconfigured/grpc-on-a-connection-of-http1", |lab| {
        let world = one_pool(lab)?;
        world.file(
            "http1.js",
            "require('http').createServer((_, to) => to.end('x')).listen(8081, '127.0.0.1');",
        )?;
        let _app = world.software("node", &["http1.js"], "127.0.0.1:8081")?;
        let trace = world.trace(&[])?;
        world.get("/plain").status(200);
        world.get("/h2").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("misconfigured").confidence(Likely).status(502);
        failure.told("fix", "of its own").joined("no connection data found");
        // nginx tries again on a new connection, and this origin speaks no HTTP/2 at all.
        seen.failure("invalid-response").status(502);
        seen.nothing_else();
        Ok(())
    }),
    // The other way round, nginx takes frames for an answer of HTTP/0.9, and waits for the end of it.
    ("misconfigured/http1-on-a-connection-of-grpc", |lab| {
        let world = one_pool(lab)?;
        let _app = start_http2(&world, false)?;
        let trace = world.trace(&[])?;
        world.get("/h2").status(200);
        let mut client = world.begin("GET", "/plain", &[])?;
        let _cut = client.receive();
        world.nginx_says("no valid HTTP/1.0 header");
        let seen = trace.finish()?;
        seen.failure("misconfigured").confidence(Possible).told("fix", "of its own");
        seen.nothing_else();
        Ok(())
    }),
];

/// Locations of gRPC and of HTTP/1 that send to one group.
fn one_pool(lab: &Lab) -> Result<World<'_>> {
    // The last one ends where the builder ends the first.
    let locations = "grpc_pass grpc://app; }
        location /plain { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection '';";
    http2_world(lab, locations)
}

/// The kernel refuses what the configuration asks for before there is a connection.
fn refused(lab: &Lab, upstream: &str, says: &str, change: impl FnOnce(&mut Config)) -> Result<()> {
    let world = lab.world().upstream(upstream).config(change).start()?;
    let _origin = world.origin(upstream, Script::answer(10))?;
    let trace = world.trace(&[])?;
    world.get("/").status(500).log(says);
    let seen = trace.finish()?;
    let failure = seen.failure("misconfigured").confidence(Proven | Likely).status(500);
    failure.joined(says);
    seen.nothing_else();
    Ok(())
}

fn subrequest(lab: &Lab, directive: &str, promises: bool) -> Result<()> {
    let location = format!(
        "location = /auth {{ internal; proxy_pass http://{OTHER}; proxy_pass_request_body off; {directive} }}"
    );
    let world = lab.world().upstream(V4).location("auth_request /auth;").server(&location).start()?;
    let _origin = world.origin(V4, Script::answer(10))?;
    let script = if promises { Script::answer(10) } else { Script::silent() };
    let _auth = world.origin(OTHER, script)?;
    let trace = world.trace(&[])?;
    world.post("/", 30).status(500).log("upstream timed out");
    let seen = trace.finish()?;
    let cause = if promises { "misconfigured" } else { "slow-response" };
    let failure = seen.failure(cause).confidence(Proven | Likely | Possible).upstream(OTHER);
    failure.logged("subrequest", "/auth");
    seen.nothing_else();
    Ok(())
}
