//! `--depth auto`, and what comes after its first look: nobody watches sends and receives when the first fault comes, and
//! the verdict must hold all the same. The second is watched.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::{Ending, Script, Shows, Step};
use upstream_trace_tests::seen::Seen;
use upstream_trace_tests::trace::Trace;
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const TLS: &str = "10.99.0.2:8443";
const UNIX: &str = "unix:app.sock";
/// Longer than the first look, which takes 5 s.
const LOOK: Duration = Duration::from_millis(6500);
const READING: &str = "while reading response header from upstream";

pub(crate) const ALL: &[Scenario] = &[
    ("late/port-refused", |lab| twice(lab, V4, None, 502, "port-refused")),
    ("late/socket-missing", |lab| twice(lab, UNIX, None, 502, "socket-missing")),
    ("late/firewall-drop-local", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let trace = quiet(&world, &[])?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8081 counter drop")?;
        for _ in 0..2 {
            world.get("/").status(504).log("while connecting to upstream");
        }
        firewall.was_hit();
        let seen = trace.finish()?;
        seen.failures(2, "firewall-drop-local", |failure| {
            drop(failure.confidence(Proven | Likely).phase("connect").status(504));
        });
        ends(lab, &seen);
        Ok(())
    }),
    ("late/slow-response", |lab| twice(lab, V4, Some(Script::silent()), 504, "slow-response")),
    ("late/slow-response-unix", |lab| twice(lab, UNIX, Some(Script::silent()), 504, "slow-response")),
    ("late/premature-close", |lab| twice(lab, V4, Some(Script::read_then_fin()), 502, "premature-close")),
    ("late/premature-close-unix", |lab| {
        twice(lab, UNIX, Some(Script::read_then_fin()), 502, "premature-close")
    }),
    ("late/reset-by-backend", |lab| twice(lab, V4, Some(Script::read_then_rst()), 502, "reset-by-backend")),
    ("late/without-a-log", |lab| {
        for (script, status, cause) in [
            (Script::silent(), 504, "slow-response"),
            (Script::read_then_fin(), 502, "premature-close"),
            (Script::read_then_rst(), 502, "reset-by-backend"),
        ] {
            let world = lab.world().upstream(V4).start()?;
            let _origin = world.origin(V4, script)?;
            let trace = quiet(&world, &["--error-log", "none"])?;
            world.get("/").status(status);
            let seen = trace.finish()?;
            seen.failure(cause).confidence(Proven | Likely | Possible).status(status).phase("wait");
            ends(lab, &seen);
        }
        Ok(())
    }),
    ("late/stale-keepalive-fin", |lab| stale(lab, Ending::Fin, ("GET", 200))),
    ("late/stale-keepalive-fin-post", |lab| stale(lab, Ending::Fin, ("POST", 502))),
    ("late/stale-keepalive-rst", |lab| stale(lab, Ending::Rst, ("GET", 200))),
    ("late/tls-refused", |lab| {
        let location = "proxy_pass https://origin; proxy_ssl_protocols TLSv1.2;";
        let world = lab.world().upstream(TLS).location(location).certificate(Shows::Valid).start()?;
        let _origin = world.tls_origin(TLS, "-www -tls1_3")?;
        let trace = quiet(&world, &[])?;
        for _ in 0..2 {
            world.get("/").status(502).log("alert protocol version");
        }
        let seen = trace.finish()?;
        seen.failures(2, "tls-handshake-failed", |failure| drop(failure.phase("tls").status(502)));
        ends(lab, &seen);
        Ok(())
    }),
    ("late/tls-silent-handshake", |lab| {
        let world = lab.world().upstream(TLS).location("proxy_pass https://origin;").start()?;
        let _origin = world.origin(TLS, Script::new(vec![Step::Bytes, Step::UntilClosed]))?;
        let trace = quiet(&world, &[])?;
        for _ in 0..2 {
            world.get("/").status(504).log("while SSL handshaking to upstream");
        }
        let seen = trace.finish()?;
        seen.failures(2, "slow-tls-handshake", |failure| drop(failure.phase("tls").status(504)));
        ends(lab, &seen);
        Ok(())
    }),
    ("late/tls-slow-response", |lab| {
        let location = "proxy_pass https://origin; proxy_ssl_protocols TLSv1.2 TLSv1.3;";
        let world = lab.world().upstream(TLS).location(location).certificate(Shows::Valid).start()?;
        let _origin = world.tls_origin(TLS, "-tls1_3")?;
        let trace = quiet(&world, &[])?;
        world.get("/").status(504).log(READING);
        let seen = trace.finish()?;
        // The origin may answer nginx's goodbye before the socket is read: then nothing tells of the silence.
        seen.failure_of(&["slow-response", "unknown"]).status(504);
        ends(lab, &seen);
        Ok(())
    }),
    ("late/nothing-wrong", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let origin = world.origin(V4, Script::answer(10))?;
        let trace = quiet(&world, &[])?;
        for _ in 0..3 {
            world.get("/").status(200);
        }
        for ending in [Ending::Fin, Ending::Rst] {
            world.get("/").status(200);
            origin.close_connections(ending)?;
            world.pause(ms(200));
        }
        world.get("/").status(200);
        world.nginx_is_silent();
        let seen = trace.finish()?;
        seen.nothing_at_all();
        ends(lab, &seen);
        Ok(())
    }),
];

/// A trace in `auto` whose first look is over.
fn quiet<'lab>(world: &'lab World<'lab>, args: &[&str]) -> Result<Trace<'lab>> {
    let trace = world.trace(&[&["--depth=auto"], args].concat())?;
    world.pause(LOOK);
    Ok(trace)
}

/// Nothing else was said, and for a while nobody watched.
fn ends(lab: &Lab, seen: &Seen<'_>) {
    seen.nothing_else();
    let summary = seen.summary();
    let (deep, all) = (&summary["deep_ms"], &summary["duration_ms"]);
    let was_away = deep.as_f64().zip(all.as_f64()).is_none_or(|(deep, all)| deep < all - 1_000.0);
    lab.check(was_away, || format!("watched for {deep} of {all} ms"));
}

/// The same fault twice.
fn twice(lab: &Lab, upstream: &str, script: Option<Script>, status: u16, cause: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = script.map(|script| world.origin(upstream, script)).transpose()?;
    let trace = quiet(&world, &[])?;
    for _ in 0..2 {
        world.get("/").status(status);
    }
    let seen = trace.finish()?;
    seen.failures(2, cause, |failure| {
        let failure = failure.confidence(Proven | Likely | Possible).upstream(&world.address(upstream));
        drop(failure.status(status).recovered(false).reused(false));
    });
    ends(lab, &seen);
    Ok(())
}

/// A stopped worker finds, when it goes on, the request before the end of the pooled connection that it is sent on.
fn stale(lab: &Lab, ending: Ending, (method, status): (&str, u16)) -> Result<()> {
    let world = lab.world().upstream(V4).keepalive(4).start()?;
    let origin = world.origin(V4, Script::answer(10))?;
    let trace = quiet(&world, &[])?;
    let mut client = world.connect()?;
    client.send("GET", "/", &[], true)?;
    world.answer(client.receive()).status(200);
    let worker = world.nginx().worker()?;
    world.pause(ms(50));
    signal(worker, Signal::SIGSTOP)?;
    let closed = client.send(method, "/", &[], true).and_then(|()| {
        world.pause(ms(50));
        origin.close_connections(ending)
    });
    world.pause(ms(50));
    signal(worker, Signal::SIGCONT)?;
    closed?;
    world.answer(client.receive()).status(status);
    let seen = trace.finish()?;
    let failure = seen.failure("stale-keepalive").upstream(V4).reused(true);
    drop(failure.confidence(Proven | Likely | Possible).recovered(status == 200));
    ends(lab, &seen);
    Ok(())
}
