//! Names.

use std::net::Ipv4Addr;

use anyhow::Result;
use upstream_trace_tests::origin::{Dns, Says, Script};
use upstream_trace_tests::{Lab, Likely, Proven, Scenario, World};

const RESOLVER: &str = "127.0.0.1:5353";

pub(crate) const ALL: &[Scenario] = &[
    ("dns-failure/no-such-name", |lab| {
        fails(lab, 3, "app.lab.test could not be resolved (3: Host not found)")
    }),
    ("dns-failure/server-failure", |lab| {
        fails(lab, 2, "app.lab.test could not be resolved (2: Server failure)")
    }),
    ("dns-failure/refused", |lab| fails(lab, 5, "app.lab.test could not be resolved (5: Operation refused)")),
    ("dns-failure/nobody-listens", |lab| {
        let world = world(lab)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("recv() failed (111: Connection refused) while resolving");
        world.nginx_says("app.lab.test could not be resolved (110: Operation timed out)");
        let seen = trace.finish()?;
        let failure = seen.failure("dns-failure").confidence(Proven | Likely).upstream(RESOLVER);
        failure.phase("resolve").status(502);
        seen.nothing_else();
        Ok(())
    }),
    ("dns-timeout/silence", |lab| {
        let world = world(lab)?;
        let _server = Dns::start(world.ng(), RESOLVER, Says::Nothing)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("app.lab.test could not be resolved (110: Operation timed out)");
        let seen = trace.finish()?;
        let failure = seen.failure("dns-timeout").confidence(Proven | Likely).upstream(RESOLVER);
        failure.phase("resolve").status(502);
        seen.nothing_else();
        Ok(())
    }),
    ("healthy/resolver-traffic", |lab| {
        let world = world(lab)?;
        let _server = Dns::start(world.ng(), RESOLVER, Says::Address(Ipv4Addr::new(10, 99, 0, 2)))?;
        let _origin = world.origin("10.99.0.2:8081", Script::answer(10))?;
        let trace = world.trace(&[])?;
        for _ in 0..5 {
            world.get("/").status(200).body(10);
        }
        world.nginx_is_silent();
        let seen = trace.finish()?;
        seen.nothing_at_all();
        Ok(())
    }),
];

fn world(lab: &Lab) -> Result<World<'_>> {
    let resolver = format!("resolver {RESOLVER} ipv6=off valid=1s; resolver_timeout 2s;");
    lab.world().location(&resolver).location("set $app app.lab.test; proxy_pass http://$app:8081;").start()
}

fn fails(lab: &Lab, code: u8, says: &str) -> Result<()> {
    let world = world(lab)?;
    let _server = Dns::start(world.ng(), RESOLVER, Says::Error(code))?;
    let trace = world.trace(&[])?;
    world.get("/").status(502).log(says);
    let seen = trace.finish()?;
    let failure = seen.failure("dns-failure").confidence(Proven | Likely).upstream(RESOLVER);
    failure.phase("resolve").status(502);
    seen.nothing_else();
    Ok(())
}
