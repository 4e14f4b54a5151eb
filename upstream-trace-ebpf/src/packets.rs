//! Packets that this host dropped, and resets that it sent, as far as they concern an upstream.

use core::arch::asm;

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use upstream_trace_common::{ABSENT, Addr, EventKind, Record, StepKind, flags, stats};

use crate::config::{self, offset};
use crate::kernel::{
    self, SHUTDOWN_BOTH, TCP_ESTABLISHED, TCP_NEW_SYN_RECV, TCP_SYN_SENT, TCP_TIME_WAIT, read,
};
use crate::maps::{OWN_ADDRESSES, PACKET_RATE, PACKETS_SEEN, RETRANSMITTING, UPSTREAMS};
use crate::sighting::{Sighting, netns_of, of_socket, parse, send};
use crate::trail::note;
use crate::{emit, record, records, worker};

/// The same pair of addresses is reported at most this often when the packet has no socket.
const REPEAT_NS: u64 = 500_000_000;

/// Packets without a socket that are reported per upstream and second: whoever makes up source addresses must not fill the
/// buffer.
const MOST_A_SECOND: u64 = 256;

/// The same of packets from and to addresses that nginx connects from: they are its own, unless somebody made them up.
const MOST_OF_OWN: u64 = 2048;

/// A bit of no family: drops, resets, and closes of other ends, which have neither bit, are counted apart. An origin that ends
/// thousands of connections at once must not hide what a firewall drops.
const OF_DROPS: u16 = 1 << 14;
/// The same of resets.
const OF_RESETS: u16 = 1 << 13;

/// Drops reported per record; the rest is counted.
const DROPS_REPORTED: u32 = 2;

/// (struct sk_buff *skb, void *location[, enum skb_drop_reason reason (5.17, and backports)[, struct sock *rx_sk
/// (6.11)]]).
#[raw_tracepoint(tracepoint = "kfree_skb")]
pub fn kfree_skb(ctx: RawTracePointContext) -> i32 {
    let (skb, location): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    let reason = if config::kfree_reason() == 0 {
        config::reason_of_place(location)
    } else {
        ctx.arg::<u64>(2) as u32
    };
    if !config::drop_of_interest(reason) {
        return 0;
    }
    let reason = forgotten(reason);
    let mut sk: u64 = read(skb, offset!(skb_sk)).unwrap_or(0);
    let mut inside_tcp = false;
    if sk == 0 && config::kfree_rx_sk() != 0 {
        // Dropped inside TCP: the packet was already taken from its socket.
        sk = ctx.arg(3);
        inside_tcp = sk != 0;
    }
    let mut seen = Sighting::new(EventKind::Drop, reason, location);
    match if sk == 0 { None } else { records::find(sk) } {
        Some(record) => of_record(&ctx, sk, record, skb, &mut seen),
        None if inside_tcp && is_over(sk) => {}
        None => drop(without_record(&ctx, sk, skb, &mut seen)),
    }
    0
}

/// The same number, of which the verifier knows nothing any more: it walks what follows once, and not once for each place
/// where packets are dropped.
#[inline(always)]
fn forgotten(number: u32) -> u32 {
    let mut number = u64::from(number);
    // SAFETY: converts a register to the order of bytes that it has.
    unsafe {
        #[cfg(target_endian = "little")]
        asm!("{0} = le64 {0}", inout(reg) number);
        #[cfg(target_endian = "big")]
        asm!("{0} = be64 {0}", inout(reg) number);
    }
    number as u32
}

/// The application has closed this socket: what still comes for it is of no use to anybody. A busy proxy whose clients leave
/// sees thousands of these a second.
#[inline(always)]
fn is_over(sk: u64) -> bool {
    match kernel::state(sk) {
        TCP_TIME_WAIT => true,
        // Smaller than a socket: it has no such field.
        TCP_NEW_SYN_RECV => false,
        _ => kernel::shutdown(sk) == SHUTDOWN_BOTH,
    }
}

/// A packet that belongs to a record was dropped.
#[inline(always)]
fn of_record(ctx: &RawTracePointContext, sk: u64, record: *mut Record, skb: u64, seen: &mut Sighting) {
    let state = kernel::state(sk);
    // SAFETY: a map value.
    unsafe {
        if seen.reason == config::reason_invalid_syn() && seen.reason != 0 {
            if state == TCP_ESTABLISHED {
                (*record).flags |= flags::SYNACK_AGAIN;
                note(record, StepKind::SynAckAgain, seen.now, 0);
            }
            return;
        }
        (*record).drops += 1;
        (*record).flags |= flags::DROPPED;
        note(record, StepKind::Dropped, seen.now, seen.reason as i32);
        if (*record).drops <= DROPS_REPORTED {
            seen.id = (*record).id;
            seen.netns = (*record).netns;
            seen.state = state;
            parse(skb, seen);
            send(ctx, seen);
        }
    }
    if state == TCP_SYN_SENT || state == TCP_ESTABLISHED {
        record::trouble(sk, record, seen.now);
    }
}

/// A packet of no socket of nginx: a reply dropped before it found one, or on its way out of the origin's, `sk`; a SYN on
/// its way through this host. (A call of its own: verifiers of old kernels allow 512 bytes of stack for a program and what
/// it calls, and what belongs to a record calls more.)
#[inline(never)]
fn without_record(ctx: &RawTracePointContext, sk: u64, skb: u64, seen: &mut Sighting) -> u32 {
    if !parse(skb, seen) {
        return 0;
    }
    // The upstream and the other end, once: there is little room on the stack.
    let mut ends = if UPSTREAMS.get_ptr(&seen.pair[1]).is_some() {
        [seen.pair[1], seen.pair[0]]
    } else if UPSTREAMS.get_ptr(&seen.pair[0]).is_some() {
        [seen.pair[0], seen.pair[1]]
    } else {
        let Some(first) = translated(skb, seen).or_else(|| of_one_end(seen)) else { return 0 };
        if first { [seen.asked[0], seen.asked[1]] } else { [seen.asked[1], seen.asked[0]] }
    };
    if let Some(last) = PACKETS_SEEN.get_ptr_mut(&seen.pair) {
        // SAFETY: a map value.
        unsafe {
            if seen.now.wrapping_sub(*last) < REPEAT_NS {
                return 0;
            }
            *last = seen.now;
        }
    } else {
        let _ = PACKETS_SEEN.insert(&seen.pair, seen.now, 0);
    }
    ends[0].family |= OF_DROPS;
    if is_flood(&mut ends, seen.now) {
        emit::count(stats::LOST_PACKETS, 1);
        return 0;
    }
    // What a socket sends has no device yet.
    seen.netns = match netns_of(skb) {
        0 if sk != 0 => kernel::netns(sk),
        netns => netns,
    };
    send(ctx, seen);
    0
}

/// Whether so many came for an upstream, the first of the two ends, that this one is left out; its family may have a bit that
/// says of what. Makes keys of both: there is little room on the stack.
#[inline(never)]
pub fn is_flood(ends: &mut [Addr; 2], now: u64) -> bool {
    /// A power of two next to a second, in nanoseconds.
    const SECOND_BITS: u32 = 30;
    /// No family has it.
    const OWN: u16 = 1 << 15;
    let second = now >> SECOND_BITS;
    let mut most = MOST_A_SECOND;
    let [key, other] = ends;
    other.port = 0;
    if OWN_ADDRESSES.get_ptr(&*other).is_some() {
        (key.family, most) = (key.family | OWN, MOST_OF_OWN);
    }
    let Some(rate) = PACKET_RATE.get_ptr_mut(&*key) else {
        let _ = PACKET_RATE.insert(&*key, [second, 1], 0);
        return false;
    };
    // SAFETY: a map value; two processors at once may count one only.
    unsafe {
        if (*rate)[0] != second {
            *rate = [second, 0];
        }
        (*rate)[1] += 1;
        if (*rate)[1] <= most {
            return false;
        }
    }
    true
}

/// Whether a packet belongs to a connection to an upstream that is translated on its way: the first packet of a tracked
/// connection had other addresses, which are noted. Whether the upstream is the first of them.
#[inline(always)]
fn translated(skb: u64, seen: &mut Sighting) -> Option<bool> {
    const PLACE: u64 = 7;
    /// `IP_CT_ESTABLISHED_REPLY`: from there on it is an answer.
    const REPLY: u64 = 3;
    let tracked: u64 = read(skb, offset!(skb_nfct))?;
    let connection = tracked & !PLACE;
    let (tuples, tuple) = (offset!(conn_tuples), offset!(hash_tuple));
    if connection == 0 || tuples == ABSENT || tuple == ABSENT {
        return None;
    }
    let tuple = connection + u64::from(tuples) + u64::from(tuple);
    let family: u16 = read(tuple, offset!(tuple_family))?;
    let is_reply = tracked & PLACE >= REPLY;
    let [one, other] = &mut seen.asked;
    let (from, to) = if is_reply { (other, one) } else { (one, other) };
    from.ip = read(tuple, offset!(tuple_source))?;
    from.port = u16::from_be(read(tuple, offset!(tuple_sport))?);
    from.family = family;
    to.ip = read(tuple, offset!(tuple_target))?;
    to.port = u16::from_be(read(tuple, offset!(tuple_dport))?);
    to.family = family;
    UPSTREAMS.get_ptr(&*to).map(|_| is_reply)
}

/// Whether one end of it is nginx's of a connection in trouble: the other was translated in a place that this packet has
/// left. (A router that sends it back to nginx's own host; a namespace behind the one that translated it.) Notes both ends as
/// nginx knows them; whether the upstream is the first of them.
#[inline(always)]
fn of_one_end(seen: &mut Sighting) -> Option<bool> {
    if let Some(remote) = RETRANSMITTING.get_ptr(&seen.pair[0]) {
        // SAFETY: a map value.
        seen.asked = [seen.pair[0], unsafe { *remote }];
        return Some(false);
    }
    let remote = RETRANSMITTING.get_ptr(&seen.pair[1])?;
    // SAFETY: a map value.
    seen.asked = [unsafe { *remote }, seen.pair[1]];
    Some(true)
}

/// (const struct sock *sk, const struct sk_buff *skb[, const enum sk_rst_reason reason (6.10)]). With a packet it
/// answers that packet; without one the socket's owner ended the connection.
#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub fn tcp_send_reset(ctx: RawTracePointContext) -> i32 {
    let (sk, skb): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    let reason = if config::reset_reason() == 0 { 0 } else { ctx.arg::<u64>(2) as u32 };
    let mut seen = Sighting::new(EventKind::ResetSent, reason, 0);
    let known = if skb == 0 { of_socket(sk, &mut seen) } else { parse(skb, &mut seen) };
    if !known {
        return 0;
    }
    let mut ends = if UPSTREAMS.get_ptr(&seen.pair[1]).is_some() {
        [seen.pair[1], seen.pair[0]]
    } else if answers_late(&seen) {
        [seen.pair[0], seen.pair[1]]
    } else if is_stranger(sk, &seen) {
        seen.asked[1] = seen.pair[1];
        // As many as come for the address: who makes up packets can make up senders.
        [Addr { port: 0, ..seen.pair[1] }, seen.pair[0]]
    } else {
        return 0;
    };
    ends[0].family |= OF_RESETS;
    if is_flood(&mut ends, seen.now) {
        // What strangers send is mostly none of nginx's, and refusals are all of a kind: without a proof lost there is
        // nothing to tell.
        if seen.asked[1].port == 0 && !refuses(sk, &seen) {
            emit::count(stats::LOST_PACKETS, 1);
        }
        return 0;
    }
    // A listener that is closed resets those that wait in its queue.
    seen.stack = skb == 0;
    seen.netns = if sk == 0 { netns_of(skb) } else { kernel::netns(sk) };
    send(&ctx, &seen);
    0
}

/// The answer to a SYN for which there is no socket. A proxy whose upstream is down sees thousands of these a second.
#[inline(always)]
fn refuses(sk: u64, seen: &Sighting) -> bool {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    sk == 0 && seen.tcp_flags & (SYN | ACK) == SYN
}

/// Not the first packet of its connection, without a socket, for an address that nginx connects from, and from no upstream:
/// the translation of that connection may be lost.
#[inline(always)]
fn is_stranger(sk: u64, seen: &Sighting) -> bool {
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;
    if sk != 0 || seen.tcp_flags & (SYN | RST | ACK) != ACK || worker::is_listening(seen.pair[1].port) {
        return false;
    }
    let own = Addr { port: 0, ..seen.pair[1] };
    OWN_ADDRESSES.get_ptr(&own).is_some() && UPSTREAMS.get_ptr(&seen.pair[0]).is_none()
}

/// An upstream's SYN-ACK, for a connection that nginx has given up.
#[inline(always)]
fn answers_late(seen: &Sighting) -> bool {
    const SYN_ACK: u8 = 0x12;
    seen.tcp_flags & SYN_ACK == SYN_ACK && UPSTREAMS.get_ptr(&seen.pair[0]).is_some()
}
