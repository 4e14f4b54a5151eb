//! What was looked up, and how other attempts fared.

use serde_json::json;

use super::{Entry, Kind, entry, error};
use crate::case::Case;
use crate::event::{Fact, MS, Nanos, Route};

/// The way to the upstream matters only while nothing came back over it, connection tracking only when it is nearly
/// full.
fn matters(case: &Case<'_>, fact: &Fact) -> bool {
    match fact {
        Fact::Route(_) | Fact::Neighbour(_) => {
            case.connect.is_some()
                || (case.connecting() && !case.answered_or_refused() && !case.dropped_for("NETFILTER_DROP"))
        }
        Fact::Conntrack(table) => table.count.saturating_mul(10) >= table.max.saturating_mul(9),
        Fact::Listener(_)
        | Fact::NoListener
        | Fact::ListensElsewhere { .. }
        | Fact::ContainerAddress { .. }
        | Fact::UnixPath { .. } => true,
    }
}

pub(super) fn from_facts(case: &Case<'_>, all: &mut Vec<Entry>) {
    let latest = case.enrichment.map(|found| found.at);
    let waiting = case.waiting.filter(|found| case.full.is_none_or(|full| full.at != found.at));
    let earlier = [case.full, waiting].into_iter().flatten();
    for found in earlier.filter(|found| Some(found.at) != latest) {
        let listeners = found.facts.iter().filter(|fact| matches!(fact, Fact::Listener(_)));
        all.extend(listeners.map(|fact| of_fact(found.at, fact)));
    }
    let Some(found) = case.enrichment else { return };
    all.extend(found.facts.iter().filter(|fact| matters(case, fact)).map(|fact| of_fact(found.at, fact)));
}

fn of_fact(at: Nanos, fact: &Fact) -> Entry {
    match fact {
        Fact::Route(Route::Found { interface, gateway, local }) => entry(
            at,
            Kind::Route,
            json!({"interface": interface, "gateway": gateway.map(|ip| ip.to_string()), "local": local}),
        ),
        Fact::Route(Route::Refused { errno }) => entry(at, Kind::Route, error(*errno)),
        Fact::Neighbour(found) => entry(
            at,
            Kind::Neighbour,
            json!({"address": found.address.to_string(), "state": found.state, "interface": found.interface}),
        ),
        Fact::Listener(found) => entry(
            at,
            Kind::Listener,
            json!({
                "queue": found.queue,
                "limit": found.limit,
                "overflows": found.overflows,
                "process": found.process,
                "runs_in": found.home.as_ref().map(ToString::to_string),
                "stopped": found.stopped.then_some(true),
                "netns": found.netns,
            }),
        ),
        Fact::ListensElsewhere { address, process } => {
            entry(at, Kind::ListensElsewhere, json!({"address": address.to_string(), "process": process}))
        }
        Fact::ContainerAddress { home, listens } => {
            let listens: Vec<_> = listens.iter().map(ToString::to_string).collect();
            entry(at, Kind::ContainerAddress, json!({"runs_in": home.to_string(), "listens": listens}))
        }
        Fact::NoListener => entry(at, Kind::NoListener, json!({})),
        Fact::Conntrack(table) => {
            entry(at, Kind::Conntrack, json!({"entries": table.count, "max": table.max}))
        }
        Fact::UnixPath { target } => entry(at, Kind::UnixPath, json!({"target": target})),
    }
}

/// How others fared matters only while it is unclear why nobody answers.
pub(super) fn from_siblings(case: &Case<'_>, all: &mut Vec<Entry>) {
    if !case.connecting() || case.answered_or_refused() {
        return;
    }
    let siblings = &case.siblings;
    all.extend(siblings.established.map(|at| entry(at, Kind::SiblingEstablished, json!({}))));
    all.extend(siblings.answered.map(|at| entry(at, Kind::SiblingAnswered, json!({}))));
    all.extend(siblings.late.map(|(at, took)| entry(at, Kind::SiblingLate, json!({"took_ms": took / MS}))));
    if siblings.waiting > 0 || siblings.silent > 0 || siblings.refused > 0 {
        let details =
            json!({"waiting": siblings.waiting, "silent": siblings.silent, "refused": siblings.refused});
        all.push(entry(case.attempt.seen, Kind::Siblings, details));
    }
    for other in &siblings.other_ports {
        let how = if other.established { "established" } else { "refused" };
        all.push(entry(other.at, Kind::OtherPort, json!({"port": other.port, "how": how})));
    }
}
