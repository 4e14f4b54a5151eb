//! Which rules of a firewall fit a packet that netfilter dropped.

use serde::{Deserialize, Serialize};

use super::bounds::optional_text;
use super::{AttemptId, Nanos, PacketTuple, Workload};

/// What the ruleset of a network namespace says of a dropped packet. Holds for all packets alike: same hook, addresses,
/// TCP flags and port of the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// When the ruleset was read, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// Network namespace in which the packet was dropped.
    pub netns: u32,
    /// Netfilter hook: `prerouting`, `input`, `forward`, `output`, `postrouting`, `ingress`, `egress`.
    pub hook: String,
    /// `nft`, `iptables`, or `other`: one of these or something else.
    pub by: String,
    /// Addresses of the packet.
    pub tuple: PacketTuple,
    /// TCP flags of the packet.
    pub tcp_flags: u8,
    /// Attempt to which it belongs, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
    /// Rules and policies that may have dropped it, in the order in which a packet meets them.
    pub rules: Vec<MatchedRule>,
    /// If there is none: base chains of that hook, `FAMILY TABLE CHAIN`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<String>,
    /// No other rule can have dropped it.
    pub complete: bool,
    /// The ruleset could not be read: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Whose namespace it is, if it is not nginx's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dweller: Option<Dweller>,
}

/// Who lives in a network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dweller {
    /// A process there, in the tracing host's numbering; 0 if none is known.
    #[serde(default)]
    pub pid: u32,
    /// Its name, as `ip netns` has it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub name: Option<String>,
    /// It is the host's own namespace.
    #[serde(default)]
    pub host: bool,
    /// Where that process runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Workload>,
}

/// A rule, or the policy of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedRule {
    /// `inet`, `ip`, `ip6`, `netdev`.
    pub family: String,
    /// Name of the table.
    pub table: String,
    /// Name of the chain.
    pub chain: String,
    /// Handle, by which nft names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<u64>,
    /// The rule as text; as it is, nothing in it is escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// It is the policy of the chain, not a rule.
    #[serde(default)]
    pub policy: bool,
    /// It is one of iptables as it was before nft.
    #[serde(default)]
    pub legacy: bool,
    /// The only one that can have dropped the packet.
    pub certain: bool,
}

impl MatchedRule {
    /// The chain with its table, as nft takes it.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} {} {}", self.family, self.table, self.chain)
    }
}
