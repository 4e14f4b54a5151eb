//! What was seen of an attempt, in order of time, for people and for the output.

use serde_json::{Map, Value, json};

use crate::case::{Case, Direction, alert_name};
use crate::dns::code_name;
use crate::errno;
use crate::event::MS;
use crate::event::{Fact, MatchedRule, Moment, Nanos, Outcome, PacketDrop, Route, Rules, Step};
use crate::icmp;
use crate::verdict::Evidence;

/// Everything known about a case that verdicts rest on.
#[must_use]
pub fn of(case: &Case<'_>) -> Vec<Evidence> {
    let since = case.since();
    let mut all = Vec::new();
    from_trail(case, &mut all);
    from_lookup(case, &mut all);
    from_packets(case, &mut all);
    from_exits(case, &mut all);
    from_connect(case, &mut all);
    from_socket(case, &mut all);
    from_facts(case, &mut all);
    from_siblings(case, &mut all);
    from_log(case, &mut all);
    all.sort_by_key(|(at, _, _)| *at);
    all.into_iter()
        .map(|(at, what, details)| Evidence { at_ms: ms(at, since), what: what.to_owned(), details })
        .collect()
}

type Entry = (Nanos, &'static str, Map<String, Value>);

fn entry(at: Nanos, what: &'static str, details: Value) -> Entry {
    let mut details = if let Value::Object(details) = details { details } else { Map::new() };
    details.retain(|_, value| !value.is_null());
    (at, what, details)
}

/// Milliseconds since the begin, three decimals, negative before it.
fn ms(at: Nanos, since: Nanos) -> f64 {
    let microseconds = (i128::from(at) - i128::from(since)) / 1_000;
    microseconds as f64 / 1e3
}

fn from_trail(case: &Case<'_>, all: &mut Vec<Entry>) {
    for moment in &case.attempt.trail {
        let told_better = match &moment.step {
            Step::Dropped { reason } => case.drops.iter().any(|packet| packet.reason == *reason),
            _ => false,
        };
        if !told_better {
            let (at, what, mut details) = of_step(case, moment);
            if moment.count > 1 {
                details.insert("count".to_owned(), moment.count.into());
                details.insert("span_ms".to_owned(), moment.span_ms.into());
            }
            all.push((at, what, details));
        }
    }
}

/// Questions to name servers, and what came of them.
fn from_lookup(case: &Case<'_>, all: &mut Vec<Entry>) {
    let Some(lookup) = case.lookup else { return };
    for asked in &lookup.asked {
        let server = asked.server.to_string();
        let transport = asked.tcp.then_some("tcp");
        all.push(entry(
            asked.at,
            "query-sent",
            json!({"name": lookup.name, "type": asked.kind, "server": server, "transport": transport}),
        ));
        let Some(got) = &asked.got else { continue };
        let (what, mut details) = match &got.what {
            Outcome::Answer { code, records } => {
                ("answer", json!({"code": code, "name": code_name(*code), "records": records}))
            }
            Outcome::Ignored(why) => ("answer-ignored", json!({"reason": why})),
            Outcome::NotSent { errno } => ("send-error", error(*errno)),
            Outcome::Error { errno } => ("error", error(*errno)),
        };
        details["server"] = server.into();
        details["type"] = asked.kind.as_str().into();
        all.push(entry(got.at, what, details));
    }
    let silent = lookup.silent().count();
    if silent > 0 {
        all.push(entry(case.attempt.seen, "no-answer", json!({"queries": silent})));
    }
}

fn of_step(case: &Case<'_>, moment: &Moment) -> Entry {
    let at = moment.at;
    match &moment.step {
        Step::SynSent => entry(at, "syn-sent", json!({})),
        Step::Retransmit { errno: 0 } => entry(at, "retransmit", json!({})),
        Step::Retransmit { errno } => entry(at, "retransmit", error(*errno)),
        Step::Established => entry(at, "established", json!({})),
        Step::Request { bytes } => entry(at, "request", json!({"bytes": bytes})),
        Step::Response { bytes } => {
            entry(at, "response", json!({"bytes": bytes, "status": case.attempt.error_status}))
        }
        Step::Fin { unacked } => entry(at, "fin", json!({"unacked": unacked})),
        Step::Reset { unacked } => entry(at, "reset", json!({"unacked": unacked})),
        Step::Dropped { reason } => entry(at, "dropped", json!({"reason": reason})),
        Step::Icmp { kind, code } => {
            let known = case.attempt.icmp.as_ref();
            let from = known.map(|icmp| icmp.from.to_string());
            entry(
                at,
                "icmp",
                json!({
                    "type": kind,
                    "code": code,
                    "means": icmp::name(*kind, *code),
                    "from": from,
                    "local": known.map(|icmp| icmp.local),
                }),
            )
        }
        Step::Error { errno } => entry(at, "error", error(*errno)),
        Step::SendBlocked => entry(at, "send-blocked", json!({})),
        Step::SendError { errno } => entry(at, "send-error", error(*errno)),
        Step::RecvError { errno } => entry(at, "recv-error", error(*errno)),
        Step::Eof => entry(at, "eof", json!({})),
        Step::Closed => entry(at, "closed-by-nginx", json!({})),
        Step::SynAckAgain => entry(at, "syn-ack-again", json!({})),
        Step::TlsHello { bytes } => entry(at, "tls-hello", json!({"bytes": bytes})),
        Step::TlsAnswer { bytes } => {
            entry(at, "tls-answer", json!({"bytes": bytes, "head": case.attempt.non_tls_prefix}))
        }
        Step::TlsAlert { alert } => entry(at, "tls-alert", alert_details(*alert)),
        Step::TlsRefused { alert } => entry(at, "tls-alert-sent", alert_details(*alert)),
        Step::TlsDone => entry(at, "tls-done", json!({})),
    }
}

fn alert_details(alert: Option<u8>) -> Value {
    json!({"alert": alert, "name": alert.map(alert_name)})
}

fn error(errno: i32) -> Value {
    let errno = errno.abs();
    json!({"errno": errno, "name": errno::name(errno)})
}

/// Drops of the same kind fold into one entry with a count.
fn from_packets(case: &Case<'_>, all: &mut Vec<Entry>) {
    for (packets, elsewhere) in [(&case.drops, false), (&case.drops_elsewhere, true)] {
        let mut folded: Vec<(Entry, u64)> = Vec::new();
        for packet in packets {
            let new = of_drop(case, packet, elsewhere);
            match folded.iter_mut().find(|((_, _, details), _)| *details == new.2) {
                Some((_, count)) => *count += 1,
                None => folded.push((new, 1)),
            }
        }
        all.extend(folded.into_iter().map(|(mut entry, count)| {
            if count > 1 {
                entry.2.insert("count".to_owned(), count.into());
            }
            entry
        }));
    }
    let begun = case.attempt.begun;
    all.extend(case.late.map(|took| entry(begun + took, "syn-ack-late", json!({"took_ms": took / MS}))));
    for reset in &case.resets {
        let reason = Some(&reset.reason).filter(|reason| !reason.is_empty());
        all.push(entry(reset.at, "reset-sent", json!({"reason": reason, "netns": reset.netns})));
    }
}

/// Ends of the origin's processes.
fn from_exits(case: &Case<'_>, all: &mut Vec<Entry>) {
    all.extend(case.exits.iter().copied().chain(case.gone).map(|exit| {
        let process = format!("{}[{}]", exit.name, exit.pid);
        let details = json!({
            "process": process,
            "command": exit.command,
            "runs_in": exit.home.as_ref().map(ToString::to_string),
            "signal": exit.signal,
            "status": exit.status,
            "out_of_memory": exit.out_of_memory.filter(|oom| *oom),
        });
        entry(exit.at, "origin-exit", details)
    }));
}

fn of_drop(case: &Case<'_>, packet: &PacketDrop, elsewhere: bool) -> Entry {
    let direction = match case.direction(packet) {
        Direction::Out => "out",
        Direction::In => "in",
    };
    let netfilter = packet.netfilter.as_ref();
    let details = json!({
        "reason": packet.reason,
        "direction": direction,
        "hook": netfilter.and_then(|netfilter| netfilter.hook.as_ref()),
        "by": netfilter.map(|netfilter| &netfilter.by),
        "family": netfilter.and_then(|netfilter| netfilter.family.as_ref()),
        "function": packet.function,
        "netns": elsewhere.then_some(packet.netns),
    });
    let mut entry = entry(packet.at, "dropped", details);
    if let Some(rules) = case.rules_of(packet) {
        entry.2.extend(of_rules(rules));
    }
    entry
}

/// Chain, rule and handle of the one that did it; several under `one_of`.
fn of_rules(rules: &Rules) -> Map<String, Value> {
    let named = |rule: &MatchedRule| {
        let text = rule.text.clone().filter(|_| !rule.policy);
        entry(0, "", json!({"chain": rule.place(), "rule": text, "handle": rule.handle, "policy": rule.policy.then_some("drop")}))
            .2
    };
    let details = match rules.rules.as_slice() {
        [rule] if rule.certain => return named(rule),
        [] => json!({
            "chains": (!rules.chains.is_empty()).then_some(&rules.chains),
            "ruleset": rules.unread,
        }),
        several => json!({"one_of": several.iter().map(named).collect::<Vec<_>>()}),
    };
    entry(0, "", details).2
}

fn from_connect(case: &Case<'_>, all: &mut Vec<Entry>) {
    if let Some(connect) = case.connect {
        all.push(entry(connect.at, "connect-error", error(connect.errno)));
    } else if case.attempt.no_local_port {
        all.push(entry(case.attempt.seen, "connect-error", error(errno::EADDRNOTAVAIL)));
    }
}

/// What the socket knew at the end, and what the trail had no room for.
fn from_socket(case: &Case<'_>, all: &mut Vec<Entry>) {
    let (attempt, socket) = (&case.attempt, &case.attempt.socket);
    let noted = |fits: fn(&Step) -> bool| case.step(fits).is_some();
    if let Some(icmp) = attempt.icmp.as_ref().filter(|_| !noted(|step| matches!(step, Step::Icmp { .. }))) {
        let details = json!({
            "type": icmp.kind,
            "code": icmp.code,
            "means": icmp::name(icmp.kind, icmp.code),
            "from": icmp.from.to_string(),
            "local": icmp.local,
        });
        all.push(entry(attempt.seen, "icmp", details));
    }
    for (at, what) in [(attempt.reset, "reset"), (attempt.fin, "fin")] {
        let missing = !all.iter().any(|(_, seen, _)| *seen == what);
        all.extend(at.filter(|_| missing).map(|at| entry(at, what, json!({}))));
    }
    if case.tcp() && attempt.established.is_some() && attempt.request.is_some() {
        let what = if socket.unacked > 0 { "unacked" } else { "acked" };
        let window = (attempt.send_blocked || socket.unsent > 0).then_some(socket.peer_window);
        let positive = |bytes: u32| (bytes > 0).then_some(bytes);
        let details = json!({
            "bytes": if socket.unacked > 0 { u64::from(socket.unacked) } else { socket.acked },
            "unsent": positive(socket.unsent),
            "unread": positive(socket.unread),
            "peer_window": window,
        });
        all.push(entry(attempt.seen, what, details));
    }
}

/// The way to the upstream matters only while nothing came back over it, connection tracking only when it is nearly
/// full.
fn matters(case: &Case<'_>, fact: &Fact) -> bool {
    match fact {
        Fact::Route(_) | Fact::Neighbour(_) => {
            case.connect.is_some()
                || (case.connecting() && !case.answered_or_refused() && !case.dropped_for("NETFILTER_DROP"))
        }
        Fact::Conntrack(table) => table.count.saturating_mul(10) >= table.max.saturating_mul(9),
        Fact::Listener(_) | Fact::NoListener | Fact::ListensElsewhere { .. } | Fact::UnixPath { .. } => true,
    }
}

fn from_facts(case: &Case<'_>, all: &mut Vec<Entry>) {
    let Some(found) = case.enrichment else { return };
    let at = found.at;
    all.extend(found.facts.iter().filter(|fact| matters(case, fact)).map(|fact| match fact {
        Fact::Route(Route::Found { interface, gateway, local }) => entry(
            at,
            "route",
            json!({"interface": interface, "gateway": gateway.map(|ip| ip.to_string()), "local": local}),
        ),
        Fact::Route(Route::Refused { errno }) => entry(at, "route", error(*errno)),
        Fact::Neighbour(found) => entry(
            at,
            "neighbour",
            json!({"address": found.address.to_string(), "state": found.state, "interface": found.interface}),
        ),
        Fact::Listener(found) => entry(
            at,
            "listener",
            json!({
                "queue": found.queue,
                "limit": found.limit,
                "overflows": found.overflows,
                "process": found.process,
                "runs_in": found.home.as_ref().map(ToString::to_string),
            }),
        ),
        Fact::ListensElsewhere { address, process } => {
            entry(at, "listens-elsewhere", json!({"address": address.to_string(), "process": process}))
        }
        Fact::NoListener => entry(at, "no-listener", json!({})),
        Fact::Conntrack(table) => entry(at, "conntrack", json!({"entries": table.count, "max": table.max})),
        Fact::UnixPath { target } => entry(at, "unix-path", json!({"target": target})),
    }));
}

/// How others fared matters only while it is unclear why nobody answers.
fn from_siblings(case: &Case<'_>, all: &mut Vec<Entry>) {
    if !case.connecting() || case.answered_or_refused() {
        return;
    }
    let siblings = &case.siblings;
    all.extend(siblings.established.map(|at| entry(at, "sibling-established", json!({}))));
    all.extend(siblings.answered.map(|at| entry(at, "sibling-answered", json!({}))));
    all.extend(siblings.late.map(|(at, took)| entry(at, "sibling-late", json!({"took_ms": took / MS}))));
    if siblings.waiting > 0 || siblings.silent > 0 || siblings.refused > 0 {
        let details =
            json!({"waiting": siblings.waiting, "silent": siblings.silent, "refused": siblings.refused});
        all.push(entry(case.attempt.seen, "siblings", details));
    }
    for other in &siblings.other_ports {
        let how = if other.established { "established" } else { "refused" };
        all.push(entry(other.at, "other-port", json!({"port": other.port, "how": how})));
    }
}

/// nginx's own words, also where they contradict what the kernel saw. The time is that at which the line was read.
fn from_log(case: &Case<'_>, all: &mut Vec<Entry>) {
    let lines = case.log.into_iter().chain(case.complaint);
    all.extend(lines.map(|line| entry(line.at, "log", json!({"message": line.message}))));
}
