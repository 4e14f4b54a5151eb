//! Routes, neighbours, routers, and what gets lost on the way.

use anyhow::Result;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::wire::{Lose, Wire};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario};

const READING: &str =
    "upstream timed out (110: Connection timed out) while reading response header from upstream";

pub(crate) const ALL: &[Scenario] = &[
    ("no-route/blackhole", |lab| {
        route(lab, "10.95.0.2:8081", "blackhole 10.95.0.0/24", (22, "Invalid argument"))
    }),
    ("no-route/prohibit", |lab| {
        route(lab, "10.95.0.2:8081", "prohibit 10.95.0.0/24", (13, "Permission denied"))
    }),
    ("no-route/unreachable", |lab| {
        route(lab, "10.95.0.2:8081", "unreachable 10.95.0.0/24", (113, "No route to host"))
    }),
    ("no-route/none4", |lab| route(lab, "10.95.0.2:8081", "", (101, "Network is unreachable"))),
    ("no-route/none6", |lab| route(lab, "[fd95::2]:8081", "", (101, "Network is unreachable"))),
    ("no-route/blackhole6", |lab| {
        route(lab, "[fd95::2]:8081", "blackhole fd95::/64", (22, "Invalid argument"))
    }),
    ("no-route/prohibit6", |lab| {
        route(lab, "[fd95::2]:8081", "prohibit fd95::/64", (13, "Permission denied"))
    }),
    ("no-route/link-down", |lab| {
        let world = lab.world().upstream("10.99.0.2:8081").start()?;
        let trace = world.trace(&[])?;
        world.ng().command("ip link set eth0 down")?;
        world.get("/").status(502).log("failed (101: Network is unreachable)");
        let seen = trace.finish()?;
        seen.failure("no-route")
            .confidence(Proven | Likely)
            .upstream("10.99.0.2:8081")
            .errno(101)
            .status(502);
        seen.nothing_else();
        Ok(())
    }),
    ("neighbour-unreachable/arp", |lab| neighbour(lab, "10.99.0.77:8081")),
    ("neighbour-unreachable/ndp", |lab| neighbour(lab, "[fd99::77]:8081")),
    ("icmp-unreachable/router-host4", |lab| {
        router(lab, "10.96.0.2:8081", "ip route add unreachable 10.96.0.0/24", (113, "No route to host"))
    }),
    ("icmp-unreachable/router-net4", |lab| {
        router(lab, "10.96.0.2:8081", "", (101, "Network is unreachable"))
    }),
    ("icmp-unreachable/router-net6", |lab| {
        router(lab, "[fd96::2]:8081", "", (101, "Network is unreachable"))
    }),
    ("icmp-unreachable/dead-neighbour-behind-router6", |lab| {
        router(lab, "[fd97::77]:8081", "", (113, "No route to host"))
    }),
    ("icmp-unreachable/loop-time-exceeded", |lab| {
        let upstream = "10.96.0.2:8081";
        let world = lab.world().upstream(upstream).router().start()?;
        world.router()?.command("ip route add 10.96.0.0/24 via 10.97.0.2")?;
        world.up().command("ip route add 10.96.0.0/24 via 10.97.0.254")?;
        world.up().sysctl("ipv4/ip_forward", "1")?;
        let trace = world.trace(&[])?;
        world
            .get("/")
            .status(502)
            .log("connect() failed (113: No route to host) while connecting to upstream");
        let seen = trace.finish()?;
        let failure = seen.failure("icmp-unreachable").confidence(Proven | Likely).upstream(upstream);
        failure.phase("connect").status(502).errno(113).evidence("icmp").evidence_says("10.97.0.2");
        seen.nothing_else();
        Ok(())
    }),
    ("icmp-unreachable/dead-neighbour-behind-router", |lab| {
        router(lab, "10.97.0.77:8081", "", (113, "No route to host"))
    }),
    ("path-lost/request-lost4", |lab| lost(lab, "10.95.0.2:8081", Lose::Requests, 0)),
    ("path-lost/request-lost6", |lab| lost(lab, "[fd95::2]:8081", Lose::Requests, 0)),
    ("path-lost/big-packets-lost", |lab| lost(lab, "10.95.0.2:8081", Lose::Large, 6000)),
    ("path-lost/link-dies-on-pooled-connection", |lab| {
        let upstream = "10.95.0.2:8081";
        let world = lab.world().upstream(upstream).keepalive(4).read_timeout("3s").start()?;
        let wire = Wire::lay(world.ng(), world.up())?;
        let _origin = world.origin(upstream, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        wire.lose(Lose::Everything)?;
        world.get("/").status(504).log(READING);
        let seen = trace.finish()?;
        let failure = seen.failure("path-lost").confidence(Likely | Possible | Proven).upstream(upstream);
        failure.reused(true).phase("wait").status(504).evidence("retransmit");
        seen.nothing_else();
        Ok(())
    }),
];

fn route(lab: &Lab, upstream: &str, route: &str, (errno, text): (i32, &str)) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    if !route.is_empty() {
        world.ng().command(&format!("ip route add {route}"))?;
    }
    let trace = world.trace(&[])?;
    let says = format!("connect() to {upstream} failed ({errno}: {text}) while connecting to upstream");
    world.get("/").status(502).log(&says);
    let seen = trace.finish()?;
    let failure = seen.failure("no-route").confidence(Proven | Likely).upstream(upstream).phase("connect");
    failure.status(502).errno(errno);
    seen.nothing_else();
    Ok(())
}

fn neighbour(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).connect_timeout("5s").start()?;
    let trace = world.trace(&[])?;
    world.get("/").status(502).log("connect() failed (113: No route to host) while connecting to upstream");
    let seen = trace.finish()?;
    let failure = seen.failure("neighbour-unreachable").confidence(Proven | Likely).upstream(upstream);
    failure.phase("connect").status(502).errno(113).lasted(2500.0..=4500.0);
    seen.nothing_else();
    Ok(())
}

fn router(lab: &Lab, upstream: &str, route: &str, (errno, text): (i32, &str)) -> Result<()> {
    let world = lab.world().upstream(upstream).router().connect_timeout("5s").start()?;
    if !route.is_empty() {
        world.router()?.command(route)?;
    }
    if route.contains(" via ") {
        world.ng().sysctl("ipv4/ip_forward", "1")?;
    }
    let trace = world.trace(&[])?;
    let says = format!("connect() failed ({errno}: {text}) while connecting to upstream");
    world.get("/").status(502).log(&says);
    let seen = trace.finish()?;
    let failure = seen.failure("icmp-unreachable").confidence(Proven | Likely).upstream(upstream);
    let failure = failure.phase("connect").status(502).errno(errno);
    if !upstream.starts_with('[') {
        failure.evidence("icmp").evidence_says("10.98.0.254");
    }
    seen.nothing_else();
    Ok(())
}

fn lost(lab: &Lab, upstream: &str, what: Lose, body: usize) -> Result<()> {
    let world = lab.world().upstream(upstream).read_timeout("3s").start()?;
    let wire = Wire::lay(world.ng(), world.up())?;
    let origin = world.origin(upstream, Script::answer(10))?;
    wire.lose(what)?;
    let trace = world.trace(&[])?;
    world.post("/", body).status(504).log(READING);
    origin.wait_accepted(1)?;
    let seen = trace.finish()?;
    let failure = seen.failure("path-lost").confidence(Proven | Likely | Possible).upstream(upstream);
    failure.phase_of(&["wait", "send"]).status(504).evidence("retransmit");
    seen.nothing_else();
    Ok(())
}
