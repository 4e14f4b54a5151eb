//! From a record to an attempt.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use nix::time::{ClockId, clock_getres};
use upstream_trace_common::{End, Record, StepKind, TRAIL, UnixPath, flags, tls};
use upstream_trace_core::event::{
    Attempt, AttemptId, Ended, IcmpError, MS, Moment, Nanos, Sequence, Socket, Step, Upstream,
};

use super::{Decoder, path_text, socket_addr, some};

const LOOPBACK_IFINDEX: u32 = 1;

impl Decoder<'_> {
    /// A record as an attempt; `None` if its address makes no sense.
    pub fn attempt(&self, record: &Record, mut path: impl FnMut(u32) -> Option<UnixPath>) -> Option<Attempt> {
        let has = |bits: u32| record.flags & bits != 0;
        let upstream = if has(flags::UNIX) {
            path(record.path_id).map(|path| Upstream::Unix(path_text(path.as_bytes())))
        } else {
            Some(Upstream::Tcp(socket_addr(&record.remote)?))
        };
        let seen = record.header.now_ns;
        Some(Attempt {
            id: AttemptId::from_kernel(record.id),
            seen,
            retry_of: some(record.retry_of).map(AttemptId::from_kernel),
            worker: record.tgid,
            netns: record.netns,
            upstream,
            local: socket_addr(&record.local).filter(|local| local.port() != 0),
            ended: ended(record),
            begun: record.born_ns,
            established: if has(flags::ESTABLISHED) { Some(record.established_ns) } else { None },
            request: some(record.request_ns),
            last_send: some(record.last_send_ns),
            answer: some(record.first_recv_ns),
            last_recv: some(record.last_recv_ns),
            fin: some(record.fin_ns),
            reset: some(record.reset_ns),
            bytes_sent: record.app_sent,
            bytes_received: record.app_received,
            requests: record.requests,
            adopted: has(flags::ADOPTED),
            reused: record.requests > 1 || has(flags::ADOPTED) && record.last_recv_ns != 0,
            outstanding: has(flags::OUTSTANDING),
            sent_after_fin: has(flags::SENT_AFTER_FIN),
            unacked_at_end: has(flags::UNACKED_AT_END),
            // What the kernel has taken and cannot send is what a full buffer looks like from inside.
            send_blocked: has(flags::SEND_BLOCKED) || has(flags::BY_SOCKET) && socket(record).unsent > 0,
            send_error: has(flags::SEND_ERROR),
            recv_error: has(flags::RECV_ERROR),
            idle_probe: has(flags::IDLE_PROBE),
            error_fetched: has(flags::ERROR_FETCHED),
            client_gone: has(flags::CLIENT_GONE),
            client_cut: has(flags::CLIENT_CUT),
            worker_exiting: has(flags::WORKER_EXITING),
            no_local_port: has(flags::NO_LOCAL_PORT),
            error_status: None,
            by_socket: has(flags::BY_SOCKET),
            in_doubt: has(flags::IN_DOUBT),
            tls: has(flags::TLS),
            tls_handshake: has(flags::TLS_HANDSHAKE),
            non_tls_prefix: foreign(record),
            drops: record.drops,
            retransmits: record.retransmits,
            retransmits_failed: record.retransmits_failed,
            icmp: icmp(record),
            socket: socket(record),
            trail: self.trail(record),
            trail_lost: record.trail_lost,
        })
    }

    fn trail(&self, record: &Record) -> Vec<Moment> {
        let len = usize::from(record.trail_len).min(TRAIL);
        let steps = record.trail[..len].iter();
        steps
            .filter_map(|step| {
                Some(Moment {
                    at: step.at_ns,
                    step: self.step(StepKind::from_u8(step.kind)?, step.arg),
                    count: step.count,
                    span_ms: step.span_ms,
                })
            })
            .collect()
    }

    fn step(&self, kind: StepKind, arg: i32) -> Step {
        match kind {
            StepKind::SynSent => Step::SynSent,
            StepKind::Retransmit => Step::Retransmit { errno: arg.saturating_abs() },
            StepKind::Established => Step::Established,
            StepKind::Request => Step::Request { bytes: arg },
            StepKind::Response => Step::Response { bytes: arg },
            StepKind::Fin => Step::Fin { unacked: arg },
            StepKind::Reset => Step::Reset { unacked: arg },
            StepKind::Dropped => Step::Dropped { reason: self.drop_reason(u32::try_from(arg).unwrap_or(0)) },
            StepKind::Icmp => {
                let [code, kind, ..] = arg.to_le_bytes();
                Step::Icmp { kind, code }
            }
            StepKind::Error => Step::Error { errno: arg },
            StepKind::SendBlocked => Step::SendBlocked,
            StepKind::SendError => Step::SendError { errno: arg },
            StepKind::RecvError => Step::RecvError { errno: arg },
            StepKind::Eof => Step::Eof,
            StepKind::Closed => Step::Closed,
            StepKind::SynAckAgain => Step::SynAckAgain,
            StepKind::TlsHello => Step::TlsHello { bytes: arg },
            StepKind::TlsAnswer => Step::TlsAnswer { bytes: arg },
            StepKind::TlsAlert => Step::TlsAlert { alert: u8::try_from(arg).ok() },
            StepKind::TlsRefused => Step::TlsRefused { alert: u8::try_from(arg).ok() },
            StepKind::TlsDone => Step::TlsDone,
        }
    }
}

fn ended(record: &Record) -> Ended {
    match End::from_u8(record.end) {
        Some(End::Open) => Ended::Open,
        Some(End::Closed) => Ended::ClosedByNginx,
        Some(End::Destroyed) => Ended::Broken,
        Some(End::Reborn | End::Vanished) | None => Ended::Vanished,
    }
}

fn icmp(record: &Record) -> Option<IcmpError> {
    let icmp = &record.icmp;
    if icmp.present == 0 {
        return None;
    }
    let [a, b, c, d, ..] = icmp.from;
    Some(IcmpError {
        kind: icmp.kind,
        code: icmp.code,
        from: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        errno: i32::try_from(icmp.errno).unwrap_or(0),
        local: icmp.ifindex == LOOPBACK_IFINDEX,
    })
}

fn socket(record: &Record) -> Socket {
    let tcp = &record.tcp;
    let fin = u64::from(record.flags & flags::FIN_RECEIVED != 0);
    let syn = u64::from(record.flags & flags::ESTABLISHED != 0);
    Socket {
        unacked: tcp.write_seq.wrapping_sub(tcp.snd_una),
        unsent: tcp.write_seq.wrapping_sub(tcp.snd_nxt),
        unread: tcp.unread(fin != 0),
        unread_since: (tcp.unread(fin != 0) > 0).then(|| last_arrival(record)),
        own_window: (tcp.no_room != 0).then_some(0),
        received: tcp.bytes_received.saturating_sub(fin),
        acked: tcp.bytes_acked.saturating_sub(syn),
        peer_window: tcp.snd_wnd,
        srtt_us: tcp.srtt_us >> 3,
        total_retransmits: tcp.total_retrans,
        retransmits: tcp.retransmits,
        probes: tcp.probes,
        error: i32::try_from(tcp.err).unwrap_or(0),
        soft_error: i32::try_from(tcp.err_soft).unwrap_or(0),
        sequence: sequence(record),
    }
}

/// Which sequence numbers packets of the current request have, and some of those before it.
fn sequence(record: &Record) -> Option<Sequence> {
    const BEFORE: u64 = 1 << 20;
    let tcp = &record.tcp;
    if tcp.snd_una == 0 && tcp.snd_nxt == 0 && tcp.write_seq == 0 {
        return None;
    }
    let acked = tcp.bytes_acked.min(record.app_sent.saturating_add(BEFORE));
    let first = tcp.snd_una.wrapping_sub(u32::try_from(acked).unwrap_or(u32::MAX));
    let sent = tcp.snd_nxt.wrapping_sub(first).max(tcp.write_seq.wrapping_sub(first));
    Some(Sequence { first, next: first.wrapping_add(sent), received: tcp.rcv_nxt })
}

/// When data last arrived: what is unread was there by then.
fn last_arrival(record: &Record) -> Nanos {
    let ago = u64::from(record.tcp.idle_ticks) * tick();
    record.header.now_ns.saturating_sub(ago).max(1)
}

/// A tick of the running kernel, nanoseconds: the resolution of its coarse clocks.
fn tick() -> Nanos {
    static TICK: OnceLock<Nanos> = OnceLock::new();
    *TICK.get_or_init(|| {
        let resolution = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).ok();
        resolution.and_then(|tick| u64::try_from(tick.tv_nsec()).ok()).filter(|tick| *tick > 1).unwrap_or(MS)
    })
}

/// What came in answer to a TLS handshake and is no TLS.
fn foreign(record: &Record) -> Option<String> {
    let handshake = record.flags & flags::TLS_HANDSHAKE != 0;
    let len = record.head.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let foreign = handshake && len > 0 && record.head[0] != tls::ALERT;
    foreign.then(|| record.head[..len].escape_ascii().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_record_ended() {
        for (end, expected) in [
            (End::Open as u8, Ended::Open),
            (End::Closed as u8, Ended::ClosedByNginx),
            (End::Destroyed as u8, Ended::Broken),
            (End::Reborn as u8, Ended::Vanished),
            (End::Vanished as u8, Ended::Vanished),
            (u8::MAX, Ended::Vanished),
        ] {
            assert_eq!(ended(&Record { end, ..Record::ZERO }), expected, "{end}");
        }
    }
}
