//! The JSON of `nft -j -a list ruleset`, as libnftables-json(5) describes it.

mod field;
mod item;
mod json;
mod statement;
mod text;

pub(in crate::firewall) use json::Json;
pub(super) use statement::{ACCEPTING, PASSING};

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;

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
    fn affords(&self, elements: &[Json]) -> bool {
        self.compared.set(self.compared.get().saturating_add(elements.len()));
        self.compared.get() <= MOST_COMPARED
    }
}

/// Most elements looked at for one packet: rules may name the largest of sets, each of them, and loop. A few tenths of a
/// second.
pub(super) const MOST_COMPARED: usize = 2_000_000;

/// What `nft -j` prints.
#[derive(Deserialize)]
struct Document {
    nftables: Vec<Entry>,
}

/// One of its objects; those of other kinds have none of these.
#[derive(Deserialize)]
struct Entry {
    chain: Option<ChainEntry>,
    rule: Option<RuleEntry>,
    set: Option<SetEntry>,
    map: Option<SetEntry>,
}

/// Table and name of something.
#[derive(Deserialize, Hash, PartialEq, Eq)]
struct ChainEntry {
    #[serde(default)]
    family: String,
    #[serde(default)]
    table: String,
    #[serde(default)]
    name: String,
    hook: Option<String>,
    #[serde(default)]
    prio: i64,
    policy: Option<String>,
}

#[derive(Deserialize)]
struct RuleEntry {
    #[serde(default)]
    family: String,
    #[serde(default)]
    table: String,
    #[serde(default)]
    chain: String,
    handle: Option<u64>,
    #[serde(default)]
    expr: Vec<Json>,
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
struct SetEntry {
    #[serde(default)]
    family: String,
    #[serde(default)]
    table: String,
    #[serde(default)]
    name: String,
    elem: Option<Json>,
}

/// Family, table and name.
type Name = (String, String, String);

/// Reads a ruleset, as it comes.
pub(super) fn read(json: impl Read) -> Option<Ruleset> {
    let document: Document = serde_json::from_reader(BufReader::new(json)).ok()?;
    let mut ruleset = Ruleset::default();
    let mut chains: HashMap<Name, usize> = HashMap::new();
    let mut rules = Vec::new();
    for entry in document.nftables {
        if let Some(ChainEntry { family, table, name, hook, prio, policy }) = entry.chain {
            chains.insert((family.clone(), table.clone(), name.clone()), ruleset.chains.len());
            let drops = policy.as_deref() == Some("drop");
            let base = hook.map(|hook| Base { hook, priority: prio, drops });
            ruleset.chains.push(Chain { family, table, name, legacy: false, base, rules: Vec::new() });
        }
        rules.extend(entry.rule);
        for set in entry.set.into_iter().chain(entry.map) {
            let elements = set.elem.unwrap_or_else(|| Json::Array([].into()));
            ruleset.sets.insert((set.family, set.table, set.name), elements);
        }
    }
    for RuleEntry { family, table, chain, handle, expr, comment } in rules {
        let Some(index) = chains.get(&(family, table, chain)) else { continue };
        ruleset.untracks |= expr.iter().any(|statement| statement.get("notrack").is_some());
        let body = Body::Nft(expr.into());
        // A comment of several lines could speak for other rules in a listing.
        let wordless = comment.contains(char::is_control);
        ruleset.chains[*index].rules.push(Rule { handle, text: None, wordless, body });
    }
    Some(ruleset)
}

/// Reads a ruleset; `listing` is the same from `nft -a list ruleset`, for the words of the rules.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn parse(json: &str, listing: &str) -> Option<Ruleset> {
    let mut ruleset = read(json.as_bytes())?;
    add_texts(&mut ruleset, listing.as_bytes());
    Some(ruleset)
}

/// Adds the words of the rules from what `nft -a list ruleset` prints, as it comes.
pub(super) fn add_texts(ruleset: &mut Ruleset, listing: impl BufRead) {
    let mut places: HashMap<(Name, u64), (usize, usize)> = HashMap::new();
    for (index, chain) in ruleset.chains.iter().enumerate() {
        for (number, rule) in chain.rules.iter().enumerate().filter(|(_, rule)| !rule.wordless) {
            let name = (chain.family.clone(), chain.table.clone(), chain.name.clone());
            places.extend(rule.handle.map(|handle| ((name, handle), (index, number))));
        }
    }
    text::each_rule(listing, |family, table, chain, handle, words| {
        let key = ((family.to_owned(), table.to_owned(), chain.to_owned()), handle);
        let Some((index, number)) = places.get(&key) else { return };
        let rule = &mut ruleset.chains[*index].rules[*number];
        // Whose words come twice has them of somebody else once.
        rule.wordless = rule.text.replace(bounded(words)).is_some();
        if rule.wordless {
            rule.text = None;
            places.remove(&key);
        }
    });
}

#[cfg(test)]
mod tests;
