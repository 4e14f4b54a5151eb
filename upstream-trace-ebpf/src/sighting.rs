//! A packet that was dropped, or a reset that was sent: what is read of it, and what is told to user space.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_get_stack;
use aya_ebpf::programs::RawTracePointContext;
use upstream_trace_common::{Addr, EventHeader, EventKind, PACKET_STACK, PacketEvent, stats};

use crate::config::offset;
use crate::emit;
use crate::kernel::{self, AF_INET, AF_INET6, read};
use crate::maps::EVENTS;

/// Protocol number of TCP.
const IPPROTO_TCP: u8 = 6;

/// What is known of a packet before it is sent on.
pub struct Sighting {
    /// Sender and receiver.
    pub pair: [Addr; 2],
    /// The same as the connection was begun, if the packet is translated; port 0 otherwise.
    pub asked: [Addr; 2],
    /// Sequence and acknowledgement number.
    pub numbers: [[u8; 4]; 2],
    /// The kernel's stack is of interest.
    pub stack: bool,
    /// When it was seen, nanoseconds of `CLOCK_MONOTONIC`.
    pub now: u64,
    /// The record it belongs to, or 0.
    pub id: u64,
    /// Kernel address of the code that dropped it, 0 for a reset.
    pub location: u64,
    /// Why it was dropped or sent, 0 if the kernel gives no reason.
    pub reason: u32,
    /// Inode number of the network namespace, 0 if not known.
    pub netns: u32,
    /// Dropped or sent.
    pub kind: EventKind,
    /// Low byte of its TCP flags.
    pub tcp_flags: u8,
    /// TCP state of its socket, 0 if it has none.
    pub state: u8,
}

impl Sighting {
    /// A packet seen now, of which nothing else is known.
    #[inline(always)]
    pub fn new(kind: EventKind, reason: u32, location: u64) -> Self {
        let none = Addr { ip: [0; 16], port: 0, family: 0 };
        let now = emit::now();
        let stack = location != 0;
        Self {
            pair: [none, none],
            asked: [none, none],
            numbers: [[0; 4]; 2],
            stack,
            now,
            id: 0,
            location,
            reason,
            netns: 0,
            kind,
            tcp_flags: 0,
            state: 0,
        }
    }
}

/// Namespace of the device that a packet is at, 0 if it cannot be read.
#[inline(always)]
pub fn netns_of(skb: u64) -> u32 {
    read::<u64>(skb, offset!(skb_dev))
        .and_then(|dev| read::<u64>(dev, offset!(dev_net)))
        .and_then(|net| read(net, offset!(net_inum)))
        .unwrap_or(0)
}

/// The packet that the origin's own socket resets, seen from its peer.
#[inline(always)]
pub fn of_socket(sk: u64, seen: &mut Sighting) -> bool {
    let head = kernel::head(sk);
    if !head.is_internet() {
        return false;
    }
    kernel::remote(sk, &head, &mut seen.pair[0]);
    kernel::local(sk, &head, &mut seen.pair[1]);
    let number = |value: Option<u32>| value.unwrap_or(0).to_be_bytes();
    seen.numbers = [number(read(sk, offset!(rcv_nxt))), number(read(sk, offset!(snd_nxt)))];
    true
}

/// Reads addresses, ports and flags of a TCP packet; false if it is none.
#[inline(always)]
pub fn parse(skb: u64, seen: &mut Sighting) -> bool {
    try_parse(skb, seen).is_some()
}

/// As [`parse`].
#[inline(always)]
fn try_parse(skb: u64, seen: &mut Sighting) -> Option<()> {
    let head: u64 = read(skb, offset!(skb_head))?;
    let network: u16 = read(skb, offset!(skb_network))?;
    let ip = head + u64::from(network);
    let first: u8 = read(ip, 0)?;
    let tcp = match first >> 4 {
        4 if read::<u8>(ip, 9)? == IPPROTO_TCP => {
            set_ipv4(&mut seen.pair[0], read(ip, 12)?);
            set_ipv4(&mut seen.pair[1], read(ip, 16)?);
            ip + u64::from(first & 15) * 4
        }
        // Extension headers are not followed: TCP to an upstream carries none.
        6 if read::<u8>(ip, 6)? == IPPROTO_TCP => {
            seen.pair[0].ip = read(ip, 8)?;
            seen.pair[1].ip = read(ip, 24)?;
            seen.pair[0].family = AF_INET6;
            seen.pair[1].family = AF_INET6;
            ip + 40
        }
        _ => return None,
    };
    seen.pair[0].port = u16::from_be(read(tcp, 0)?);
    seen.pair[1].port = u16::from_be(read(tcp, 2)?);
    seen.numbers = read(tcp, 4)?;
    seen.tcp_flags = read(tcp, 13)?;
    Some(())
}

/// Sets an IPv4 address.
#[inline(always)]
fn set_ipv4(to: &mut Addr, ip: [u8; 4]) {
    to.family = AF_INET;
    to.ip[0] = ip[0];
    to.ip[1] = ip[1];
    to.ip[2] = ip[2];
    to.ip[3] = ip[3];
}

/// Sends the packet to user space.
#[inline(always)]
pub fn send(ctx: &RawTracePointContext, seen: &Sighting) {
    let Some(mut entry) = EVENTS.reserve::<PacketEvent>(0) else {
        emit::count(stats::LOST_EVENTS, 1);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: reserved memory of that type; every field is written, the stack by the helper or with zeros.
    unsafe {
        (*event).header = EventHeader { now_ns: seen.now, kind: seen.kind as u32, tgid: 0 };
        (*event).id = seen.id;
        (*event).location = seen.location;
        (*event).reason = seen.reason;
        (*event).netns = seen.netns;
        (*event).src = seen.pair[0];
        (*event).dst = seen.pair[1];
        (*event).asked = seen.asked;
        (*event).tcp_flags = seen.tcp_flags;
        (*event).state = seen.state;
        (*event).pad = 0;
        (*event).pad2 = 0;
        (*event).numbers = seen.numbers;
        (*event).stack = [0; PACKET_STACK];
        (*event).has_stack = 0;
        if seen.stack {
            let size = (PACKET_STACK * 8) as u32;
            let got = bpf_get_stack(ctx.as_ptr(), (&raw mut (*event).stack).cast(), size, 0);
            (*event).has_stack = u8::from(got > 0);
        }
    }
    entry.submit(emit::wakeup());
}
