//! The JSON of `nft -j -a list ruleset`, as libnftables-json(5) describes it.

mod field;
mod item;
mod statement;
mod text;

pub(super) use statement::{ACCEPTING, PASSING};

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::Value;

use super::packet::Packet;
use super::{Base, Body, Chain, Rule, Ruleset, bounded};

/// What a rule is judged by.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) ruleset: &'a Ruleset,
    pub(super) chain: &'a Chain,
    pub(super) packet: &'a Packet,
    /// Of the base chain.
    pub(super) priority: i64,
    /// Elements of sets and maps that were looked at for this packet.
    pub(super) compared: &'a Cell<usize>,
}

impl About<'_> {
    /// Whether there is time to look at these as well; else nothing is known of them.
    fn affords(&self, elements: &[Value]) -> bool {
        self.compared.set(self.compared.get().saturating_add(elements.len()));
        self.compared.get() <= MOST_COMPARED
    }
}

/// Most elements looked at for one packet: rules may name the largest of sets, each of them, and loop. A few tenths of a
/// second.
pub(super) const MOST_COMPARED: usize = 2_000_000;

/// Reads a ruleset; `listing` is the same from `nft -a list ruleset`, for the words of the rules.
pub(super) fn parse(json: &str, listing: &str) -> Option<Ruleset> {
    let json: Value = serde_json::from_str(json).ok()?;
    let mut texts = text::of_rules(listing);
    let mut ruleset = Ruleset::default();
    let mut chains = HashMap::new();
    let objects = json["nftables"].as_array()?;
    let of_kind = |kind: &'static str| objects.iter().filter_map(move |object| object.get(kind));
    for chain in of_kind("chain") {
        let key = (text(chain, "family"), text(chain, "table"), text(chain, "name"));
        let (family, table, name) = key.clone();
        chains.insert(key, ruleset.chains.len());
        let (base, rules) = (base(chain), Vec::new());
        ruleset.chains.push(Chain { family, table, name, legacy: false, base, rules });
    }
    for rule in of_kind("rule") {
        let (family, table, chain) = (text(rule, "family"), text(rule, "table"), text(rule, "chain"));
        let key = (family, table, chain);
        let (Some(index), Some(statements)) = (chains.get(&key), rule["expr"].as_array()) else { continue };
        let handle = rule["handle"].as_u64();
        let words = handle.and_then(|handle| texts.remove(&(key, handle)));
        ruleset.untracks |= statements.iter().any(|statement| statement.get("notrack").is_some());
        let body = Body::Nft(statements.clone());
        ruleset.chains[*index].rules.push(Rule { handle, text: words.map(|words| bounded(&words)), body });
    }
    for set in of_kind("set").chain(of_kind("map")) {
        let key = (text(set, "family"), text(set, "table"), text(set, "name"));
        ruleset.sets.insert(key, set.get("elem").cloned().unwrap_or_else(|| Value::Array(Vec::new())));
    }
    Some(ruleset)
}

fn base(chain: &Value) -> Option<Base> {
    Some(Base {
        hook: chain["hook"].as_str()?.to_owned(),
        priority: chain["prio"].as_i64().unwrap_or(0),
        drops: chain["policy"].as_str() == Some("drop"),
    })
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
