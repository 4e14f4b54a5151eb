//! Names of the few kernel functions that say where a packet was dropped, from `/proc/kallsyms`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use upstream_trace_core::event::Netfilter;

const PATH: &str = "/proc/kallsyms";

/// A listener is closed: it resets the connections in its queue.
const LISTEN_STOP: &str = "inet_csk_listen_stop";

/// Somebody ends a socket of another process: `ss -K`, or a BPF program.
const ABORT: &str = "tcp_abort";

/// Functions of interest and what one of them on the stack says.
const KNOWN: &[(&str, Says)] = &[
    ("nft_do_chain", Says::By("nft")),
    ("ipt_do_table", Says::By("iptables")),
    ("ip6t_do_table", Says::By("iptables")),
    ("nf_conntrack_in", Says::By("conntrack")),
    ("ipv4_conntrack_in", Says::By("conntrack")),
    ("ipv4_conntrack_local", Says::By("conntrack")),
    ("ipv6_conntrack_in", Says::By("conntrack")),
    ("ipv6_conntrack_local", Says::By("conntrack")),
    ("nft_do_chain_inet", Says::Family("inet")),
    ("nft_do_chain_ipv4", Says::Family("ip")),
    ("nft_do_chain_ipv6", Says::Family("ip6")),
    ("nft_do_chain_netdev", Says::Family("netdev")),
    ("nft_do_chain_bridge", Says::Family("bridge")),
    ("nf_hook_slow", Says::Nothing),
    (LISTEN_STOP, Says::Elsewhere),
    (ABORT, Says::Elsewhere),
    ("arp_error_report", Says::Elsewhere),
    ("ndisc_error_report", Says::Elsewhere),
    ("neigh_invalidate", Says::Elsewhere),
    ("__ip_local_out", Says::Hook("output")),
    ("__ip6_local_out", Says::Hook("output")),
    ("ip6_xmit", Says::Hook("output")),
    ("ip_output", Says::Hook("postrouting")),
    ("ip6_output", Says::Hook("postrouting")),
    ("ip_mc_output", Says::Hook("postrouting")),
    ("ip_local_deliver", Says::Hook("input")),
    ("ip6_input", Says::Hook("input")),
    ("ip_rcv", Says::Hook("prerouting")),
    ("ipv6_rcv", Says::Hook("prerouting")),
    ("ip_forward", Says::Hook("forward")),
    ("ip6_forward", Says::Hook("forward")),
    ("br_forward_finish", Says::Hook("postrouting")),
    ("__br_forward", Says::Bridged),
    ("br_dev_xmit", Says::Hook("output")),
    ("br_pass_frame_up", Says::Hook("input")),
    ("br_handle_frame", Says::Hook("prerouting")),
    ("__dev_queue_xmit", Says::Hook("egress")),
    ("__netif_receive_skb_core", Says::Hook("ingress")),
];

/// Functions that drop packets for one reason only, in the words of kernels that give reasons (5.17). The address that
/// such an older kernel gives of a drop is that of the caller of `kfree_skb()`, which for a call at the end of a function
/// is the function before.
const DROP_PLACES: &[(&str, &str)] = &[
    ("nf_hook_slow", "NETFILTER_DROP"),
    ("arp_error_report", "NEIGH_FAILED"),
    ("ndisc_error_report", "NEIGH_FAILED"),
    ("neigh_invalidate", "NEIGH_FAILED"),
];

/// What a function on the stack tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Who dropped the packet.
    By(&'static str),
    /// Family of the nft table.
    Family(&'static str),
    /// Netfilter hook; the innermost one counts.
    Hook(&'static str),
    /// A bridge passed the packet on: what this host sent, if its bridge device was handed it, else what came in.
    Bridged,
    /// Only that the drop was netfilter's.
    Nothing,
    /// Nothing of netfilter.
    Elsewhere,
}

/// Address ranges of the known functions.
#[derive(Debug, Default)]
pub struct Symbols {
    ranges: Vec<(u64, u64, &'static str, Says)>,
}

/// Symbols that are read when the first drop needs them: that takes tens of milliseconds, and most runs see no drop.
#[derive(Debug, Default)]
pub struct LateSymbols {
    opened: Mutex<Option<File>>,
    read: OnceLock<Symbols>,
}

impl LateSymbols {
    /// To be read from this file.
    #[must_use]
    pub fn of(opened: Option<File>) -> Self {
        Self { opened: Mutex::new(opened), read: OnceLock::new() }
    }

    /// The symbols; none if there was nothing to open.
    pub fn get(&self) -> &Symbols {
        self.read.get_or_init(|| {
            let opened = self.opened.lock().ok().and_then(|mut opened| opened.take());
            opened.map(Symbols::read).unwrap_or_default()
        })
    }
}

impl From<Symbols> for LateSymbols {
    fn from(symbols: Symbols) -> Self {
        Self { opened: Mutex::default(), read: OnceLock::from(symbols) }
    }
}

impl Symbols {
    /// Opens the list of the kernel's symbols. Whether addresses are shown depends on the rights at this moment
    /// (`CAP_SYSLOG`), not at that of reading, since 5.8.
    #[must_use]
    pub fn open() -> Option<File> {
        File::open(PATH).ok()
    }

    /// Opens and reads it; nothing where it cannot be read.
    #[must_use]
    pub fn now() -> Self {
        Self::open().map(Self::read).unwrap_or_default()
    }

    /// Reads it; no addresses (and every lookup `None`) if they are hidden.
    #[must_use]
    pub fn read(file: File) -> Self {
        Self::parse(BufReader::new(file))
    }

    /// Addresses are not hidden.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// Reads lines of `/proc/kallsyms`.
    pub fn parse(reader: impl BufRead) -> Self {
        let known: HashMap<&str, (&'static str, Says)> =
            KNOWN.iter().map(|(name, says)| (*name, (*name, *says))).collect();
        let mut starts = Vec::new();
        let mut all = Vec::with_capacity(1 << 17);
        for line in reader.lines().map_while(Result::ok) {
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let (true, Ok(address)) = (matches!(kind, "t" | "T"), u64::from_str_radix(address, 16)) else {
                continue;
            };
            if address == 0 {
                // Hidden by kptr_restrict.
                continue;
            }
            all.push(address);
            // Compilers append .constprop.0, .isra.0, .cold and the like.
            let base = name.split('.').next().unwrap_or(name);
            if let Some((name, says)) = known.get(base) {
                starts.push((address, *name, *says));
            }
        }
        all.sort_unstable();
        let end = |start: u64| {
            all.get(all.partition_point(|address| *address <= start)).copied().unwrap_or(u64::MAX)
        };
        let mut ranges: Vec<_> =
            starts.into_iter().map(|(start, name, says)| (start, end(start), name, says)).collect();
        ranges.sort_unstable_by_key(|range| range.0);
        Self { ranges }
    }

    fn find(&self, address: u64) -> Option<(&'static str, Says)> {
        let after = self.ranges.partition_point(|range| range.0 <= address);
        let (_, end, name, says) = *self.ranges.get(after.checked_sub(1)?)?;
        (address < end).then_some((name, says))
    }

    /// Name of the function that contains this address, if it is one of those that matter.
    #[must_use]
    pub fn name(&self, address: u64) -> Option<&'static str> {
        self.find(address).map(|(name, _)| name)
    }

    /// The function on whose behalf a reset was sent, if it is one that matters.
    #[must_use]
    pub fn of_reset(&self, stack: &[u64]) -> Option<String> {
        let names = stack.iter().filter_map(|address| self.name(*address));
        names.into_iter().find(|name| matches!(*name, LISTEN_STOP | ABORT)).map(str::to_owned)
    }

    /// Where packets are dropped for a known reason.
    pub fn drop_places(&self) -> impl Iterator<Item = (Range<u64>, &'static str)> + '_ {
        DROP_PLACES.iter().filter_map(|(function, reason)| {
            let (begin, end, ..) = self.ranges.iter().find(|(_, _, name, _)| name == function)?;
            Some((*begin..*end, *reason))
        })
    }

    /// Reads a stack, innermost first, as a netfilter drop; `None` if netfilter is not on it.
    #[must_use]
    pub fn netfilter(&self, stack: &[u64]) -> Option<Netfilter> {
        let (mut seen, mut bridged) = (false, false);
        let mut found = Netfilter { hook: None, by: "other".to_owned(), family: None };
        for (_, says) in stack.iter().take_while(|frame| **frame != 0).filter_map(|frame| self.find(*frame)) {
            match says {
                Says::By(by) => {
                    seen = true;
                    if found.by == "other" {
                        by.clone_into(&mut found.by);
                    }
                }
                Says::Family(family) => found.family = Some(family.to_owned()),
                Says::Nothing => seen = true,
                Says::Bridged if seen => bridged = true,
                Says::Bridged => break,
                Says::Elsewhere => {}
                Says::Hook(hook) => {
                    let hook = if bridged && hook != "output" { "forward" } else { hook };
                    if seen {
                        found.hook = Some(hook.to_owned());
                    }
                    break;
                }
            }
        }
        seen.then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYMBOLS: &str = "1000 T nft_do_chain\n2000 t nft_do_chain_inet.constprop.0\n3000 T nf_hook_slow\n\
                           4000 T __ip_local_out\n5000 T something_else\n6000 T ip_output\n0 T hidden\n";

    #[test]
    fn the_innermost_hook_names_the_place() {
        let symbols = Symbols::parse(SYMBOLS.as_bytes());
        let found = symbols.netfilter(&[0x1010, 0x2010, 0x3010, 0x4010, 0x6010]).expect("netfilter");
        assert_eq!(found.by, "nft");
        assert_eq!(found.family.as_deref(), Some("inet"));
        assert_eq!(found.hook.as_deref(), Some("output"));
    }

    #[test]
    fn a_bridge_sends_or_passes_on() {
        let symbols = "1000 T nft_do_chain\n2000 t nft_do_chain_bridge\n3000 T nf_hook_slow\n4000 T __br_forward\n\
                       5000 T br_dev_xmit\n6000 T br_handle_frame\n7000 T br_forward_finish\n8000 T end\n";
        let symbols = Symbols::parse(symbols.as_bytes());
        let hook = |stack: &[u64]| symbols.netfilter(stack).and_then(|found| found.hook);
        let dropped = [0x1010, 0x2010, 0x3010];
        let at = |rest: &[u64]| hook(&[&dropped[..], rest].concat());
        assert_eq!(at(&[0x4010, 0x5010]).as_deref(), Some("output"));
        assert_eq!(at(&[0x4010, 0x6010]).as_deref(), Some("forward"));
        assert_eq!(at(&[0x6010]).as_deref(), Some("prerouting"));
        assert_eq!(at(&[0x7010, 0x4010, 0x5010]).as_deref(), Some("postrouting"));
    }

    #[test]
    fn a_drop_elsewhere_is_not_netfilter() {
        let symbols = Symbols::parse(SYMBOLS.as_bytes());
        assert_eq!(symbols.netfilter(&[0x5010, 0x4010]), None);
        assert_eq!(symbols.name(0x5fff), None);
    }

    #[test]
    fn a_place_says_why() {
        let symbols = Symbols::parse(SYMBOLS.as_bytes());
        assert_eq!(symbols.drop_places().collect::<Vec<_>>(), [(0x3000..0x4000, "NETFILTER_DROP")]);
    }

    #[test]
    fn without_symbols_nothing_is_claimed() {
        assert_eq!(Symbols::default().netfilter(&[0x1010]), None);
    }
}
