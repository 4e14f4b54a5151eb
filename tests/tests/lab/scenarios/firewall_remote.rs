//! A firewall at the origin, or on a router between, that this kernel does not see.

use anyhow::Result;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::wire::{Lose, Wire};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario};

/// At the other end of a wire that leaves this kernel.
const V4: &str = "10.95.0.2:8081";
const V6: &str = "[fd95::2]:8081";
const CONNECTING: &str = "upstream timed out (110: Connection timed out) while connecting to upstream";
const DENIED: (&str, i32) = ("connect() failed (13: Permission denied) while connecting to upstream", 13);
const REFUSED: (&str, i32) = ("connect() failed (111: Connection refused) while connecting to upstream", 111);
const UNREACHABLE: (&str, i32) =
    ("connect() failed (113: No route to host) while connecting to upstream", 113);

pub(crate) const ALL: &[Scenario] = &[
    ("firewall-reject-remote/port4", |lab| rejects(lab, V4, Lose::RejectPort, REFUSED, "10.95.0.2")),
    ("firewall-reject-remote/admin4", |lab| rejects(lab, V4, Lose::RejectAdmin, UNREACHABLE, "10.95.0.2")),
    ("firewall-reject-remote/host4", |lab| rejects(lab, V4, Lose::RejectHost, UNREACHABLE, "10.95.0.2")),
    ("firewall-reject-remote/router-admin4", |lab| {
        rejects(lab, V4, Lose::RejectByRouter, UNREACHABLE, "10.95.0.254")
    }),
    ("firewall-reject-remote/port6", |lab| rejects(lab, V6, Lose::RejectPort, REFUSED, "")),
    ("firewall-reject-remote/admin6", |lab| rejects(lab, V6, Lose::RejectAdmin, DENIED, "")),
    // A rule of this kernel lets only the first SYN not pass; who rejects the next one is far away.
    ("firewall-reject-remote/behind-a-rule-that-drops-once", |lab| {
        let world = lab.world().upstream(V4).connect_timeout("5s").start()?;
        let wire = Wire::lay(world.ng(), world.up())?;
        wire.lose(Lose::RejectAdmin)?;
        let once = "tcp dport 8081 quota 80 bytes counter drop";
        let firewall = Firewall::nft(&world, world.ng(), "output", once)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log(UNREACHABLE.0);
        firewall.was_hit();
        let seen = trace.finish()?;
        let failure = seen.failure("firewall-reject-remote").confidence(Proven | Likely).upstream(V4);
        failure.phase("connect").status(502).errno(113);
        seen.nothing_else();
        Ok(())
    }),
    // From nginx's host a reset of a firewall looks like that of a closed port: it must not be called proven.
    ("firewall-reject-remote/reset-is-not-proof", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let wire = Wire::lay(world.ng(), world.up())?;
        wire.lose(Lose::RejectReset)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log(REFUSED.0);
        let seen = trace.finish()?;
        let failure =
            seen.failure_of(&["port-refused", "firewall-reject-remote"]).confidence(Likely | Possible);
        failure.upstream(V4).phase("connect").status(502).errno(111).evidence("reset");
        seen.nothing_else();
        Ok(())
    }),
    ("firewall-drop-remote/tcp4", |lab| drops(lab, V4)),
    ("firewall-drop-remote/tcp6", |lab| drops(lab, V6)),
];

fn rejects(lab: &Lab, upstream: &str, how: Lose, (says, errno): (&str, i32), from: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let wire = Wire::lay(world.ng(), world.up())?;
    wire.lose(how)?;
    let trace = world.trace(&[])?;
    world.get("/").status(502).log(says);
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
