//! The rule that dropped a packet, in rulesets as people write them: sets, maps, jumps, several tables, states, bridges.

use anyhow::Result;
use upstream_trace_tests::netns::Namespace;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::{Lab, Proven, Scenario};

const V4: &str = "10.99.0.2:8081";
const V6: &str = "[fd99::2]:8081";

pub(crate) const ALL: &[Scenario] = &[
    ("firewall-rule/named-set", |lab| {
        let table = "set blocked { type ipv4_addr; flags interval; elements = { 10.99.0.0/30, 192.0.2.1 } }
            chain out { type filter hook output priority 0; ip daddr @blocked counter drop; }";
        nft(lab, V4, table, &["\"chain\":\"inet lab out\"", "ip daddr @blocked counter drop"])
    }),
    ("firewall-rule/set-of-pairs", |lab| {
        let table = "set blocked { type ipv6_addr . inet_service; elements = { fd99::2 . 8081 } }
            chain out { type filter hook output priority 0; ip6 daddr . tcp dport @blocked counter drop; }";
        nft(lab, V6, table, &["\"chain\":\"inet lab out\"", "ip6 daddr . tcp dport @blocked counter drop"])
    }),
    ("firewall-rule/verdict-map", |lab| {
        let table = "chain web { ip daddr 10.99.0.9 accept; counter drop; }
            map ports { type inet_service : verdict; elements = { 22 : accept, 8081 : jump web } }
            chain out { type filter hook output priority 0; tcp dport vmap @ports; }";
        nft(lab, V4, table, &["\"chain\":\"inet lab web\"", "\"rule\":\"counter drop\""])
    }),
    ("firewall-rule/jumps-and-returns", |lab| {
        let table = "chain inner { tcp dport 8081 counter drop; }
            chain middle { ip daddr 10.99.0.9 drop; jump inner; }
            chain early { ip daddr 10.99.0.2 return; drop; }
            chain out { type filter hook output priority 0; oif lo accept; jump early; goto middle; }";
        nft(lab, V4, table, &["\"chain\":\"inet lab inner\"", "tcp dport 8081 counter drop"])
    }),
    ("firewall-rule/accepted-by-one-table-dropped-by-the-next", |lab| {
        let script = "table inet first { chain out { type filter hook output priority 0; tcp dport 8081 accept; } }
            table ip second { chain out { type filter hook output priority 10; tcp dport 8081 counter drop; } }";
        ruleset(lab, V4, script, &["\"chain\":\"ip second out\"", "tcp dport 8081 counter drop"])
    }),
    ("firewall-rule/invalid-state", |lab| {
        let script = "table inet lab {
            chain raw { type filter hook output priority -300; tcp dport 8081 notrack; }
            chain in { type filter hook input priority 0; iif lo accept; ct state invalid counter drop; } }";
        ruleset(lab, V4, script, &["\"chain\":\"inet lab in\"", "ct state invalid counter drop"])
    }),
    ("firewall-rule/policy-behind-established", |lab| {
        let table = "chain out { type filter hook output priority 0; policy drop; oif lo accept;
            ct state established,related accept; tcp dport 22 accept; counter; }";
        nft(lab, V4, table, &["\"chain\":\"inet lab out\"", "\"policy\":\"drop\""])
    }),
    ("firewall-rule/a-rate-may-have-run-out", |lab| {
        let table = "chain out { type filter hook output priority 0; tcp dport 8081 limit rate over 1/day counter drop;
            tcp dport 8081 meta mark 0 counter drop; }";
        nft(lab, V4, table, &["one_of", "limit rate over 1/day", "meta mark 0x00000000 counter drop"])
    }),
    ("firewall-rule/iptables-chain-of-its-own", |lab| {
        let script = "iptables-legacy -N WEB
            iptables-legacy -A WEB -d 10.99.0.9/32 -j DROP
            iptables-legacy -A WEB -p tcp -m multiport --dports 8080:8085,9000 -j DROP
            iptables-legacy -A OUTPUT -o lo -j ACCEPT
            iptables-legacy -A OUTPUT -p tcp -j WEB";
        commands(lab, script, &["\"chain\":\"ip filter WEB\"", "--dports 8080:8085,9000 -j DROP"])
    }),
    ("firewall-rule/iptables-in-nft-chain-of-its-own", |lab| {
        let script = "iptables-nft -N WEB
            iptables-nft -A WEB -p tcp -m conntrack --ctstate NEW --dport 8081 -j DROP
            iptables-nft -A OUTPUT -o lo -j ACCEPT
            iptables-nft -A OUTPUT -p tcp -j WEB";
        commands(lab, script, &["\"chain\":\"ip filter WEB\"", "8081"])
    }),
    ("firewall-rule/bridge", |lab| {
        let world = lab.world().upstream(V4).connect_timeout("2s").start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        bridge(world.ng())?;
        let script = "table bridge lab { chain out { type filter hook output priority 0;
            ip daddr 10.99.0.2 tcp dport 8081 counter drop; } }";
        world.ng().script(&nft_script(script))?;
        let trace = world.trace(&[])?;
        world.get("/").status(504);
        let seen = trace.finish()?;
        let failure = seen.failure("firewall-drop-local").confidence(Proven).upstream(V4);
        let failure = failure.evidence_says("\"hook\":\"output\"").evidence_says("\"family\":\"bridge\"");
        failure.evidence_says("bridge lab out").evidence_says("tcp dport 8081 counter drop");
        seen.nothing_else();
        Ok(())
    }),
];

fn nft(lab: &Lab, upstream: &str, table: &str, expected: &[&str]) -> Result<()> {
    ruleset(lab, upstream, &format!("table inet lab {{\n{table}\n}}"), expected)
}

fn ruleset(lab: &Lab, upstream: &str, script: &str, expected: &[&str]) -> Result<()> {
    dropped(lab, upstream, &nft_script(script), expected)
}

/// For the shell; nft wants a line of its own for the end of a table.
fn nft_script(script: &str) -> String {
    format!("nft -f - <<'END'\n{}\nEND", script.replace("} }", "}\n}"))
}

fn commands(lab: &Lab, script: &str, expected: &[&str]) -> Result<()> {
    dropped(lab, V4, script, expected)
}

fn dropped(lab: &Lab, upstream: &str, script: &str, expected: &[&str]) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::answer(10))?;
    world.ng().script(script)?;
    let trace = world.trace(&[])?;
    world.get("/").status(504);
    let seen = trace.finish()?;
    let mut failure = seen.failure("firewall-drop-local").confidence(Proven).upstream(upstream);
    for text in expected {
        failure = failure.evidence_says(text);
    }
    seen.nothing_else();
    Ok(())
}

/// Puts nginx's link into a bridge, as hosts of containers and virtual machines have it.
fn bridge(namespace: &Namespace) -> Result<()> {
    namespace.script(
        "ip link add br0 type bridge
         ip addr flush dev eth0
         ip link set eth0 master br0
         ip addr add 10.99.0.1/24 dev br0
         ip link set br0 up
         ping -c 1 -W 2 10.99.0.2 || true",
    )?;
    Ok(())
}
