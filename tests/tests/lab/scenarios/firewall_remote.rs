//! A firewall at the origin, or on a router between.

use anyhow::Result;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::util::ms;
use upstream_trace_tests::wire::{Lose, Wire};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario};

const V4: &str = "10.99.0.2:8081";
const V6: &str = "[fd99::2]:8081";
const ROUTED4: &str = "10.97.0.2:8081";
const ROUTED6: &str = "[fd97::2]:8081";
const CONNECTING: &str = "upstream timed out (110: Connection timed out) while connecting to upstream";
const DENIED: (&str, i32) = ("connect() failed (13: Permission denied) while connecting to upstream", 13);
const REFUSED: (&str, i32) = ("connect() failed (111: Connection refused) while connecting to upstream", 111);
const UNREACHABLE: (&str, i32) =
    ("connect() failed (113: No route to host) while connecting to upstream", 113);

pub(crate) const ALL: &[Scenario] = &[
    ("firewall-reject-remote/port4", |lab| rejects(lab, V4, "reject", REFUSED, "10.99.0.2")),
    ("firewall-reject-remote/admin4", |lab| {
        rejects(lab, V4, "reject with icmp type admin-prohibited", UNREACHABLE, "10.99.0.2")
    }),
    ("firewall-reject-remote/host4", |lab| {
        rejects(lab, V4, "reject with icmp type host-prohibited", UNREACHABLE, "10.99.0.2")
    }),
    ("firewall-reject-remote/port6", |lab| rejects(lab, V6, "reject", REFUSED, "")),
    ("firewall-reject-remote/admin6", |lab| {
        rejects(lab, V6, "reject with icmpv6 type admin-prohibited", DENIED, "")
    }),
    ("firewall-reject-remote/router-admin4", |lab| {
        rejects(lab, ROUTED4, "reject with icmp type admin-prohibited", UNREACHABLE, "10.98.0.254")
    }),
    ("firewall-reject-remote/router-port4", |lab| rejects(lab, ROUTED4, "reject", REFUSED, "10.98.0.254")),
    ("firewall-reject-remote/router-admin6", |lab| {
        rejects(lab, ROUTED6, "reject with icmpv6 type admin-prohibited", DENIED, "")
    }),
    // What was sent first waited for the neighbour; that is not why it failed.
    ("firewall-reject-remote/after-slow-neighbour6", |lab| {
        let world = lab.world().upstream(V6).connect_timeout("5s").start()?;
        let firewall = Firewall::nft(&world, world.up(), "input", "tcp dport 8081 counter reject")?;
        let quiet = "table ip6 quiet {\nchain input {\ntype filter hook input priority 0\n\
                     icmpv6 type nd-neighbor-solicit drop\n}\n}";
        world.ng().command("ip neigh flush dev eth0")?;
        world.up().script(&format!("nft -f - <<'END'\n{quiet}\nEND"))?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(1300));
        world.up().command("nft delete table ip6 quiet")?;
        world.answer(client.receive()).status(502).log(REFUSED.0);
        firewall.was_hit();
        let seen = trace.finish()?;
        let failure = seen.failure("firewall-reject-remote").confidence(Proven | Likely).upstream(V6);
        failure.phase("connect").status(502).errno(111);
        seen.nothing_else();
        Ok(())
    }),
    // From nginx's host a reset of a firewall looks like that of a closed port: it must not be called proven.
    ("firewall-reject-remote/reset-is-not-proof", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let firewall =
            Firewall::nft(&world, world.up(), "input", "tcp dport 8081 counter reject with tcp reset")?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log(REFUSED.0);
        firewall.was_hit();
        let seen = trace.finish()?;
        let failure =
            seen.failure_of(&["port-refused", "firewall-reject-remote"]).confidence(Likely | Possible);
        failure.upstream(V4).phase("connect").status(502).errno(111).evidence("reset");
        seen.nothing_else();
        Ok(())
    }),
    ("firewall-drop-remote/tcp4", |lab| drops(lab, "10.95.0.2:8081")),
    ("firewall-drop-remote/tcp6", |lab| drops(lab, "[fd95::2]:8081")),
];

fn rejects(lab: &Lab, upstream: &str, how: &str, (says, errno): (&str, i32), from: &str) -> Result<()> {
    let routed = [ROUTED4, ROUTED6].contains(&upstream);
    let world = lab.world().upstream(upstream);
    let world = if routed { world.router() } else { world }.start()?;
    let _origin = world.origin(upstream, Script::answer(10))?;
    let (place, hook) = if routed { (world.router()?, "forward") } else { (world.up(), "input") };
    let firewall = Firewall::nft(&world, place, hook, &format!("tcp dport 8081 counter {how}"))?;
    let trace = world.trace(&[])?;
    world.get("/").status(502).log(says);
    firewall.was_hit();
    let seen = trace.finish()?;
    let failure = seen.failure("firewall-reject-remote").confidence(Proven | Likely).upstream(upstream);
    let failure = failure.phase("connect").status(502).errno(errno);
    // The kernel keeps no trace of the sender of an ICMPv6 error.
    if !from.is_empty() {
        failure.evidence("icmp").evidence_says(from);
    }
    seen.nothing_else();
    Ok(())
}

fn drops(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let wire = Wire::lay(world.ng(), world.up())?;
    wire.lose(Lose::Everything)?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(CONNECTING);
    let seen = trace.finish()?;
    let failure = seen.failure("firewall-drop-remote").confidence(Likely | Possible).upstream(upstream);
    failure.phase("connect").status(504).evidence("retransmit");
    seen.nothing_else();
    Ok(())
}
