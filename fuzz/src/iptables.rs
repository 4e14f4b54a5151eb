//! What `iptables-save` says.

use upstream_trace::firewall::fuzz;

use crate::{Target, nft};

/// Takes its lines.
pub(crate) const TARGET: Target = Target::of_bytes("iptables", run);

fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for ((src, dst), family) in nft::packets().into_iter().zip(["ip", "ip6"]) {
        nft::check(&fuzz::iptables(&text, family, src, dst));
    }
}
