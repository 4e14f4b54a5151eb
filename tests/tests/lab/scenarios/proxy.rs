//! nginx's own host: its ports, files, connections, rights and configuration.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;

use anyhow::{Context as _, Result};
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::util::sh;
use upstream_trace_tests::{Lab, Likely, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";

pub(crate) const ALL: &[Scenario] = &[
    ("connect-denied/unix-file-mode", |lab| {
        let world =
            lab.world().upstream("unix:app.sock").config(|config| config.user = "www-data".into()).start()?;
        let _origin = world.origin("unix:app.sock", Script::answer(10))?;
        fs::set_permissions(world.folder().join("app.sock"), Permissions::from_mode(0o000))?;
        denied(&world)
    }),
    ("connect-denied/unix-folder-mode", |lab| {
        let world = lab
            .world()
            .upstream("unix:sub/app.sock")
            .config(|config| config.user = "www-data".into())
            .start()?;
        let folder = world.folder().join("sub");
        fs::create_dir(&folder)?;
        let _origin = world.origin("unix:sub/app.sock", Script::answer(10))?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        denied(&world)
    }),
    ("ports-exhausted/tcp4", |lab| exhausted(lab, V4)),
    ("ports-exhausted/tcp6", |lab| exhausted(lab, "[fd99::2]:8081")),
    ("address-unavailable/proxy-bind", |lab| {
        let world = lab.world().upstream(V4).location("proxy_bind 10.99.0.200;").start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(500).log("bind(10.99.0.200) failed (99: Cannot assign requested address)");
        let seen = trace.finish()?;
        seen.failure("address-unavailable")
            .confidence(Proven | Likely)
            .phase("connect")
            .status(500)
            .errno(99);
        seen.nothing_else();
        Ok(())
    }),
    ("fd-limit/worker", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&[])?;
        // Room for the client's connection and no more.
        let worker = world.nginx().worker()?;
        let limit = free_descriptors(worker).nth(1).context("no free descriptor")?;
        sh(&format!("prlimit --pid {worker} --nofile={limit}:4096"))?;
        world
            .get("/")
            .status(500)
            .log("socket() failed (24: Too many open files) while connecting to upstream");
        let seen = trace.finish()?;
        seen.failure("fd-limit").confidence(Proven | Likely).phase("connect").status(500).errno(24);
        seen.nothing_else();
        Ok(())
    }),
    ("worker-connections/too-few", |lab| {
        let world = lab.world().upstream(V4).config(|config| config.connections = 3).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(500).log("3 worker_connections are not enough while connecting to upstream");
        let seen = trace.finish()?;
        seen.failure("worker-connections").status(500);
        seen.nothing_else();
        Ok(())
    }),
    ("misconfigured/datagram-socket", |lab| {
        let world = lab.world().upstream("unix:app.sock").start()?;
        let _origin = UnixDatagram::bind(world.folder().join("app.sock"))?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("failed (91: Protocol wrong type for socket)");
        let seen = trace.finish()?;
        let failure = seen.failure("misconfigured").confidence(Proven | Likely);
        failure.upstream(&world.unix("app.sock")).phase("connect").status(502).errno(91);
        seen.nothing_else();
        Ok(())
    }),
    ("no-live-upstreams/all-refused", |lab| {
        let world = lab.world().upstream(V4).upstream("10.99.0.2:8082").start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        world.get("/").status(502).log("no live upstreams while connecting to upstream");
        let seen = trace.finish()?;
        seen.failures(2, "port-refused", |failure| drop(failure.phase("connect").status(502)));
        let failure = seen.failure("no-live-upstreams").status(502);
        if let Some(object) = failure.object() {
            let because = object["because"].to_string();
            lab.check(because.contains("port-refused"), || format!("no-live-upstreams because {because}"));
        }
        seen.nothing_else();
        Ok(())
    }),
];

fn denied(world: &World<'_>) -> Result<()> {
    let trace = world.trace(&[])?;
    world.get("/").status(502).log("failed (13: Permission denied) while connecting to upstream");
    let seen = trace.finish()?;
    let failure = seen.failure("connect-denied").confidence(Proven | Likely).transport("unix");
    failure.phase("connect").status(502).errno(13);
    seen.nothing_else();
    Ok(())
}

/// Very few ports, held by another program.
fn exhausted(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::silent())?;
    world.ng().sysctl("ipv4/ip_local_port_range", "40000 40002")?;
    let _held =
        world.ng().run(|| Ok((0..4).map_while(|_| TcpStream::connect(upstream).ok()).collect::<Vec<_>>()))?;
    let trace = world.trace(&[])?;
    let says = format!("connect() to {upstream} failed (99: Cannot assign requested address)");
    world.get("/").status(502).log(&says);
    let seen = trace.finish()?;
    let failure = seen.failure("ports-exhausted").confidence(Proven | Likely).upstream(upstream);
    failure.phase("connect").status(502).errno(99);
    seen.nothing_else();
    Ok(())
}

fn free_descriptors(pid: u32) -> impl Iterator<Item = usize> {
    (0..4096).filter(move |number| fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_err())
}
