//! Packets that were dropped, resets that were sent, processes that ended.

use serde_json::{Map, Value, json};

use super::{Entry, Kind, entry, fields};
use crate::case::{Case, Direction};
use crate::event::{MS, MatchedRule, PacketDrop, Rules};

/// Drops of the same kind fold into one entry with a count.
pub(super) fn from_packets(case: &Case<'_>, all: &mut Vec<Entry>) {
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
    all.extend(case.late.map(|took| entry(begun + took, Kind::SynAckLate, json!({"took_ms": took / MS}))));
    for reset in case.resets.iter().chain(&case.resets_of_strangers) {
        let reason = Some(&reset.reason).filter(|reason| !reason.is_empty());
        let from = reset.stranger.then_some(reset.tuple.src);
        let details =
            json!({"reason": reason, "function": reset.function, "netns": reset.netns, "from": from});
        all.push(entry(reset.at, Kind::ResetSent, details));
    }
}

/// Who ended the origin's side of the connection.
pub(super) fn from_closed(case: &Case<'_>, all: &mut Vec<Entry>) {
    all.extend(case.closed_by.map(|closed| {
        let details = json!({
            "process": format!("{}[{}]", closed.name, closed.pid),
            "runs_in": closed.home.as_ref().map(ToString::to_string),
            "netns": closed.netns,
            "exiting": closed.exiting,
            "signal": closed.signal,
            "status": closed.status,
            "out_of_memory": closed.out_of_memory.filter(|oom| *oom),
        });
        entry(closed.at, Kind::OriginClosed, details)
    }));
}

/// Ends of the origin's processes.
pub(super) fn from_exits(case: &Case<'_>, all: &mut Vec<Entry>) {
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
        entry(exit.at, Kind::OriginExit, details)
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
    let mut entry = entry(packet.at, Kind::Dropped, details);
    if let Some(rules) = case.rules_of(packet) {
        entry.2.extend(of_rules(rules));
    }
    entry
}

/// Chain, rule and handle of the one that did it; several under `one_of`.
fn of_rules(rules: &Rules) -> Map<String, Value> {
    let named = |rule: &MatchedRule| {
        let text = rule.text.clone().filter(|_| !rule.policy);
        fields(json!({
            "chain": rule.place(),
            "rule": text,
            "handle": rule.handle,
            "policy": rule.policy.then_some("drop"),
        }))
    };
    let details = match rules.rules.as_slice() {
        [rule] if rule.certain => return named(rule),
        [] => json!({
            "chains": (!rules.chains.is_empty()).then_some(&rules.chains),
            "ruleset": rules.unread,
        }),
        several => json!({"one_of": several.iter().map(named).collect::<Vec<_>>()}),
    };
    fields(details)
}
