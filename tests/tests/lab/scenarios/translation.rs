//! Address translation of this kernel that fails.

use anyhow::Result;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::{Script, Step};
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Lab, Likely, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const OTHER: &str = "10.99.0.2:8082";

pub(crate) const ALL: &[Scenario] = &[
    // Its SYNs made an entry before the rule came, and stay as they are; those that came later pass.
    ("nat-failed/entry-older-than-the-rule", |lab| {
        let world = lab.world().upstream(V4).connect_timeout("4s").start()?;
        let _origin = world.origin(OTHER, Script::answer(10))?;
        let _silent = Firewall::nft(&world, world.up(), "input", "tcp dport 8081 counter drop")?;
        let track = "chain out {\ntype filter hook output priority 0\nct state new accept\n}";
        world.ng().script(&format!("nft -f - <<'END'\ntable inet track {{\n{track}\n}}\nEND"))?;
        let trace = world.trace(&[])?;
        let mut stuck = world.begin("GET", "/", &[])?;
        world.pause(ms(400));
        send_to_port(&world, 8082)?;
        world.get("/").status(200);
        world.answer(stuck.receive()).status(504);
        let seen = trace.finish()?;
        // It is judged by what happens where it still goes: a firewall of this kernel drops it there.
        let failure = seen.failure("firewall-drop-local").confidence(Proven).upstream(V4);
        failure.phase("connect").status(504);
        seen.nothing_else();
        Ok(())
    }),
    ("nat-failed/no-port-left", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::silent())?;
        translate(&world, "2000-2001")?;
        let trace = world.trace(&[])?;
        let mut clients = (0..3).map(|_| world.begin("GET", "/", &[])).collect::<Result<Vec<_>>>()?;
        for client in &mut clients {
            world.answer(client.receive()).status(504);
        }
        let seen = trace.finish()?;
        seen.failures(2, "slow-response", |failure| {
            failure.upstream(V4).phase("wait");
        });
        let failure = seen.failure("nat-failed").confidence(Proven | Likely).upstream(V4);
        failure.phase("connect").status(504).evidence("dropped");
        seen.nothing_else();
        Ok(())
    }),
    // The trap beside: a range that is large enough.
    ("nat-failed/ports-left", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        translate(&world, "2000-2999")?;
        let trace = world.trace(&[])?;
        for _ in 0..5 {
            world.get("/").status(200);
        }
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    // The table is flushed while the origin works, and while it answers.
    ("nat-failed/entry-deleted-while-nginx-waits", |lab| {
        let script = vec![Step::Request, Step::Sleep(ms(900)), Step::Send(answer())];
        deleted(lab, Script::new(script), "wait", Some(504))
    }),
    ("nat-failed/entry-deleted-under-a-download", |lab| {
        let begin = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nbegin".to_vec();
        let rest = Step::Send(vec![b'x'; 4000]);
        let script = vec![Step::Request, Step::Send(begin), Step::Sleep(ms(900)), rest];
        deleted(lab, Script::new(script), "receive", None)
    }),
    // The trap beside: nothing is sent while no entry is there, and the next packet makes one.
    ("healthy/entry-deleted-and-made-again", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let _origin = world.origin(OTHER, Script::answer(10))?;
        send_to_port(&world, 8082)?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        forget(&world)?;
        world.get("/").status(200);
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
];

fn answer() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
}

/// The kernel forgets the translation of a connection, and takes what comes next for nothing that it knows.
fn deleted(lab: &Lab, script: Script, phase: &str, status: Option<u16>) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let _origin = world.origin(OTHER, script)?;
    send_to_port(&world, 8082)?;
    world.ng().sysctl("netfilter/nf_conntrack_tcp_loose", "0")?;
    let trace = world.trace(&[])?;
    let mut client = world.begin("GET", "/", &[])?;
    world.pause(ms(400));
    forget(&world)?;
    world.answer(client.receive()).status(status.unwrap_or(200)).log("upstream timed out");
    let seen = trace.finish()?;
    let failure = seen.failure("nat-failed").confidence(Proven | Likely).upstream(V4).phase(phase);
    if let Some(status) = status {
        failure.status(status);
    }
    seen.nothing_else();
    Ok(())
}

fn forget(world: &World<'_>) -> Result<()> {
    world.ng().command("conntrack -F").map(drop)
}

/// What nginx sends to port 8081 goes to another.
pub(super) fn send_to_port(world: &World<'_>, port: u16) -> Result<()> {
    let chain =
        format!("chain out {{ type nat hook output priority -100; tcp dport 8081 dnat to :{port}; }}");
    world.ng().script(&format!("nft -f - <<'END'\ntable ip elsewhere {{\n{chain}\n}}\nEND")).map(drop)
}

/// What nginx sends has one of these ports.
fn translate(world: &World<'_>, ports: &str) -> Result<()> {
    let chain = format!(
        "chain ports {{\ntype nat hook postrouting priority 100\n\
         ip daddr 10.99.0.2 tcp dport 8081 snat to 10.99.0.1:{ports}\n}}"
    );
    world.ng().script(&format!("nft -f - <<'END'\ntable ip ports {{\n{chain}\n}}\nEND")).map(drop)
}
