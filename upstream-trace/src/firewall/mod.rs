//! Which rule of a firewall dropped a packet: the ruleset of a network namespace is read with the programs that people
//! use themselves, and walked as the kernel does. Nothing on the host is changed.
//!
//! A condition that cannot be decided from outside (a mark, a rate, a user) may hold or not. As the packet is known to
//! have been dropped, a rule that is the only one left which can have done it is certain all the same.

#[cfg(feature = "fuzz")]
pub mod fuzz;
mod iptables;
mod list;
mod nft;
mod packet;
mod program;
mod reader;
mod walk;

pub use reader::Rulesets;

use std::collections::HashMap;

use nft::Json;

/// Longest text of a rule, in characters.
const LONGEST_TEXT: usize = 256;

/// The programs of this host that list rules, and where each is.
#[must_use]
pub fn programs() -> Vec<(&'static str, Option<String>)> {
    let find = |name| program::find(name).map(|path| path.display().to_string());
    ["nft", "iptables-save", "ip6tables-save"].into_iter().map(|name| (name, find(name))).collect()
}

/// The chains of a network namespace.
#[derive(Debug, Default)]
struct Ruleset {
    chains: Vec<Chain>,
    /// Named sets and maps of nft, by family, table and name.
    sets: HashMap<(String, String, String), Json>,
    /// A rule takes packets out of connection tracking.
    untracks: bool,
    /// There may be rules that could not be read.
    partial: bool,
    /// A listing cannot be relied on for the words of the rules.
    wordless: bool,
}

#[derive(Debug)]
struct Chain {
    family: String,
    table: String,
    name: String,
    /// Of iptables as it was before nft.
    legacy: bool,
    base: Option<Base>,
    rules: Vec<Rule>,
}

impl Ruleset {
    /// Both.
    fn and(mut self, other: Self) -> Self {
        self.chains.extend(other.chains);
        self.sets.extend(other.sets);
        self.untracks |= other.untracks;
        self.partial |= other.partial;
        self
    }
}

/// Where a chain begins.
#[derive(Debug)]
struct Base {
    hook: String,
    priority: i64,
    /// What comes through is dropped.
    drops: bool,
}

#[derive(Debug)]
struct Rule {
    handle: Option<u64>,
    text: Option<String>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Statements of nft's JSON.
    Nft(Box<[Json]>),
    /// Words of a line of iptables-save, after the chain.
    Iptables(Vec<String>),
}

/// What becomes of a packet at a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
    /// Not known; dropping is possible.
    Anything,
}

/// What a rule does with a packet.
#[derive(Debug, Default, PartialEq, Eq)]
struct Decision {
    /// Possible verdicts.
    verdicts: Vec<Verdict>,
    /// The next rule may see the packet.
    passes: bool,
}

impl Decision {
    fn next() -> Self {
        Self { verdicts: Vec::new(), passes: true }
    }

    /// A verdict if the conditions held.
    fn when(held: packet::Truth3, verdict: Verdict) -> Self {
        match held {
            packet::Truth3::No => Self::next(),
            held => Self { verdicts: vec![verdict], passes: held == packet::Truth3::Maybe },
        }
    }
}

/// A text as long as is useful.
fn bounded(text: &str) -> String {
    let mut bounded: String = text.chars().take(LONGEST_TEXT).collect();
    if bounded.len() < text.len() {
        bounded.pop();
        bounded.push('…');
    }
    bounded
}
