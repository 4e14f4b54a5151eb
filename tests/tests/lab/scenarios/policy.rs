//! What this host forbids, runs out of, or finds too slow.

use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, Result};
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::nginx::FOLDER;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::policy::{Policy, Rule};
use upstream_trace_tests::util::{ms, wait_until};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const V6: &str = "[fd99::2]:8081";
const CONNECTING: &str = "upstream timed out (110: Connection timed out) while connecting to upstream";

pub(crate) const ALL: &[Scenario] = &[
    ("connect-denied/control-group4", |lab| denied(lab, V4)),
    ("connect-denied/control-group6", |lab| denied(lab, V6)),
    ("firewall-drop-local/control-group4", |lab| packets(lab, V4)),
    ("firewall-drop-local/control-group6", |lab| packets(lab, V6)),
    ("connect-slow/answered-while-nginx-gave-up4", |lab| slow(lab, V4)),
    ("connect-slow/answered-while-nginx-gave-up6", |lab| slow(lab, V6)),
    ("connect-slow/slow-path4", |lab| slow_path(lab, V4, "10.99.0.1:9")),
    ("connect-slow/slow-path6", |lab| slow_path(lab, V6, "[fd99::1]:9")),
    ("conntrack-full/both", |lab| {
        let world = lab.world().upstream(V4).config(to_ipv6).start()?;
        let _origins = [world.origin(V4, Script::answer(10))?, world.origin(V6, Script::answer(10))?];
        fill_conntrack(&world)?;
        let trace = world.trace(&[])?;
        world.get("/").status(504).log(CONNECTING);
        world.get("/six").status(504);
        let seen = trace.finish()?;
        for upstream in [V4, V6] {
            let failure = seen.failure("conntrack-full").confidence(Proven | Likely).upstream(upstream);
            failure.phase("connect").status(504).evidence_says("NETFILTER_DROP");
        }
        seen.nothing_else();
        Ok(())
    }),
];

fn to_ipv6(config: &mut upstream_trace_tests::nginx::Config) {
    config.server.push(format!("location /six {{ proxy_pass http://{V6}; }}"));
}

fn denied(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::answer(10))?;
    let _policy = Policy::on(world.nginx().worker()?, Rule::NoConnect)?;
    let trace = world.trace(&[])?;
    let says = format!("connect() to {upstream} failed (1: Operation not permitted)");
    world.get("/").status(502).log(&says);
    let seen = trace.finish()?;
    let failure = seen.failure("connect-denied").confidence(Proven | Likely).upstream(upstream);
    failure.transport("tcp").phase("connect").status(502).errno(1).joined("Operation not permitted");
    seen.nothing_else();
    Ok(())
}

fn packets(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::answer(10))?;
    let _policy = Policy::on(world.nginx().worker()?, Rule::NoPackets)?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(CONNECTING);
    let seen = trace.finish()?;
    let failure = seen.failure("firewall-drop-local").confidence(Proven | Likely).upstream(upstream);
    failure.phase("connect").status(504).evidence_says("BPF_CGROUP_EGRESS");
    seen.nothing_else();
    Ok(())
}

/// nginx's timer runs out, and the log that it writes this to is stuck: the SYN-ACK comes before the close.
fn slow(lab: &Lab, upstream: &str) -> Result<()> {
    let log = format!("error_log {FOLDER}/pipe error;");
    let world =
        lab.world().upstream(upstream).connect_timeout("1500ms").location(&log).blocked_pipe().start()?;
    let origin = world.origin(upstream, Script::answer(10))?;
    let firewall = Firewall::nft(&world, world.up(), "input", "tcp dport 8081 counter drop")?;
    let trace = world.trace(&[])?;
    let mut client = world.begin("GET", "/", &[])?;
    let call = format!("/proc/{}/syscall", world.nginx().worker()?);
    let write = format!("{} ", nix::libc::SYS_write);
    wait_until("nginx to write its log", Duration::from_secs(5), || {
        fs::read_to_string(&call).is_ok_and(|call| call.starts_with(&write))
    })?;
    firewall.was_hit();
    firewall.remove()?;
    // The next repetition of the SYN.
    origin.wait_accepted(1)?;
    world.pause(ms(50));
    world.unblock()?;
    world.answer(client.receive()).status(504);
    let seen = trace.finish()?;
    let failure = seen.failure("connect-slow").confidence(Proven).upstream(upstream);
    failure.phase("connect").status(504).evidence("established").evidence("retransmit");
    seen.nothing_else();
    Ok(())
}

/// What the origin sends waits for half a second behind other packets: its SYN-ACK comes when nginx has given up. The first
/// time that is seen too late to be told.
fn slow_path(lab: &Lab, upstream: &str, nginx: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).connect_timeout("300ms").start()?;
    let _origin = world.origin(upstream, Script::answer(10))?;
    // A thousand bytes a second, after the 1600 that may go at once.
    world.up().command("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 10000")?;
    let trace = world.trace(&[])?;
    for _ in 0..2 {
        world.pause(ms(1700));
        world.up().run(|| {
            let socket = UdpSocket::bind(if nginx.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" })?;
            for bytes in [1400, 600] {
                socket.send_to(&vec![0; bytes], nginx)?;
            }
            Ok(())
        })?;
        world.get("/").status(504).log(CONNECTING);
        world.pause(ms(500));
    }
    let seen = trace.finish()?;
    let first = seen.failure_of(&["connect-slow", "firewall-drop-remote"]);
    let first = first.confidence(Proven | Possible).upstream(upstream);
    first.phase("connect").status(504);
    let second = seen.failure("connect-slow").confidence(Proven | Likely).upstream(upstream);
    second.phase("connect").status(504);
    seen.nothing_else();
    Ok(())
}

/// Fills the connection tracking of nginx's namespace with connections that are in use, and has it track what goes out.
/// The limit is that of the whole machine and stays as it is; the loopback is exempt.
fn fill_conntrack(world: &World<'_>) -> Result<()> {
    let most: u32 = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max")
        .context("this kernel has no connection tracking")?
        .trim()
        .parse()?;
    let mut entries = String::new();
    for number in 0..most + 8 {
        let [_, a, b, c] = number.to_be_bytes();
        let _infallible = writeln!(
            entries,
            "-A -p tcp -s 10.{}.{b}.{c} -d 10.40.0.1 --sport 1000 --dport 2000 -t 3600 --state ESTABLISHED -u ASSURED",
            50 + a
        );
    }
    let file = world.folder().join("entries");
    fs::write(&file, entries)?;
    // It fails when no more fit.
    let _full = world.ng().command(&format!("conntrack -R {}", file.display()));
    let count = world.ng().command("conntrack -C")?;
    let full = count.trim().parse::<u32>()? >= most;
    world.lab().check(full, || format!("{} of {most} entries", count.trim()));
    world.ng().script(
        "nft -f - <<'END'
table inet lab {
  chain out { type filter hook output priority -300; oif lo notrack; }
  chain in { type filter hook prerouting priority -300; iif lo notrack; }
  chain output { type filter hook output priority 0; ct state established accept; }
}
END",
    )?;
    Ok(())
}
