//! The statements of a rule, one after the other.

use super::super::packet::Truth3;
use super::super::{Decision, Verdict};
use super::About;
use super::item::item;
use super::json::Json;

/// Targets of iptables that let a packet go on to the next rule.
pub(in super::super) const PASSING: [&str; 22] = [
    "LOG",
    "NFLOG",
    "ULOG",
    "MARK",
    "CONNMARK",
    "CT",
    "TRACE",
    "NOTRACK",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TTL",
    "HL",
    "SET",
    "CLASSIFY",
    "DSCP",
    "TOS",
    "AUDIT",
    "CHECKSUM",
    "SECMARK",
    "CONNSECMARK",
    "TEE",
    "RATEEST",
];
/// Targets of iptables that end a chain well.
pub(in super::super) const ACCEPTING: [&str; 7] =
    ["ACCEPT", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "NFQUEUE"];

impl About<'_> {
    /// What a rule does with the packet.
    pub(in super::super) fn decide(&self, statements: &[Json]) -> Decision {
        let mut held = Truth3::Yes;
        let mut blind = false;
        for statement in statements {
            let Some((kind, inner)) = statement.as_object().and_then(|object| object.first()) else {
                // Such as "notrack" alone.
                held = held.and(if statement.as_str().is_some() { Truth3::Yes } else { Truth3::Maybe });
                continue;
            };
            if let Some(verdict) = verdict(kind, inner) {
                return Decision::when(held, verdict);
            }
            match kind {
                "match" => held = held.and(self.matches(inner)),
                "vmap" => return self.map(held, inner),
                "counter" | "log" | "mangle" | "notrack" | "comment" | "last" | "dup" | "ct helper"
                | "ct timeout" | "ct expectation" | "secmark" | "continue" => {}
                "xt" => match (inner["type"].as_str(), inner["name"].as_str()) {
                    (Some("match"), Some("comment")) => {}
                    (Some("match"), _) => held = held.and(Truth3::Maybe),
                    (Some("target"), Some(name)) => return target(held, name),
                    _ => blind = true,
                },
                _ => held = held.and(Truth3::Maybe),
            }
            if held == Truth3::No {
                return Decision::next();
            }
        }
        if blind {
            return Decision { verdicts: vec![Verdict::Anything], passes: true };
        }
        Decision::next()
    }

    /// A verdict map: the key decides.
    fn map(&self, held: Truth3, map: &Json) -> Decision {
        let field = self.field(&map["key"]);
        let data = &map["data"];
        let elements = match data.as_str() {
            Some(name) => self.set(name),
            None => data.get("set"),
        };
        let mut decision = Decision::next();
        let Some(elements) = elements.and_then(Json::as_array).filter(|all| self.affords(all)) else {
            decision.verdicts.push(Verdict::Anything);
            return decision;
        };
        for element in elements {
            let hit = held.and(item(&field, &element[0]));
            if hit == Truth3::No {
                continue;
            }
            let object = element[1].as_object().and_then(|object| object.first());
            match object.and_then(|(kind, inner)| verdict(kind, inner)) {
                Some(verdict) => decision.verdicts.push(verdict),
                None if object.is_some_and(|(kind, _)| kind == "continue") => {}
                None => decision.verdicts.push(Verdict::Anything),
            }
            // An exact element comes before the rest.
            if hit == Truth3::Yes {
                decision.passes = object.is_some_and(|(kind, _)| kind == "continue");
                break;
            }
        }
        decision
    }
}

fn verdict(kind: &str, inner: &Json) -> Option<Verdict> {
    let target = || inner["target"].as_str().unwrap_or_default().to_owned();
    Some(match kind {
        "accept" | "queue" | "snat" | "dnat" | "masquerade" | "redirect" => Verdict::Accept,
        "drop" | "reject" | "synproxy" => Verdict::Drop,
        "return" => Verdict::Return,
        "jump" => Verdict::Jump(target()),
        "goto" => Verdict::Goto(target()),
        _ => return None,
    })
}

/// A target of iptables inside a rule of nft.
fn target(held: Truth3, name: &str) -> Decision {
    match name {
        "REJECT" | "DROP" => Decision::when(held, Verdict::Drop),
        _ if PASSING.contains(&name) => Decision::next(),
        _ if ACCEPTING.contains(&name) => Decision::when(held, Verdict::Accept),
        _ => Decision::when(held, Verdict::Anything),
    }
}
