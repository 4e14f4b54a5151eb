//! What this kernel does in other network namespaces than nginx's, and without a firewall.

use anyhow::{Context as _, Result};
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::util::ms;
use upstream_trace_tests::wire::{Lose, Wire};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

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
    ("one-kernel/dropped-at-the-origin4", |lab| dropped(lab, V4, "input", "tcp dport 8081 counter drop")),
    ("one-kernel/dropped-at-the-origin6", |lab| dropped(lab, V6, "input", "tcp dport 8081 counter drop")),
    ("one-kernel/dropped-by-the-router4", |lab| {
        dropped(lab, ROUTED4, "forward", "tcp dport 8081 counter drop")
    }),
    ("one-kernel/dropped-by-the-router6", |lab| {
        dropped(lab, ROUTED6, "forward", "tcp dport 8081 counter drop")
    }),
    ("one-kernel/answer-dropped-by-the-router", |lab| {
        dropped(lab, ROUTED4, "forward", "tcp sport 8081 counter drop")
    }),
    ("one-kernel/answer-dropped-at-the-origin", |lab| {
        dropped(lab, V4, "output", "tcp sport 8081 counter drop")
    }),
    // The router translates a virtual address, and drops what it translated.
    ("one-kernel/dropped-after-translation", |lab| translated(lab, "tcp dport 8081 counter drop")),
    ("one-kernel/answer-dropped-before-translation-back", |lab| {
        translated(lab, "tcp sport 8081 counter drop")
    }),
    ("one-kernel/rejected-port4", |lab| rejected(lab, V4, "reject", REFUSED)),
    ("one-kernel/rejected-admin4", |lab| {
        rejected(lab, V4, "reject with icmp type admin-prohibited", UNREACHABLE)
    }),
    ("one-kernel/rejected-host4", |lab| {
        rejected(lab, V4, "reject with icmp type host-prohibited", UNREACHABLE)
    }),
    ("one-kernel/rejected-reset4", |lab| rejected(lab, V4, "reject with tcp reset", REFUSED)),
    ("one-kernel/rejected-port6", |lab| rejected(lab, V6, "reject", REFUSED)),
    ("one-kernel/rejected-admin6", |lab| {
        rejected(lab, V6, "reject with icmpv6 type admin-prohibited", DENIED)
    }),
    ("one-kernel/rejected-by-the-router-admin4", |lab| {
        rejected(lab, ROUTED4, "reject with icmp type admin-prohibited", UNREACHABLE)
    }),
    ("one-kernel/rejected-by-the-router-port4", |lab| rejected(lab, ROUTED4, "reject", REFUSED)),
    ("one-kernel/rejected-by-the-router-admin6", |lab| {
        rejected(lab, ROUTED6, "reject with icmpv6 type admin-prohibited", DENIED)
    }),
    // The trap beside: a rule drops the first SYN, and the second one reaches a port on which nobody listens.
    ("one-kernel/dropped-once-and-then-refused", |lab| {
        let world = lab.world().upstream(V4).connect_timeout("5s").start()?;
        let once = "tcp dport 8081 quota 80 bytes counter drop";
        let firewall = Firewall::nft(&world, world.up(), "input", once)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log(REFUSED.0);
        firewall.was_hit();
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused").confidence(Proven | Likely).upstream(V4);
        failure.phase("connect").status(502).errno(111);
        seen.nothing_else();
        Ok(())
    }),
    // What was sent first waited for the neighbour; that is not why it failed.
    ("one-kernel/rejected-after-slow-neighbour6", |lab| {
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
        let failure = seen.failure("firewall-reject-local").confidence(Proven | Likely).upstream(V6);
        failure.phase("connect").status(502).errno(111);
        seen.nothing_else();
        Ok(())
    }),
    // In the middle of a connection: the answers that carry data.
    ("one-kernel/answer-with-data-dropped-by-the-router", |lab| {
        let world = lab.world().upstream(ROUTED4).router().start()?;
        let _origin = world.origin(ROUTED4, Script::answer(3000))?;
        let rule = "tcp sport 8081 meta length > 200 counter drop";
        let firewall = Firewall::nft(&world, world.router()?, "forward", rule)?;
        let trace = world.trace(&[])?;
        world.get("/").status(504);
        firewall.was_hit();
        let seen = trace.finish()?;
        let failure = seen.failure("firewall-drop-local").confidence(Proven | Likely).upstream(ROUTED4);
        failure.status(504).phase("wait").evidence("dropped").evidence_says("inet lab forward");
        seen.nothing_else();
        Ok(())
    }),
    // The link behind the router is narrow, and the origin does not learn of it.
    ("path-lost/answer-too-large-for-a-link", |lab| {
        let world = lab.world().upstream(ROUTED4).router().start()?;
        let _origin = world.origin(ROUTED4, Script::answer(4000))?;
        world.router()?.command("ip link set eth0 mtu 700")?;
        let _silent = Firewall::nft(&world, world.router()?, "output", "meta l4proto icmp counter drop")?;
        let trace = world.trace(&[])?;
        world.get("/").status(504);
        let seen = trace.finish()?;
        let failure = seen.failure("path-lost").confidence(Proven | Likely).upstream(ROUTED4).status(504);
        failure.phase("wait").evidence("dropped").evidence_says("PKT_TOO_BIG");
        seen.nothing_else();
        Ok(())
    }),
    // A second rule beside does not hide the guilty one, nor does one in nginx's own namespace.
    ("one-kernel/rules-in-two-namespaces", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let _own = Firewall::nft(&world, world.ng(), "output", "tcp dport 9 counter drop")?;
        let firewall = Firewall::nft(&world, world.up(), "input", "tcp dport 8081 counter drop")?;
        let trace = world.trace(&[])?;
        world.get("/").status(504).log(CONNECTING);
        firewall.was_hit();
        let seen = trace.finish()?;
        let failure = seen.failure("firewall-drop-local").confidence(Proven).upstream(V4);
        failure.evidence_says("inet lab input").evidence_says("tcp dport 8081 counter drop");
        seen.nothing_else();
        Ok(())
    }),
    ("kernel-drop-local/reverse-path-filter", |lab| {
        let world = lab.world().upstream(ROUTED4).router().start()?;
        let _origin = world.origin(ROUTED4, Script::answer(10))?;
        // Answers come in by an interface by which no route leads back. The filter takes the origin's ARP request as well.
        let link = world.ng().command("ip -br link show eth0")?;
        let link = link.split_whitespace().nth(2).context("the link address")?;
        world.up().command(&format!("ip neigh replace 10.99.0.1 lladdr {link} dev eth0 nud permanent"))?;
        world.ng().sysctl("ipv4/conf/all/rp_filter", "1")?;
        world.ng().sysctl("ipv4/conf/eth0/rp_filter", "1")?;
        world.up().command("ip route replace 10.98.0.0/24 via 10.99.0.1")?;
        kernel_dropped(&world, ROUTED4, "IP_RPFILTER")
    }),
    ("kernel-drop-local/hairpin", |lab| {
        let world = lab.world().upstream("10.96.0.9:8081").router().start()?;
        // A virtual address that the router translates to nginx's own host.
        let chain = "chain back {\ntype nat hook prerouting priority -100\n\
                     ip daddr 10.96.0.9 tcp dport 8081 dnat to 10.98.0.1:8081\n}";
        world.router()?.script(&format!("nft -f - <<'END'\ntable ip back {{\n{chain}\n}}\nEND"))?;
        kernel_dropped(&world, "10.96.0.9:8081", "IP_LOCAL_SOURCE")
    }),
    // nginx's own address is its client's, and nothing brings the answers to nginx's socket.
    ("kernel-drop-local/transparent-without-routing", |lab| {
        let world = lab.world().upstream(V4).location("proxy_bind 10.94.0.5 transparent;").start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        world.up().command("ip route add 10.94.0.0/24 via 10.99.0.1")?;
        world.ng().command("ip route add 10.94.0.0/24 dev lo")?;
        world.ng().sysctl("ipv4/ip_forward", "1")?;
        kernel_dropped(&world, V4, "NOT_SPECIFIED")
    }),
    ("kernel-drop-local/transparent-on-a-host-that-does-not-forward", |lab| {
        let world = lab.world().upstream(V4).location("proxy_bind 10.94.0.5 transparent;").start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        world.up().command("ip route add 10.94.0.0/24 via 10.99.0.1")?;
        // A new namespace has the setting of the host.
        world.ng().sysctl("ipv4/ip_forward", "0")?;
        kernel_dropped(&world, V4, "IP_INADDRERRORS")
    }),
    // A translation behind which the address stays, and nothing is dropped: the origin is silent.
    ("kernel-drop-local/translated-and-silent", |lab| {
        let world = lab.world().upstream("10.96.0.9:8081").router().start()?;
        let wire = Wire::lay(world.router()?, world.up())?;
        wire.lose(Lose::Everything)?;
        let chain = "chain away {\ntype nat hook prerouting priority -100\n\
                     ip daddr 10.96.0.9 tcp dport 8081 dnat to 10.95.0.2:8081\n}";
        world.router()?.script(&format!("nft -f - <<'END'\ntable ip away {{\n{chain}\n}}\nEND"))?;
        let trace = world.trace(&[])?;
        world.get("/").status(504).log(CONNECTING);
        let seen = trace.finish()?;
        let failure = seen.failure("firewall-drop-remote").confidence(Possible | Likely);
        failure.upstream("10.96.0.9:8081").phase("connect");
        seen.nothing_else();
        Ok(())
    }),
    ("kernel-drop-local/ipsec-policy", |lab| {
        kernel_drops(lab, V4, "XFRM_POLICY", |world| {
            let tunnel = "tmpl src 10.99.0.2 dst 10.99.0.1 proto esp mode transport";
            let policy = format!("ip xfrm policy add src 10.99.0.2 dst 10.99.0.1 proto tcp dir in {tunnel}");
            world.ng().command(&policy).map(drop)
        })
    }),
    ("kernel-drop-local/wrong-checksum", |lab| {
        // Only what comes from another kernel has a checksum to verify.
        kernel_drops(lab, "10.95.0.2:8081", "CSUM", |world| {
            let chain = "chain spoil {\ntype filter hook prerouting priority -300\n\
                         tcp sport 8081 @th,128,16 set 0x1234\n}";
            world.ng().script(&format!("nft -f - <<'END'\ntable ip spoil {{\n{chain}\n}}\nEND")).map(drop)
        })
    }),
];

/// A rule in another namespace than nginx's.
fn dropped(lab: &Lab, upstream: &str, hook: &str, rule: &str) -> Result<()> {
    let routed = [ROUTED4, ROUTED6].contains(&upstream);
    let world = lab.world().upstream(upstream);
    let world = if routed { world.router() } else { world }.start()?;
    let _origin = world.origin(upstream, Script::answer(10))?;
    let place = if routed { world.router()? } else { world.up() };
    let firewall = Firewall::nft(&world, place, hook, rule)?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(CONNECTING);
    firewall.was_hit();
    let seen = trace.finish()?;
    let failure = seen.failure("firewall-drop-local").confidence(Proven).upstream(upstream).phase("connect");
    let failure = failure.status(504).evidence("dropped").evidence_says(&format!("inet lab {hook}"));
    failure
        .evidence_says(rule)
        .told("summary", "network namespace")
        .told("fix", "nft -a list chain inet lab")
        .joined("timed out");
    seen.nothing_else();
    Ok(())
}

/// A rule in another namespace than nginx's that answers in the origin's name.
fn rejected(lab: &Lab, upstream: &str, how: &str, (says, errno): (&str, i32)) -> Result<()> {
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
    let failure = seen.failure("firewall-reject-local").confidence(Proven).upstream(upstream);
    let failure = failure.phase("connect").status(502).errno(errno).evidence("dropped");
    failure
        .evidence_says(&format!("inet lab {hook}"))
        .told("summary", "network namespace")
        .told("summary", "by the rule [")
        .told("summary", "tcp dport 8081 counter reject")
        .told("fix", "nft -a list chain inet lab");
    seen.nothing_else();
    Ok(())
}

/// Behind the address of a service, as Kubernetes and Docker have them.
fn translated(lab: &Lab, rule: &str) -> Result<()> {
    let service = "10.96.0.9:8081";
    let world = lab.world().upstream(service).router().start()?;
    let _origin = world.origin(ROUTED4, Script::answer(10))?;
    let chains = format!(
        "chain service {{\ntype nat hook prerouting priority -100\nip daddr 10.96.0.9 dnat to 10.97.0.2\n}}\n\
         chain forward {{\ntype filter hook forward priority 0\n{rule}\n}}"
    );
    world.router()?.script(&format!("nft -f - <<'END'\ntable ip lab {{\n{chains}\n}}\nEND"))?;
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(CONNECTING);
    let seen = trace.finish()?;
    let failure = seen.failure("firewall-drop-local").confidence(Proven).upstream(service).phase("connect");
    failure.status(504).evidence("dropped").evidence_says("ip lab forward").evidence_says(rule);
    seen.nothing_else();
    Ok(())
}

/// This kernel drops the answers although no firewall does.
fn kernel_drops(
    lab: &Lab,
    upstream: &str,
    reason: &str,
    spoil: impl FnOnce(&World<'_>) -> Result<()>,
) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _wire = Wire::lay(world.ng(), world.up())?;
    let _origin = world.origin(upstream, Script::answer(10))?;
    spoil(&world)?;
    kernel_dropped(&world, upstream, reason)
}

fn kernel_dropped(world: &World<'_>, upstream: &str, reason: &str) -> Result<()> {
    let trace = world.trace(&[])?;
    world.get("/").status(504).log(CONNECTING);
    let seen = trace.finish()?;
    let failure = seen.failure("kernel-drop-local").confidence(Proven | Likely).upstream(upstream);
    failure.phase("connect").status(504).evidence("dropped").evidence_says(reason);
    seen.nothing_else();
    Ok(())
}
