//! The lines of `iptables-save` and `ip6tables-save`.

use std::net::IpAddr;

use super::nft::{ACCEPTING, PASSING};
use super::packet::{Packet, Truth3, flag, within};
use super::{Base, Body, Chain, Decision, Rule, Ruleset, Verdict, bounded};

/// Modules whose conditions are known, or that have none.
const MODULES: [&str; 6] = ["tcp", "multiport", "conntrack", "state", "comment", "udp"];

/// Reads what `iptables-save` says; `family` is `ip` or `ip6`.
pub(super) fn parse(save: &str, family: &str) -> Ruleset {
    let mut ruleset = Ruleset::default();
    let mut table = String::new();
    let mut first = 0;
    for line in save.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
            first = ruleset.chains.len();
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split(' ');
            let (name, policy) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            ruleset.chains.push(Chain {
                family: family.to_owned(),
                table: table.clone(),
                name: name.to_owned(),
                legacy: true,
                base: base(&table, name, policy),
                rules: Vec::new(),
            });
        } else if let Some((name, rule)) = line.strip_prefix("-A ").and_then(|rule| rule.split_once(' ')) {
            let body = Body::Iptables(words(rule));
            let rule = Rule { handle: None, text: Some(bounded(line)), body };
            if let Some(chain) = ruleset.chains[first..].iter_mut().find(|chain| chain.name == name) {
                chain.rules.push(rule);
            }
        }
    }
    ruleset
}

/// A chain with a policy begins at the hook of its name.
fn base(table: &str, name: &str, policy: &str) -> Option<Base> {
    if policy == "-" {
        return None;
    }
    let priority = match table {
        "raw" => -300,
        "mangle" => -150,
        "nat" => -100,
        "security" => 50,
        _ => 0,
    };
    Some(Base { hook: name.to_ascii_lowercase(), priority, drops: policy == "DROP" })
}

/// Words of a line; those in quotation marks are one.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(chars.next()),
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// What a rule does with the packet.
pub(super) fn decide(rule: &[String], packet: &Packet) -> Decision {
    let mut held = Truth3::Yes;
    let mut words = rule.iter().map(String::as_str);
    let mut negated = false;
    while let Some(option) = words.next() {
        let found = match option {
            "!" => {
                negated = true;
                continue;
            }
            "-j" => return target(held, words.next().unwrap_or_default()),
            "-g" => return Decision::when(held, Verdict::Goto(words.next().unwrap_or_default().to_owned())),
            "-m" => Truth3::from(words.next().is_some_and(|name| MODULES.contains(&name))).or(Truth3::Maybe),
            "--comment" => {
                words.next();
                Truth3::Yes
            }
            "--syn" => flags(packet, "FIN,SYN,RST,ACK", "SYN"),
            "--tcp-flags" => {
                flags(packet, words.next().unwrap_or_default(), words.next().unwrap_or_default())
            }
            option if option.starts_with('-') => {
                condition(option, words.next().unwrap_or_default(), packet).unwrap_or(Truth3::Maybe)
            }
            _ => Truth3::Maybe,
        };
        held = held.and(if std::mem::take(&mut negated) { found.not() } else { found });
    }
    Decision::next()
}

fn condition(option: &str, value: &str, packet: &Packet) -> Option<Truth3> {
    let (src, dst) = (packet.src, packet.dst);
    let ports = |ports: &[u16]| Truth3::any(ports.iter().map(|port| in_ports(*port, value)));
    Some(match option {
        "-s" => address(src.ip().to_canonical(), value)?,
        "-d" => address(dst.ip().to_canonical(), value)?,
        "-i" => packet.input.is(value, '+'),
        "-o" => packet.output.is(value, '+'),
        "-p" => matches!(value, "tcp" | "6" | "all" | "0").into(),
        "--sport" | "--sports" => ports(&[src.port()]),
        "--dport" | "--dports" => ports(&[dst.port()]),
        "--ports" => ports(&[src.port(), dst.port()]),
        "--ctstate" | "--state" if packet.is_syn() => value.split(',').any(|state| state == "NEW").into(),
        _ => return None,
    })
}

fn address(ip: IpAddr, value: &str) -> Option<Truth3> {
    let (prefix, len) = value.split_once('/').unwrap_or((value, ""));
    let prefix: IpAddr = prefix.parse().ok()?;
    let full = if prefix.is_ipv4() { 32 } else { 128 };
    let len = if len.is_empty() { full } else { len.parse().ok()? };
    Some(within(ip, prefix, len).into())
}

/// Ports and ranges of them, with commas between.
fn in_ports(port: u16, value: &str) -> Truth3 {
    Truth3::any(value.split(',').map(|item| {
        let (low, high) = item.split_once(':').unwrap_or((item, item));
        match (low.parse::<u16>(), high.parse::<u16>()) {
            (Ok(low), Ok(high)) => (low..=high).contains(&port).into(),
            _ => Truth3::Maybe,
        }
    }))
}

fn flags(packet: &Packet, mask: &str, set: &str) -> Truth3 {
    let bits = |names: &str| match names {
        "NONE" => Some(0),
        names => names.split(',').try_fold(0, |bits, name| Some(bits | flag(name)?)),
    };
    match (bits(mask), bits(set)) {
        (Some(mask), Some(set)) if packet.flags != 0 => (packet.flags & mask == set).into(),
        _ => Truth3::Maybe,
    }
}

fn target(held: Truth3, name: &str) -> Decision {
    match name {
        "DROP" | "REJECT" => Decision::when(held, Verdict::Drop),
        "RETURN" => Decision::when(held, Verdict::Return),
        _ if ACCEPTING.contains(&name) || name == "QUEUE" => Decision::when(held, Verdict::Accept),
        _ if PASSING.contains(&name) => Decision::next(),
        _ => Decision::when(held, Verdict::Jump(name.to_owned())),
    }
}

#[cfg(test)]
mod tests;
