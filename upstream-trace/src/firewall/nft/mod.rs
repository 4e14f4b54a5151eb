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
use std::fmt;
use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

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
        self.compared.get() <= MAX_COMPARED
    }
}

/// Most elements looked at for one packet: rules may name the largest of sets, each of them, and loop. A few tenths of a
/// second.
pub(super) const MAX_COMPARED: usize = 2_000_000;

/// What `nft -j` prints.
#[derive(Deserialize)]
struct Document {
    nftables: Collector,
}

/// Takes its objects one by one.
#[derive(Default)]
struct Collector {
    ruleset: Ruleset,
    chains: HashMap<Name, usize>,
    /// Rules that came before their chain.
    early: Vec<RuleEntry>,
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
pub(super) type Name = (String, String, String);

impl<'de> Deserialize<'de> for Collector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self::default())
    }
}

impl<'de> Visitor<'de> for Collector {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut all: A) -> Result<Self, A::Error> {
        while let Some(entry) = all.next_element()? {
            self.add(entry);
        }
        for rule in std::mem::take(&mut self.early) {
            self.rule(rule);
        }
        self.early.clear();
        Ok(self)
    }
}

impl Collector {
    fn add(&mut self, entry: Entry) {
        if let Some(ChainEntry { family, table, name, hook, prio, policy }) = entry.chain {
            self.chains.insert((family.clone(), table.clone(), name.clone()), self.ruleset.chains.len());
            let drops = policy.as_deref() == Some("drop");
            let base = hook.map(|hook| Base { hook, priority: prio, drops });
            self.ruleset.chains.push(Chain { family, table, name, legacy: false, base, rules: Vec::new() });
        }
        if let Some(rule) = entry.rule {
            self.rule(rule);
        }
        for set in entry.set.into_iter().chain(entry.map) {
            let elements = set.elem.unwrap_or_else(|| Json::Array([].into()));
            self.ruleset.sets.insert((set.family, set.table, set.name), elements);
        }
    }

    fn rule(&mut self, mut rule: RuleEntry) {
        let name = (rule.family, rule.table, rule.chain);
        let Some(index) = self.chains.get(&name) else {
            (rule.family, rule.table, rule.chain) = name;
            self.early.push(rule);
            return;
        };
        // It does nothing with the packet, and nearly every rule has one.
        rule.expr.retain(|statement| statement.get("counter").is_none());
        self.ruleset.untracks |= rule.expr.iter().any(|statement| statement.get("notrack").is_some());
        let body = Body::Nft(rule.expr.into());
        self.ruleset.chains[*index].rules.push(Rule { handle: rule.handle, text: None, body });
    }
}

/// Reads a ruleset, as it comes.
pub(super) fn read(json: impl Read) -> Option<Ruleset> {
    let mut json = text::Checked::of(json);
    let document: Document = serde_json::from_reader(BufReader::new(&mut json)).ok()?;
    let mut ruleset = document.nftables.ruleset;
    for chain in &mut ruleset.chains {
        chain.rules.shrink_to_fit();
    }
    ruleset.wordless = json.has_escapes();
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
    // Text of several lines could speak for other rules.
    if ruleset.wordless {
        return;
    }
    let mut chains: HashMap<Name, (usize, HashMap<u64, usize>)> = HashMap::new();
    for (index, chain) in ruleset.chains.iter().enumerate() {
        let name = (chain.family.clone(), chain.table.clone(), chain.name.clone());
        let rules = chain.rules.iter().enumerate();
        let rules = rules.filter_map(|(number, rule)| Some((rule.handle?, number)));
        chains.insert(name, (index, rules.collect()));
    }
    text::each_rule(listing, |chain, handle, words| {
        let Some((index, rules)) = chains.get(chain) else { return };
        if let Some(number) = rules.get(&handle) {
            ruleset.chains[*index].rules[*number].text = Some(bounded(words));
        }
    });
}

#[cfg(test)]
mod tests;
