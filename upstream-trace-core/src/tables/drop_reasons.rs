//! Why a kernel drops a packet: names of `enum skb_drop_reason` (5.17 and later) without their prefix.

/// What a drop for a reason says of an attempt whose packet it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// A policy that somebody set: `firewall-drop-local` and its neighbours.
    Policy,
    /// The kernel itself: `kernel-drop-local`. Why, for a sentence, and what to do.
    Kernel(&'static str, &'static str),
    /// As [`Self::Kernel`], and one alone says little: it is retransmitted.
    Loss(&'static str, &'static str),
    /// The link's neighbour did not answer: `neighbour-unreachable`.
    Neighbour,
    /// The routing table: `no-route`.
    Route,
    /// The origin's accept queue: `accept-queue-full`.
    Queue,
    /// Larger than the path allows: `path-lost`.
    Size,
    /// The handshake that the origin repeats: `accept-queue-full`.
    Handshake,
    /// The kernel names no reason: the function that dropped it tells.
    Unnamed,
    /// It says nothing of the upstream: why.
    Harmless(&'static str),
}

use DropReason::{Handshake, Harmless, Kernel, Loss, Neighbour, Policy, Queue, Route, Size, Unnamed};

const RPFILTER: DropReason = Kernel(
    "the reverse-path filter dropped it, because the route back uses another interface",
    "`ip route get ADDRESS`; fix the asymmetric route, or set `sysctl net.ipv4.conf.IFACE.rp_filter=2`.",
);
const MARTIAN: DropReason = Kernel(
    "its source address is not valid on that interface (martian)",
    "`sysctl net.ipv4.conf.all.log_martians=1` logs them; for hairpin traffic translate the source address too.",
);
const UNROUTED: DropReason = Kernel(
    "it has no route for it",
    "`ip route get ADDRESS from SOURCE iif IFACE` shows the refusal; `ip route show table all`, `ip rule`.",
);
const NOT_FORWARDED: DropReason = Kernel(
    "it is addressed to another host, and this one does not forward",
    "`ip addr`: is the address still there? `sysctl net.ipv4.ip_forward`, `ip route get ADDRESS`: who sends it here? The answers to `proxy_bind ... transparent` \
     need `ip rule` and a local route of their own.",
);
const CHECKSUM: DropReason = Loss(
    "its checksum is wrong",
    "`nstat -az TcpInCsumErrors`; checksum offload of a virtual interface: `ethtool -K IFACE tx off`.",
);
const IPSEC: DropReason = Kernel(
    "an IPsec policy does not allow it unencrypted",
    "`ip xfrm policy` and `ip xfrm state`: which policy matches, and whether its tunnel is up.",
);
const NOT_FOR_US: DropReason = Kernel(
    "it is not addressed to this host",
    "`ip neigh show ADDRESS` on the sender: its neighbour entry has the wrong link address.",
);
const DAMAGED: DropReason = Loss(
    "its header is damaged, or not what the kernel expects",
    "`nstat -az | grep -i err`: a faulty link, driver or tunnel.",
);
const SIGNED: DropReason = Kernel(
    "its signature (TCP MD5 or TCP-AO) is missing, wrong or not expected",
    "`ss -ti dst ADDRESS` shows the keys of a socket: both ends need the same.",
);
const QDISC: DropReason = Loss(
    "the queue of the interface was full, or a shaper dropped it",
    "`tc -s qdisc show`: drops, limits; raise the limit or shape less.",
);
const NO_ROOM: DropReason = Loss(
    "the kernel had no room for it",
    "`nstat -az | grep -i -e drop -e prune -e memory`, `cat /proc/net/softnet_stat`, `sysctl net.ipv4.tcp_mem net.core.netdev_max_backlog`.",
);
const DEVICE: DropReason = Loss(
    "the network device was not ready to send or receive it",
    "`ip -s link show`: is the interface up, do its counters grow?",
);
const TTL: DropReason = Kernel(
    "its hop limit is below the least that the socket takes",
    "`ss -ti dst ADDRESS`: an application that set IP_MINTTL expects its peers on the link.",
);
const NO_IPV6: DropReason = Kernel(
    "IPv6 is switched off on that interface",
    "`sysctl net.ipv6.conf.all.disable_ipv6 net.ipv6.conf.IFACE.disable_ipv6`.",
);
const LOOP: DropReason = Kernel(
    "it went in circles through virtual interfaces",
    "`ip -d link show`: which tunnel or bridge feeds itself?",
);
const BRIDGE: DropReason = Kernel(
    "the port of the bridge does not forward",
    "`bridge link show`: the state of the port must be forwarding.",
);
const TUNNEL: DropReason = Kernel(
    "the tunnel does not take it",
    "`ip -d link show type vxlan`, `bridge fdb show`: identifiers and peers.",
);

const TCP_KEEPS_ORDER: DropReason = Harmless("TCP has that data already, or gets it again");
const OTHER_PROTOCOL: DropReason = Harmless("no packet of TCP");
const OVER: DropReason = Harmless("the connection is over");
const ANSWERED: DropReason = Harmless("the kernel answers with a RST, which is seen");

/// All of them.
const REASONS: &[(&str, DropReason)] = &[
    ("NOT_SPECIFIED", Unnamed),
    ("NETFILTER_DROP", Policy),
    ("BPF_CGROUP_EGRESS", Policy),
    ("TC_EGRESS", Policy),
    ("TC_INGRESS", Policy),
    ("XDP", Policy),
    ("SECURITY_HOOK", Policy),
    ("SOCKET_FILTER", Policy),
    ("TAP_FILTER", Policy),
    ("TAP_TXFILTER", Policy),
    ("IP_RPFILTER", RPFILTER),
    ("IP_LOCAL_SOURCE", MARTIAN),
    ("IP_INVALID_SOURCE", MARTIAN),
    ("IP_LOCALNET", MARTIAN),
    ("IP_INADDRERRORS", NOT_FORWARDED),
    ("IP_INVALID_DEST", UNROUTED),
    ("IP_INNOROUTES", UNROUTED),
    ("IP_OUTNOROUTES", Route),
    ("BLACKHOLE", Route),
    ("IPV6DISABLED", NO_IPV6),
    ("XFRM_POLICY", IPSEC),
    ("PSP_INPUT", IPSEC),
    ("PSP_OUTPUT", IPSEC),
    ("OTHERHOST", NOT_FOR_US),
    ("UNHANDLED_PROTO", NOT_FOR_US),
    ("UNICAST_IN_L2_MULTICAST", NOT_FOR_US),
    ("MAC_INVALID_SOURCE", NOT_FOR_US),
    ("LOCAL_MAC", NOT_FOR_US),
    ("TCP_CSUM", CHECKSUM),
    ("IP_CSUM", CHECKSUM),
    ("SKB_CSUM", CHECKSUM),
    ("IP_INHDR", DAMAGED),
    ("IPV6_BAD_EXTHDR", DAMAGED),
    ("IPV6_TOO_MANY_EXTHDRS", DAMAGED),
    ("PKT_TOO_SMALL", DAMAGED),
    ("HDR_TRUNC", DAMAGED),
    ("DEV_HDR", DAMAGED),
    ("IP_NOPROTO", DAMAGED),
    ("SKB_GSO_SEG", DAMAGED),
    ("SKB_BAD_GSO", DAMAGED),
    ("SKB_UCOPY_FAULT", DAMAGED),
    ("TCP_FLAGS", DAMAGED),
    ("TCP_AUTH_HDR", SIGNED),
    ("TCP_MD5NOTFOUND", SIGNED),
    ("TCP_MD5UNEXPECTED", SIGNED),
    ("TCP_MD5FAILURE", SIGNED),
    ("TCP_AONOTFOUND", SIGNED),
    ("TCP_AOUNEXPECTED", SIGNED),
    ("TCP_AOKEYNOTFOUND", SIGNED),
    ("TCP_AOFAILURE", SIGNED),
    ("TCP_MINTTL", TTL),
    ("NEIGH_CREATEFAIL", Neighbour),
    ("NEIGH_FAILED", Neighbour),
    ("NEIGH_QUEUEFULL", Neighbour),
    ("NEIGH_DEAD", Neighbour),
    ("NEIGH_HH_FILLFAIL", Neighbour),
    ("QDISC_DROP", QDISC),
    ("QDISC_OVERLIMIT", QDISC),
    ("QDISC_CONGESTED", QDISC),
    ("CAKE_FLOOD", QDISC),
    ("FQ_BAND_LIMIT", QDISC),
    ("FQ_HORIZON_LIMIT", QDISC),
    ("FQ_FLOW_LIMIT", QDISC),
    ("DUALPI2_STEP_DROP", QDISC),
    ("QDISC_BURST_DROP", QDISC),
    // From 7.1 on they are numbers of a list of their own.
    ("QDISC_DROP_GENERIC", QDISC),
    ("QDISC_DROP_OVERLIMIT", QDISC),
    ("QDISC_DROP_CONGESTED", QDISC),
    ("QDISC_DROP_MAXFLOWS", QDISC),
    ("QDISC_DROP_FLOOD_PROTECTION", QDISC),
    ("QDISC_DROP_BAND_LIMIT", QDISC),
    ("QDISC_DROP_HORIZON_LIMIT", QDISC),
    ("QDISC_DROP_FLOW_LIMIT", QDISC),
    ("QDISC_DROP_L4S_STEP_NON_ECN", QDISC),
    ("MACVLAN_BROADCAST_BACKLOG", NO_ROOM),
    ("IPVLAN_MULTICAST_BACKLOG", NO_ROOM),
    ("CPU_BACKLOG", NO_ROOM),
    ("SOCKET_BACKLOG", NO_ROOM),
    ("SOCKET_RCVBUFF", NO_ROOM),
    ("PROTO_MEM", NO_ROOM),
    ("NOMEM", NO_ROOM),
    ("PFMEMALLOC", NO_ROOM),
    ("FULL_RING", NO_ROOM),
    ("DEV_READY", DEVICE),
    ("NO_TX_TARGET", DEVICE),
    ("RECURSION_LIMIT", LOOP),
    ("TC_RECLASSIFY_LOOP", LOOP),
    ("TC_CHAIN_NOTFOUND", Policy),
    ("TC_COOKIE_ERROR", Policy),
    ("BRIDGE_INGRESS_STP_STATE", BRIDGE),
    ("IP_TUNNEL_ECN", TUNNEL),
    ("TUNNEL_TXINFO", TUNNEL),
    ("VXLAN_INVALID_HDR", TUNNEL),
    ("VXLAN_VNI_NOT_FOUND", TUNNEL),
    ("VXLAN_ENTRY_EXISTS", TUNNEL),
    ("PKT_TOO_BIG", Size),
    ("TCP_LISTEN_OVERFLOW", Queue),
    ("TCP_INVALID_SYN", Handshake),
    ("NO_SOCKET", ANSWERED),
    ("TCP_ABORT_ON_DATA", ANSWERED),
    ("TCP_RESET", Harmless("a RST that does not fit the connection")),
    ("TCP_CLOSE", OVER),
    ("SOCKET_CLOSE", OVER),
    ("QUEUE_PURGE", OVER),
    ("TCP_ZEROWINDOW", Harmless("the application does not read; the window tells")),
    ("TCP_OLD_DATA", TCP_KEEPS_ORDER),
    ("TCP_OVERWINDOW", TCP_KEEPS_ORDER),
    ("TCP_OFOMERGE", TCP_KEEPS_ORDER),
    ("TCP_OFO_DROP", TCP_KEEPS_ORDER),
    ("TCP_OFO_QUEUE_PRUNE", TCP_KEEPS_ORDER),
    ("TCP_RFC7323_PAWS", TCP_KEEPS_ORDER),
    ("TCP_RFC7323_PAWS_ACK", TCP_KEEPS_ORDER),
    ("TCP_RFC7323_TW_PAWS", TCP_KEEPS_ORDER),
    ("TCP_RFC7323_TSECR", TCP_KEEPS_ORDER),
    ("TCP_OLD_SEQUENCE", TCP_KEEPS_ORDER),
    ("TCP_INVALID_SEQUENCE", TCP_KEEPS_ORDER),
    ("TCP_INVALID_END_SEQUENCE", TCP_KEEPS_ORDER),
    ("TCP_INVALID_ACK_SEQUENCE", TCP_KEEPS_ORDER),
    ("TCP_OLD_ACK", TCP_KEEPS_ORDER),
    ("TCP_TOO_OLD_ACK", TCP_KEEPS_ORDER),
    ("TCP_ACK_UNSENT_DATA", TCP_KEEPS_ORDER),
    ("TCP_FASTOPEN", TCP_KEEPS_ORDER),
    ("DUP_FRAG", TCP_KEEPS_ORDER),
    ("FRAG_REASM_TIMEOUT", Harmless("TCP does not send fragments")),
    ("FRAG_TOO_FAR", Harmless("TCP does not send fragments")),
    ("PACKET_SOCK_ERROR", Harmless("a copy for a program that watches packets")),
    ("UDP_CSUM", OTHER_PROTOCOL),
    ("ICMP_CSUM", OTHER_PROTOCOL),
    ("INVALID_PROTO", OTHER_PROTOCOL),
    ("IPV6_NDISC_FRAG", OTHER_PROTOCOL),
    ("IPV6_NDISC_HOP_LIMIT", OTHER_PROTOCOL),
    ("IPV6_NDISC_BAD_CODE", OTHER_PROTOCOL),
    ("IPV6_NDISC_BAD_OPTIONS", OTHER_PROTOCOL),
    ("IPV6_NDISC_NS_OTHERHOST", OTHER_PROTOCOL),
    ("ARP_PVLAN_DISABLE", OTHER_PROTOCOL),
    ("UNIX_DISCONNECT", OTHER_PROTOCOL),
    ("UNIX_SKIP_OOB", OTHER_PROTOCOL),
    ("CAN_RX_INVALID_FRAME", OTHER_PROTOCOL),
    ("CANFD_RX_INVALID_FRAME", OTHER_PROTOCOL),
    ("CANXL_RX_INVALID_FRAME", OTHER_PROTOCOL),
    ("MAC_IEEE_MAC_CONTROL", OTHER_PROTOCOL),
];

/// What a name says; `None` if it is in no list.
#[must_use]
pub fn drop_reason(name: &str) -> Option<DropReason> {
    REASONS.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
}

/// The kernel side should tell of such drops: all but those that are known to be harmless.
#[must_use]
pub fn worth_noting(name: &str) -> bool {
    // Markers of the enumeration; no packet is dropped for them.
    let marker = matches!(name, "MAX" | "CONSUMED" | "NOT_DROPPED_YET") || name.starts_with("SUBSYS_");
    !marker && !matches!(drop_reason(name), Some(Harmless(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the kernels that the tool was tried on, one file each.
    const KERNELS: [&str; 6] = [
        include_str!("drop_reasons/5.17"),
        include_str!("drop_reasons/6.1"),
        include_str!("drop_reasons/6.9"),
        include_str!("drop_reasons/6.12"),
        include_str!("drop_reasons/6.18"),
        include_str!("drop_reasons/7.2"),
    ];

    #[test]
    fn every_name_of_every_kernel_is_in_the_table() {
        let names = KERNELS.iter().flat_map(|names| names.split_whitespace());
        let missing: Vec<_> = names.filter(|name| drop_reason(name).is_none()).collect();
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn no_name_stands_twice() {
        for (at, (name, _)) in REASONS.iter().enumerate() {
            assert!(REASONS[..at].iter().all(|(earlier, _)| earlier != name), "{name}");
        }
    }

    #[test]
    fn what_the_kernel_side_tells_of() {
        for name in ["NETFILTER_DROP", "XFRM_POLICY", "IP_LOCAL_SOURCE", "A_NAME_OF_TOMORROW"] {
            assert!(worth_noting(name), "{name}");
        }
        for name in ["QUEUE_PURGE", "NO_SOCKET", "SUBSYS_NUM", "MAX"] {
            assert!(!worth_noting(name), "{name}");
        }
    }
}
