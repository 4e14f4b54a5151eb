//! Names.

use std::net::Ipv4Addr;

use anyhow::Result;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::{Dns, Says, Script};
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Lab, Likely, Proven, Scenario, World};

const RESOLVER: &str = "127.0.0.1:5353";
const ORIGIN: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const TIMED_OUT: &str = "app.lab.test could not be resolved (110: Operation timed out)";
/// With nginx's words and without.
const WAYS: [&[&str]; 2] = [&[], &["--error-log", "none"]];

pub(crate) const ALL: &[Scenario] = &[
    ("dns-failure/no-such-name", |lab| {
        fails(lab, 3, "app.lab.test could not be resolved (3: Host not found)", "NXDOMAIN")
    }),
    ("dns-failure/server-failure", |lab| {
        fails(lab, 2, "app.lab.test could not be resolved (2: Server failure)", "SERVFAIL")
    }),
    ("dns-failure/refused", |lab| {
        fails(lab, 5, "app.lab.test could not be resolved (5: Operation refused)", "REFUSED")
    }),
    ("dns-failure/no-address", |lab| {
        // For nginx a name without an address does not exist.
        let world = asking(lab, "")?;
        let _server = Dns::start(world.ng(), RESOLVER, Says::Error(0))?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("app.lab.test could not be resolved (3: Host not found)");
        let seen = trace.finish()?;
        let failure = seen.failure("dns-failure").confidence(Proven).upstream(RESOLVER).status(502);
        failure.phase("resolve").evidence("query-sent").evidence_says("AAAA").evidence_says("NOERROR");
        seen.nothing_else();
        Ok(())
    }),
    ("dns-failure/nobody-listens", |lab| {
        let world = world(lab)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("recv() failed (111: Connection refused) while resolving");
        world.nginx_says(TIMED_OUT);
        let seen = trace.finish()?;
        seen.pending("dns-failure").phase("resolve").upstream(RESOLVER);
        let failure = seen.failure("dns-failure").confidence(Proven).upstream(RESOLVER);
        failure.phase("resolve").status(502).joined(TIMED_OUT).evidence_says("ECONNREFUSED");
        seen.nothing_else();
        Ok(())
    }),
    ("dns-failure/local-firewall", |lab| {
        let world = world(lab)?;
        let _server = Dns::start(world.ng(), RESOLVER, Says::Address(ORIGIN))?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "udp dport 5353 counter drop")?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log("send() failed (1: Operation not permitted) while resolving");
        firewall.was_hit();
        let seen = trace.finish()?;
        let failure = seen.failure("dns-failure").confidence(Proven).upstream(RESOLVER).status(502);
        failure.phase("resolve").evidence("send-error").evidence_says("EPERM");
        seen.nothing_else();
        Ok(())
    }),
    ("dns-failure/answers-that-nginx-drops", |lab| {
        for (says, words, why) in [
            (Says::Error(1), "DNS error (1: Format error)", "FORMERR"),
            (Says::Misnumbered(ORIGIN), "wrong ident", "another number than the question"),
            (Says::Useless, "unexpected RR type 16", "no address in it"),
        ] {
            let world = world(lab)?;
            let _server = Dns::start(world.ng(), RESOLVER, says)?;
            let trace = world.trace(&[])?;
            world.get("/").status(502).log(words);
            if says == Says::Useless {
                // nginx makes that a failure at once, or waits for a better answer, by its version.
                world.nginx_says("app.lab.test could not be resolved");
            } else {
                world.nginx_says(TIMED_OUT);
            }
            let seen = trace.finish()?;
            let failure = seen.failure("dns-failure").confidence(Proven).upstream(RESOLVER).status(502);
            failure.phase("resolve").evidence("answer-ignored").evidence_says(why);
            seen.nothing_else();
        }
        Ok(())
    }),
    ("dns-timeout/silence", |lab| {
        let world = world(lab)?;
        let _server = Dns::start(world.ng(), RESOLVER, Says::Nothing)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log(TIMED_OUT);
        let seen = trace.finish()?;
        let pending = seen.pending("dns-timeout").upstream(RESOLVER).phase("resolve");
        pending.evidence("query-sent").evidence("no-answer");
        let failure = seen.failure("dns-timeout").confidence(Proven).upstream(RESOLVER).joined(TIMED_OUT);
        failure.phase("resolve").status(502).lasted(1500.0..=4000.0).transport("udp").evidence("no-answer");
        seen.nothing_else();
        Ok(())
    }),
    ("dns-timeout/one-lookup-several-requests", |lab| {
        let world = world(lab)?;
        let _server = Dns::start(world.ng(), RESOLVER, Says::Nothing)?;
        let trace = world.trace(&[])?;
        let mut clients = (0..3).map(|_| world.begin("GET", "/", &[])).collect::<Result<Vec<_>>>()?;
        for client in &mut clients {
            world.answer(client.receive()).status(502).log(TIMED_OUT);
        }
        let seen = trace.finish()?;
        seen.failures(3, "dns-timeout", |failure| {
            failure.confidence(Proven).upstream(RESOLVER).phase("resolve").joined(TIMED_OUT);
        });
        seen.nothing_else();
        Ok(())
    }),
    ("dns-timeout/without-log", |lab| {
        let world = world(lab)?;
        let _server = Dns::start(world.ng(), RESOLVER, Says::Nothing)?;
        let trace = world.trace(&["--error-log", "none"])?;
        world.get("/").status(502);
        // That nginx asks no more is seen after five seconds and a little.
        world.pause(ms(6000));
        let seen = trace.finish()?;
        let failure = seen.failure("dns-timeout").confidence(Likely).upstream(RESOLVER).status(502);
        failure.phase("resolve").evidence("no-answer");
        seen.nothing_else();
        Ok(())
    }),
    ("dns-failure/two-names-two-ways", |lab| {
        let resolver = "resolver 127.0.0.1:5353 ipv6=off; resolver_timeout 2s;";
        let other = "location /other { resolver 127.0.0.1:5354 ipv6=off; resolver_timeout 1s; \
                     set $b other.lab.test; proxy_pass http://$b:8081; }";
        let world =
            lab.world().location(resolver).location("set $a app.lab.test; proxy_pass http://$a:8081;");
        let world = world.config(|config| config.server.push(other.into())).start()?;
        let _silent = Dns::start(world.ng(), RESOLVER, Says::Nothing)?;
        let _refuses = Dns::start(world.ng(), "127.0.0.1:5354", Says::Error(5))?;
        let trace = world.trace(&[])?;
        let mut waits = world.begin("GET", "/", &[])?;
        world.get("/other").status(502);
        world.answer(waits.receive()).status(502);
        let seen = trace.finish()?;
        let refused = seen.failure("dns-failure").confidence(Proven).upstream("127.0.0.1:5354");
        refused.joined("other.lab.test").evidence_says("REFUSED");
        let silent = seen.failure("dns-timeout").confidence(Proven).upstream(RESOLVER);
        silent.joined("app.lab.test").evidence("no-answer");
        seen.nothing_else();
        Ok(())
    }),
    ("healthy/resolver-traffic", |lab| resolves(lab, Says::Address(ORIGIN), "ipv6=off")),
    ("healthy/resolver-both-families", |lab| resolves(lab, Says::Address(ORIGIN), "")),
    ("healthy/resolver-over-tcp", |lab| resolves(lab, Says::OverTcp(ORIGIN), "ipv6=off")),
    // Both questions go out in one send.
    ("healthy/resolver-over-tcp-both-families", |lab| resolves(lab, Says::OverTcp(ORIGIN), "")),
];

fn world(lab: &Lab) -> Result<World<'_>> {
    asking(lab, "ipv6=off")
}

fn asking<'lab>(lab: &'lab Lab, families: &str) -> Result<World<'lab>> {
    let resolver = format!("resolver {RESOLVER} {families} valid=1s; resolver_timeout 2s;");
    lab.world().location(&resolver).location("set $app app.lab.test; proxy_pass http://$app:8081;").start()
}

fn fails(lab: &Lab, code: u8, says: &str, name: &str) -> Result<()> {
    for args in WAYS {
        let world = world(lab)?;
        let _server = Dns::start(world.ng(), RESOLVER, Says::Error(code))?;
        let trace = world.trace(args)?;
        world.get("/").status(502).log(says);
        let seen = trace.finish()?;
        let failure = seen.failure("dns-failure").confidence(Proven).upstream(RESOLVER).status(502);
        failure
            .phase("resolve")
            .transport("udp")
            .evidence("query-sent")
            .evidence("answer")
            .evidence_says(name);
        seen.nothing_else();
    }
    Ok(())
}

fn resolves(lab: &Lab, says: Says, families: &str) -> Result<()> {
    let world = asking(lab, families)?;
    let _server = Dns::start(world.ng(), RESOLVER, says)?;
    let _origin = world.origin("10.99.0.2:8081", Script::answer(10))?;
    let trace = world.trace(&[])?;
    for _ in 0..5 {
        world.get("/").status(200).body(10);
    }
    world.nginx_is_silent();
    let seen = trace.finish()?;
    seen.nothing_at_all();
    Ok(())
}
