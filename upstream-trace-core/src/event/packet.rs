//! Packets that this kernel dropped or refused.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::bounds::{optional_text, text};
use super::{AttemptId, Nanos};

/// Addresses of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PacketTuple {
    /// Address and port of the sender, as they stood in the packet.
    pub src: SocketAddr,
    /// Address and port of the receiver, likewise.
    pub dst: SocketAddr,
}

/// Sequence numbers of a packet. Whoever makes packets up does not know those of a connection of nginx.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketNumbers {
    /// Number of its first byte.
    pub seq: u32,
    /// Number of the byte that its sender waits for; of no meaning without ACK.
    pub ack: u32,
}

/// Which netfilter hook a packet was dropped in, read from the kernel stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netfilter {
    /// `prerouting`, `input`, `forward`, `output`, `postrouting`, `ingress`, `egress`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub hook: Option<String>,
    /// `nft`, `iptables`, `conntrack`, `nat` or `other`.
    #[serde(deserialize_with = "text")]
    pub by: String,
    /// `ip`, `ip6`, `inet`, `netdev`, `arp`, `bridge`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub family: Option<String>,
}

/// A packet that this host dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketDrop {
    /// When it was dropped, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// The attempt whose socket the packet belonged to; `None` if it had no socket (match by `tuple`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
    /// Addresses, if the packet could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuple: Option<PacketTuple>,
    /// The same as nginx's socket has them, if the packet is translated on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<PacketTuple>,
    /// TCP flags: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    pub tcp_flags: u8,
    /// Its sequence numbers, if it had no socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<PacketNumbers>,
    /// The kernel's name of the reason, such as `NETFILTER_DROP`.
    #[serde(deserialize_with = "text")]
    pub reason: String,
    /// Network namespace: inode of its `/proc/PID/ns/net`; 0 if not known.
    pub netns: u32,
    /// Kernel function that dropped it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub function: Option<String>,
    /// For netfilter: where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netfilter: Option<Netfilter>,
}

/// A RST that this host's kernel sent: the origin shares the kernel with nginx, or an upstream's SYN-ACK came for a
/// connection that nginx had given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetSent {
    /// When it was sent, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// Addresses of the packet that it answers: `dst` is the upstream, of a SYN-ACK that came late `src` is, and for a
    /// `stranger` `dst` is an address that nginx connects from.
    pub tuple: PacketTuple,
    /// Sequence numbers of that packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<PacketNumbers>,
    /// The kernel's name of the reason, such as `NO_SOCKET`; empty if this kernel gives none.
    #[serde(deserialize_with = "text")]
    pub reason: String,
    /// Kernel function on whose behalf it was sent, if one of interest was on the call stack: `inet_csk_listen_stop`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_text")]
    pub function: Option<String>,
    /// Network namespace: inode of its `/proc/PID/ns/net`; 0 if not known.
    pub netns: u32,
    /// The packet belongs to no connection that the kernel knows, and came from no upstream. If a connection of nginx has the
    /// other end, its translation was lost. Told from Linux 6.10 on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stranger: bool,
}
