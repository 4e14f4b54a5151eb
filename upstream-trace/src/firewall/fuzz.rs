//! What a fuzzer gives as rulesets and packets.

use std::net::SocketAddr;

use upstream_trace_core::event::MatchedRule;

use super::packet::{Device, Packet};
use super::{iptables, nft};

/// The rules of nft that may have dropped a SYN; `None` if that is no ruleset.
#[must_use]
pub fn nft(json: &str, listing: &str, src: SocketAddr, dst: SocketAddr) -> Option<Vec<MatchedRule>> {
    Some(nft::parse(json, listing)?.find(&packet(src, dst)).rules)
}

/// The rules of iptables that may have dropped a SYN.
#[must_use]
pub fn iptables(save: &str, family: &str, src: SocketAddr, dst: SocketAddr) -> Vec<MatchedRule> {
    iptables::parse(save, family).find(&packet(src, dst)).rules
}

fn packet(src: SocketAddr, dst: SocketAddr) -> Packet {
    let (input, output) = (Device::None, Device::Named("eth0".to_owned()));
    Packet { src, dst, flags: 2, hook: "output".to_owned(), family: None, input, output }
}
