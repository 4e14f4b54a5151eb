//! Firewalls, and the check that they did what they are there for.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Result;

use crate::lab::Lab;
use crate::netns::Namespace;
use crate::util::wait_until;
use crate::world::World;

/// A firewall in one of a world's namespaces.
#[derive(Debug)]
pub struct Firewall<'world> {
    lab: &'world Lab,
    namespace: &'world Namespace,
    list: &'static str,
}

impl<'world> Firewall<'world> {
    /// A chain `inet lab HOOK` at this hook with this rule; write `counter` into the rule.
    pub fn nft(
        world: &'world World<'_>,
        namespace: &'world Namespace,
        hook: &str,
        rule: &str,
    ) -> Result<Self> {
        let chain = format!("chain {hook} {{\ntype filter hook {hook} priority 0\n{rule}\n}}");
        namespace.script(&format!("nft -f - <<'END'\ntable inet lab {{\n{chain}\n}}\nEND"))?;
        Ok(Self { lab: world.lab(), namespace, list: "nft list ruleset" })
    }

    /// A rule of one of the programs of the iptables family, e.g. `iptables-nft -A OUTPUT ...`.
    pub fn iptables(world: &'world World<'_>, namespace: &'world Namespace, rule: &str) -> Result<Self> {
        namespace.command(rule)?;
        let list = match rule.split(' ').next() {
            Some("iptables-legacy") => "iptables-legacy -vnxL",
            Some("ip6tables-nft") => "ip6tables-nft -vnxL",
            Some("ip6tables-legacy") => "ip6tables-legacy -vnxL",
            _ => "iptables-nft -vnxL",
        };
        Ok(Self { lab: world.lab(), namespace, list })
    }

    /// Checks that a rule matches a packet, now or within a second.
    pub fn was_hit(&self) {
        let listing = RefCell::new(String::new());
        let hit = wait_until("a packet", Duration::from_secs(1), || {
            listing.replace(self.namespace.command(self.list).unwrap_or_default());
            counted(&listing.borrow())
        });
        self.lab.check(hit.is_ok(), || format!("the firewall matched nothing:\n{}", listing.borrow()));
    }

    /// Removes it.
    pub fn remove(&self) -> Result<()> {
        self.namespace.command("nft flush ruleset").map(drop)
    }
}

/// Whether a counter of nft or a rule of iptables is above zero.
fn counted(listing: &str) -> bool {
    let mut words = listing.split_whitespace().peekable();
    let mut nft = false;
    while let Some(word) = words.next() {
        if word == "packets" && words.peek().is_some_and(|count| *count != "0") {
            nft = true;
        }
    }
    let policy = |line: &str| line.starts_with("Chain");
    nft && !listing.contains("Chain ")
        || listing.lines().filter(|line| !policy(line)).any(|line| {
            let mut columns = line.split_whitespace();
            let count = columns.next().and_then(|count| count.parse::<u64>().ok());
            let target = columns.nth(1).is_some_and(|target| ["DROP", "REJECT"].contains(&target));
            target && count.is_some_and(|count| count > 0)
        })
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn counters_of_both_families() {
        assert!(counted("tcp dport 1 counter packets 3 bytes 180 drop"));
        assert!(!counted("tcp dport 1 counter packets 0 bytes 0 drop"));
        let list = |count| {
            format!(
                "Chain OUTPUT (policy ACCEPT 9 packets, 9 bytes)\n pkts bytes target\n {count} 60 DROP tcp"
            )
        };
        assert!(counted(&list(1)));
        assert!(!counted(&list(0)));
    }
}
