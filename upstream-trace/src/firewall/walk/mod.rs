//! Walks the chains of a hook as the kernel does, and collects the rules that may have dropped the packet.

use std::cell::Cell;

use upstream_trace_core::event::MatchedRule;

use super::packet::Packet;
use super::{Body, Chain, Decision, Ruleset, Verdict, iptables, nft};

/// The kernel follows no more jumps than that.
const DEEPEST: usize = 16;
/// Rules looked at for one packet; a ruleset may have loops of jumps that grow without end.
const MAX_RULES: usize = 100_000;
/// Candidates named.
const MAX_FOUND: usize = 8;

/// What may have dropped the packet.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rules: Vec<MatchedRule>,
    /// Base chains of the hook, if no rule was found.
    pub(super) chains: Vec<String>,
    pub(super) complete: bool,
    /// A packet like this cannot come through.
    pub(super) blocked: bool,
}

/// What can become of a packet in a chain.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    accepted: bool,
    /// It comes back to where the chain was called.
    returned: bool,
}

struct Walk<'a> {
    ruleset: &'a Ruleset,
    packet: &'a Packet,
    /// Chain and rule; no rule: the policy.
    candidates: Vec<(usize, Option<usize>)>,
    seen: usize,
    compared: Cell<usize>,
    complete: bool,
}

impl Ruleset {
    /// The rules that may have dropped this packet.
    pub(super) fn find(&self, packet: &Packet) -> Found {
        let bases = self.bases(packet);
        let (candidates, compared) = (Vec::new(), Cell::new(0));
        let mut walk = Walk { ruleset: self, packet, candidates, seen: 0, compared, complete: true };
        let blocked = !bases.iter().all(|index| walk.base(*index));
        walk.complete &= walk.compared.get() <= nft::MAX_COMPARED;
        walk.complete &= !self.partial && walk.candidates.len() <= MAX_FOUND;
        let certain = walk.complete && walk.candidates.len() == 1;
        let chosen = walk.candidates.iter().take(MAX_FOUND);
        let rules: Vec<_> = chosen.map(|(chain, rule)| self.named(*chain, *rule, certain)).collect();
        let chains = if rules.is_empty() { bases.iter() } else { [].iter() };
        let place = |chain: &Chain| format!("{} {} {}", chain.family, chain.table, chain.name);
        let chains = chains.take(MAX_FOUND).map(|index| place(&self.chains[*index])).collect();
        Found { rules, chains, complete: walk.complete, blocked }
    }

    /// Base chains that see the packet, in their order.
    fn bases(&self, packet: &Packet) -> Vec<usize> {
        let sees = |family: &str| match &packet.family {
            Some(known) => family == known,
            None => matches!(family, "inet" | "netdev") || family == if packet.v6() { "ip6" } else { "ip" },
        };
        let mut bases: Vec<_> = self
            .chains
            .iter()
            .enumerate()
            .filter(|(_, chain)| sees(&chain.family))
            .filter_map(|(index, chain)| Some((chain.base.as_ref()?, index)))
            .filter(|(base, _)| base.hook == packet.hook)
            .map(|(base, index)| (base.priority, index))
            .collect();
        bases.sort_unstable();
        bases.into_iter().map(|(_, index)| index).collect()
    }

    fn chain(&self, like: &Chain, name: &str) -> Option<usize> {
        let same = |chain: &Chain| {
            (&chain.table, &chain.family, chain.legacy) == (&like.table, &like.family, like.legacy)
        };
        self.chains.iter().position(|chain| chain.name == name && same(chain))
    }

    fn named(&self, chain: usize, rule: Option<usize>, certain: bool) -> MatchedRule {
        let chain = &self.chains[chain];
        let found = rule.map(|rule| &chain.rules[rule]);
        MatchedRule {
            family: chain.family.clone(),
            table: chain.table.clone(),
            chain: chain.name.clone(),
            handle: found.and_then(|rule| rule.handle),
            text: found.and_then(|rule| rule.text.clone()),
            policy: rule.is_none(),
            legacy: chain.legacy,
            certain,
        }
    }
}

impl Walk<'_> {
    /// Walks a base chain; false if nothing comes through.
    fn base(&mut self, index: usize) -> bool {
        let Some(base) = &self.ruleset.chains[index].base else { return true };
        let outcome = self.chain(index, base.priority, 0);
        if outcome.returned && base.drops {
            self.candidate(index, None);
        }
        outcome.accepted || (outcome.returned && !base.drops)
    }

    fn chain(&mut self, index: usize, priority: i64, depth: usize) -> Outcome {
        let chain = &self.ruleset.chains[index];
        let mut outcome = Outcome::default();
        for (number, rule) in chain.rules.iter().enumerate() {
            self.seen += 1;
            if self.seen > MAX_RULES {
                break;
            }
            let decision = match &rule.body {
                Body::Nft(statements) => {
                    let about = nft::About {
                        ruleset: self.ruleset,
                        chain,
                        packet: self.packet,
                        priority,
                        compared: &self.compared,
                    };
                    about.decide(statements)
                }
                Body::Iptables(words) => iptables::decide(words, self.packet),
            };
            if !self.follow((index, number), &decision, (priority, depth), &mut outcome) {
                return outcome;
            }
        }
        if self.seen > MAX_RULES {
            self.complete = false;
        }
        outcome.returned = true;
        outcome
    }

    /// Follows the verdicts of a rule; whether the next rule may see the packet.
    fn follow(
        &mut self,
        (index, number): (usize, usize),
        decision: &Decision,
        (priority, depth): (i64, usize),
        outcome: &mut Outcome,
    ) -> bool {
        let mut passes = decision.passes;
        for verdict in &decision.verdicts {
            match verdict {
                Verdict::Accept => outcome.accepted = true,
                Verdict::Drop => self.candidate(index, Some(number)),
                Verdict::Return => outcome.returned = true,
                Verdict::Anything => {
                    self.candidate(index, Some(number));
                    outcome.accepted = true;
                    passes = true;
                }
                Verdict::Jump(name) | Verdict::Goto(name) => {
                    let ruleset = self.ruleset;
                    let target = ruleset.chain(&ruleset.chains[index], name).filter(|_| depth < DEEPEST);
                    let inner = target.map(|target| self.chain(target, priority, depth + 1));
                    self.complete &= inner.is_some();
                    let inner = inner.unwrap_or(Outcome { accepted: true, returned: true });
                    outcome.accepted |= inner.accepted;
                    if matches!(verdict, Verdict::Goto(_)) {
                        outcome.returned |= inner.returned;
                    } else {
                        passes |= inner.returned;
                    }
                }
            }
        }
        passes
    }

    fn candidate(&mut self, chain: usize, rule: Option<usize>) {
        if !self.candidates.contains(&(chain, rule)) {
            self.candidates.push((chain, rule));
        }
    }
}

#[cfg(test)]
mod tests;
