//! Nothing listens.

use std::fs;

use anyhow::Result;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Lab, Likely, Proven, Scenario};

pub(crate) const ALL: &[Scenario] = &[
    ("port-refused/tcp4", |lab| port(lab, "10.99.0.2:8081")),
    ("port-refused/tcp6", |lab| port(lab, "[fd99::2]:8081")),
    ("port-refused/loopback4", |lab| port(lab, "127.0.0.1:8081")),
    ("port-refused/loopback6", |lab| port(lab, "[::1]:8081")),
    ("port-refused/service-stops", |lab| {
        let world = lab.world().upstream("10.99.0.2:8081").start()?;
        let origin = world.origin("10.99.0.2:8081", Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        world.stop(origin)?;
        world.get("/").status(502);
        world.nginx_says("connect() failed (111: Connection refused)");
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream("10.99.0.2:8081").evidence("reset");
        seen.nothing_else();
        Ok(())
    }),
    // What was sent first waited for the neighbour; that is not why it failed.
    ("port-refused/after-slow-neighbour4", |lab| {
        let silence = "table arp lab {\nchain input {\ntype filter hook input priority 0\narp operation request drop\n}\n}";
        after_slow_neighbour(lab, "10.99.0.2:8081", silence)
    }),
    ("port-refused/after-slow-neighbour6", |lab| {
        let silence = "table ip6 lab {\nchain input {\ntype filter hook input priority 0\n\
                       icmpv6 type nd-neighbor-solicit drop\n}\n}";
        after_slow_neighbour(lab, "[fd99::2]:8081", silence)
    }),
    ("socket-missing/unix", |lab| {
        let world = lab.world().upstream("unix:app.sock").start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("failed (2: No such file or directory)");
        let seen = trace.finish()?;
        let failure = seen.failure("socket-missing").confidence(Proven).upstream(&world.unix("app.sock"));
        failure.transport("unix").phase("connect").status(502).errno(2);
        seen.nothing_else();
        Ok(())
    }),
    ("socket-refused/unix-stale-file", |lab| {
        let world = lab.world().upstream("unix:app.sock").start()?;
        let origin = world.origin("unix:app.sock", Script::answer(10))?;
        world.stop(origin)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("failed (111: Connection refused)");
        let seen = trace.finish()?;
        let failure =
            seen.failure("socket-refused").confidence(Proven | Likely).upstream(&world.unix("app.sock"));
        failure.transport("unix").phase("connect").status(502).errno(111);
        seen.nothing_else();
        Ok(())
    }),
    ("socket-refused/unix-ordinary-file", |lab| {
        let world = lab.world().upstream("unix:app.sock").start()?;
        fs::write(world.folder().join("app.sock"), "no socket")?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("failed (111: Connection refused)");
        let seen = trace.finish()?;
        seen.failure_of(&["socket-refused", "misconfigured"]).upstream(&world.unix("app.sock"));
        seen.nothing_else();
        Ok(())
    }),
];

fn port(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let trace = world.trace(&[])?;
    world.get("/").status(502).log("connect() failed (111: Connection refused)");
    let seen = trace.finish()?;
    let failure =
        seen.failure("port-refused").confidence(Proven | Likely).upstream(upstream).transport("tcp");
    let failure = failure.phase("connect").status(502).errno(111).recovered(false).reused(false);
    failure.evidence("reset");
    seen.nothing_else();
    Ok(())
}

fn after_slow_neighbour(lab: &Lab, upstream: &str, silence: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).connect_timeout("5s").start()?;
    world.ng().command("ip neigh flush dev eth0")?;
    world.up().script(&format!("nft -f - <<'END'\n{silence}\nEND"))?;
    let trace = world.trace(&[])?;
    let mut client = world.begin("GET", "/", &[])?;
    world.pause(ms(1300));
    world.up().command("nft flush ruleset")?;
    let reply = client.receive();
    lab.check(reply.took > ms(300), || format!("the neighbour was not slow: {reply:?}"));
    world.answer(reply).status(502).log("connect() failed (111: Connection refused)");
    let seen = trace.finish()?;
    let failure = seen.failure("port-refused").confidence(Proven | Likely).upstream(upstream);
    failure.phase("connect").status(502).errno(111).evidence("reset");
    seen.nothing_else();
    Ok(())
}
