//! What comes back on the wire or from the timers: RST, ICMP errors, retransmissions.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use upstream_trace_common::{Addr, Icmp, Moment, Record, StepKind, flags};

use crate::config::{offset, retransmit_err};
use crate::kernel::{self, TCP_SYN_SENT, read};
use crate::maps::RETRANSMITTING;
use crate::trail::note;
use crate::{adopt, emit, record, under_way};

/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6` of `linux/errqueue.h`.
const ORIGIN_ICMP: [u8; 2] = [2, 3];

/// `struct sock_extended_err`, uapi.
#[repr(C)]
#[derive(Clone, Copy)]
struct ExtendedError {
    /// `ee_errno`.
    errno: u32,
    /// `ee_origin`.
    origin: u8,
    /// `ee_type`.
    kind: u8,
    /// `ee_code`.
    code: u8,
    /// `ee_pad`.
    pad: u8,
}

/// (struct sock *sk), 4.16 to 7.2. Comes before the state changes.
#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub fn tcp_receive_reset(ctx: RawTracePointContext) -> i32 {
    let sk: u64 = ctx.arg(0);
    if let Some(record) = adopt::find(sk) {
        let now = emit::now();
        // SAFETY: a map value.
        unsafe {
            let unacked = if (*record).flags & flags::ESTABLISHED == 0 { 0 } else { kernel::unacked(sk) };
            (*record).flags |= flags::RESET_RECEIVED;
            if unacked > 0 {
                (*record).flags |= flags::UNACKED_AT_END;
            }
            (*record).reset_ns = now;
            if (*record).flags & flags::ESTABLISHED != 0 {
                (*record).tcp.no_room = kernel::no_room(sk);
            }
            note(record, StepKind::Reset, now, unacked as i32);
        }
        under_way::decide(sk, record, Moment::Reset, now);
    }
    0
}

/// (const struct sock *sk, const struct sk_buff *skb[, int err]), 4.16 to 7.2. Up to 6.16 only when the segment left.
#[raw_tracepoint(tracepoint = "tcp_retransmit_skb")]
pub fn tcp_retransmit_skb(ctx: RawTracePointContext) -> i32 {
    let sk: u64 = ctx.arg(0);
    let Some(record) = adopt::find(sk) else { return 0 };
    let errno = if retransmit_err() == 0 { 0 } else { ctx.arg::<u64>(2) as i32 };
    let now = emit::now();
    // SAFETY: a map value.
    unsafe {
        (*record).flags |= flags::RETRANSMITTED;
        (*record).retransmits += 1;
        if (*record).retransmits == 1 {
            in_trouble(sk, record);
        }
        if errno != 0 {
            (*record).retransmits_failed += 1;
        }
        note(record, StepKind::Retransmit, now, errno);
    }
    if kernel::state(sk) == TCP_SYN_SENT {
        record::trouble(sk, record, now);
    }
    0
}

/// Remembers nginx's end, by which drops of packets are found whose other end was translated. Addresses of this host only
/// mean another connection in each network namespace.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
unsafe fn in_trouble(sk: u64, record: *const Record) {
    let head = kernel::head(sk);
    let mut local = Addr { ip: [0; 16], port: 0, family: 0 };
    kernel::local(sk, &head, &mut local);
    // SAFETY: by contract.
    let remote = unsafe { (*record).remote };
    if local.port != 0 && !kernel::is_loopback(&local) {
        let _ = RETRANSMITTING.insert(&local, remote, 0);
    }
}

/// (const struct sock *sk), 5.15 to 7.2. For IPv4 the ICMP message itself lies on the error queue, since
/// tcp_v4_err() calls ip_icmp_error() before it reports (5.10 to 7.2).
#[raw_tracepoint(tracepoint = "inet_sk_error_report")]
pub fn inet_sk_error_report(ctx: RawTracePointContext) -> i32 {
    let sk: u64 = ctx.arg(0);
    let Some(record) = adopt::find(sk) else { return 0 };
    newest_error(sk).and_then(|skb| icmp(skb, record));
    0
}

/// int sock_queue_err_skb(struct sock *sk, struct sk_buff *skb), 3.x to 7.2; for kernels before 5.15. The function that
/// puts an ICMP message on the error queue: what the tracepoint above finds there a moment later.
pub fn error_queued(sk: u64, skb: u64) {
    if let Some(record) = adopt::find(sk) {
        icmp(skb, record);
    }
}

/// The last message on the error queue of a socket.
#[inline(always)]
fn newest_error(sk: u64) -> Option<u64> {
    if offset!(sk_error_queue) == upstream_trace_common::ABSENT {
        return None;
    }
    let queue = sk + u64::from(offset!(sk_error_queue));
    // struct sk_buff_head and struct sk_buff both begin with next and prev.
    let last: u64 = read(queue, 8)?;
    (last != queue).then_some(last)
}

/// Notes the ICMP error that the last packet on the error queue holds.
#[inline(always)]
fn icmp(last: u64, record: *mut Record) -> Option<()> {
    // struct sock_exterr_skb lies in skb->cb; its `ee` is at offset 24 there in every version read (5.4 to 7.2).
    let error: ExtendedError = read(last, offset!(skb_cb) + 24)?;
    if error.origin != ORIGIN_ICMP[0] && error.origin != ORIGIN_ICMP[1] {
        return None;
    }
    let head: u64 = read(last, offset!(skb_head))?;
    let network: u16 = read(last, offset!(skb_network))?;
    let header = head + u64::from(network);
    let mut found = Icmp {
        errno: error.errno,
        kind: error.kind,
        code: error.code,
        ifindex: read(last, offset!(skb_iif)).unwrap_or(0),
        ttl: read(header, 8).unwrap_or(0),
        present: 1,
        ..Icmp::default()
    };
    let from: [u8; 4] = read(header, 12)?;
    found.from[0] = from[0];
    found.from[1] = from[1];
    found.from[2] = from[2];
    found.from[3] = from[3];
    let now = emit::now();
    // SAFETY: a map value.
    unsafe {
        (*record).icmp = found;
        (*record).flags |= flags::ICMP;
        note(record, StepKind::Icmp, now, i32::from(error.kind) << 8 | i32::from(error.code));
    }
    Some(())
}
