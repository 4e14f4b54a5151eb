//! A firewall on nginx's own host.

use anyhow::Result;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::{Lab, Likely, Proven, Scenario};

const V4: &str = "10.99.0.2:8081";
const V6: &str = "[fd99::2]:8081";
const CONNECTING: &str = "upstream timed out (110: Connection timed out) while connecting to upstream";
const READING: &str =
    "upstream timed out (110: Connection timed out) while reading response header from upstream";
const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";
const UNREACHABLE: &str = "connect() failed (113: No route to host) while connecting to upstream";

pub(crate) const ALL: &[Scenario] = &[
    ("firewall-drop-local/output4", |lab| drops(lab, V4, "output", "tcp dport 8081 counter drop")),
    ("firewall-drop-local/output6", |lab| drops(lab, V6, "output", "tcp dport 8081 counter drop")),
    ("firewall-drop-local/output-loopback", |lab| {
        drops(lab, "127.0.0.1:8081", "output", "tcp dport 8081 counter drop")
    }),
    ("firewall-drop-local/postrouting", |lab| drops(lab, V4, "postrouting", "tcp dport 8081 counter drop")),
    ("firewall-drop-local/answer-input4", |lab| drops(lab, V4, "input", "tcp sport 8081 counter drop")),
    ("firewall-drop-local/answer-input6", |lab| drops(lab, V6, "input", "tcp sport 8081 counter drop")),
    ("firewall-drop-local/answer-prerouting", |lab| {
        drops(lab, V4, "prerouting", "tcp sport 8081 counter drop")
    }),
    ("firewall-drop-local/loopback-input", |lab| {
        drops(lab, "127.0.0.1:8081", "input", "tcp dport 8081 counter drop")
    }),
    ("firewall-drop-local/request-dropped-later", |lab| {
        drops_later(lab, V4, "output", "tcp dport 8081 tcp flags & psh == psh counter drop")
    }),
    ("firewall-drop-local/request-dropped-later6", |lab| {
        drops_later(lab, V6, "output", "tcp dport 8081 tcp flags & psh == psh counter drop")
    }),
    ("firewall-drop-local/answer-dropped-later", |lab| {
        drops_later(lab, V4, "input", "tcp sport 8081 tcp flags & psh == psh counter drop")
    }),
    ("firewall-drop-local/iptables-nft", |lab| {
        iptables(lab, "iptables-nft -A OUTPUT -p tcp --dport 8081 -j DROP")
    }),
    ("firewall-drop-local/iptables-legacy", |lab| {
        iptables(lab, "iptables-legacy -A OUTPUT -p tcp --dport 8081 -j DROP")
    }),
    ("firewall-drop-local/conntrack-new", |lab| {
        drops(lab, V4, "output", "tcp dport 8081 ct state new counter drop")
    }),
    ("firewall-drop-local/policy", |lab| {
        let rules = "policy drop\noif \"lo\" accept\ntcp dport 8081 counter";
        names(lab, rules, &["\"chain\":\"inet lab output\"", "\"policy\":\"drop\""])
    }),
    ("firewall-drop-local/one-of-two-rules", |lab| {
        let rules = "tcp dport 8081 meta skuid 0-4000000 counter drop\nip daddr 10.99.0.0/16 drop";
        names(lab, rules, &["one_of", "meta skuid 0-4000000 counter drop", "ip daddr 10.99.0.0/16 drop"])
    }),
    ("firewall-reject-local/icmp-port4", |lab| rejects(lab, V4, "reject", (REFUSED, 111))),
    ("firewall-reject-local/icmp-admin4", |lab| {
        rejects(lab, V4, "reject with icmp type admin-prohibited", (UNREACHABLE, 113))
    }),
    ("firewall-reject-local/reset4", |lab| rejects(lab, V4, "reject with tcp reset", (REFUSED, 111))),
    ("firewall-reject-local/icmp-port6", |lab| rejects(lab, V6, "reject", (REFUSED, 111))),
    ("firewall-reject-local/reset6", |lab| rejects(lab, V6, "reject with tcp reset", (REFUSED, 111))),
    ("firewall-reject-local/reset-loopback", |lab| {
        rejects(lab, "127.0.0.1:8081", "reject with tcp reset", (REFUSED, 111))
    }),
    ("firewall-reject-local/iptables-nft", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let rule = "iptables-nft -A OUTPUT -p tcp --dport 8081 -j REJECT";
        let firewall = Firewall::iptables(&world, world.ng(), rule)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log(REFUSED);
        firewall.was_hit();
        let seen = trace.finish()?;
        seen.failure("firewall-reject-local").confidence(Proven | Likely).upstream(V4).status(502).errno(111);
        seen.nothing_else();
        Ok(())
    }),
];

/// The handshake fails.
fn drops(lab: &Lab, upstream: &str, hook: &str, rule: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::answer(10))?;
    let firewall = Firewall::nft(&world, world.ng(), hook, rule)?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(CONNECTING);
    firewall.was_hit();
    let seen = trace.finish()?;
    let failure = seen.failure("firewall-drop-local").confidence(Proven).upstream(upstream).phase("connect");
    let failure = failure.status(504).lasted(1900.0..=2900.0).evidence("dropped").evidence_says(hook);
    failure.evidence_says(&format!("inet lab {hook}")).evidence_says(rule);
    seen.nothing_else();
    Ok(())
}

/// What the evidence says of a chain with several rules.
fn names(lab: &Lab, rules: &str, expected: &[&str]) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let _origin = world.origin(V4, Script::answer(10))?;
    let firewall = Firewall::nft(&world, world.ng(), "output", rules)?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(CONNECTING);
    firewall.was_hit();
    let seen = trace.finish()?;
    let mut failure = seen.failure("firewall-drop-local").confidence(Proven).upstream(V4).evidence("dropped");
    for text in expected {
        failure = failure.evidence_says(text);
    }
    seen.nothing_else();
    Ok(())
}

/// The handshake succeeds; what carries data is dropped.
fn drops_later(lab: &Lab, upstream: &str, hook: &str, rule: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let origin = world.origin(upstream, Script::answer(10))?;
    let firewall = Firewall::nft(&world, world.ng(), hook, rule)?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(READING);
    firewall.was_hit();
    origin.wait_accepted(1)?;
    let seen = trace.finish()?;
    let failure =
        seen.failure("firewall-drop-local").confidence(Proven | Likely).upstream(upstream).phase("wait");
    let failure = failure.status(504).evidence("dropped").evidence_says(hook);
    failure.evidence_says(&format!("inet lab {hook}")).evidence_says(rule);
    seen.nothing_else();
    Ok(())
}

fn iptables(lab: &Lab, rule: &str) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let _origin = world.origin(V4, Script::answer(10))?;
    let firewall = Firewall::iptables(&world, world.ng(), rule)?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(CONNECTING);
    firewall.was_hit();
    let seen = trace.finish()?;
    let failure =
        seen.failure("firewall-drop-local").confidence(Proven).upstream(V4).phase("connect").status(504);
    let (_, rule) = rule.split_once("--dport ").unwrap_or_default();
    let port = rule.split(' ').next().unwrap_or_default();
    let failure = failure.evidence("dropped").evidence_says("output");
    failure.evidence_says("ip filter OUTPUT").evidence_says(&format!("dport {port}"));
    seen.nothing_else();
    Ok(())
}

fn rejects(lab: &Lab, upstream: &str, how: &str, (says, errno): (&str, i32)) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::answer(10))?;
    let firewall = Firewall::nft(&world, world.ng(), "output", &format!("tcp dport 8081 counter {how}"))?;
    let trace = world.trace(&[])?;
    world.get("/").status(502).log(says);
    firewall.was_hit();
    let seen = trace.finish()?;
    let failure = seen.failure("firewall-reject-local").confidence(Proven | Likely).upstream(upstream);
    let failure = failure.phase("connect").status(502).errno(errno).evidence("dropped");
    failure.evidence_says("inet lab output").evidence_says("tcp dport 8081 counter reject");
    seen.nothing_else();
    Ok(())
}
