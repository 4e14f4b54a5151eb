//! Upstream connections that were open before the tool was: what the kernel side needs to take them over, and which
//! of them are in trouble already.

use upstream_trace_common::{AdoptKey, AdoptState};
use upstream_trace_core::event::{Attempt, AttemptId, Ended, Moment, Nanos, Socket, Step, Upstream};

use super::OpenSocket;
use crate::netlink::diag::{RunningTimer, TcpInfo, TcpSocket};

/// What the kernel side needs to take over the upstream connections among `open`.
#[must_use]
pub fn seeds(open: &[OpenSocket], now: Nanos) -> Vec<(AdoptKey, AdoptState)> {
    let live = |socket: &TcpSocket| socket.is_connecting() || socket.is_established();
    let seed = |open: &OpenSocket| {
        let socket = open.upstream_tcp().filter(|socket| live(socket))?;
        let key = AdoptKey { local: socket.local.into(), remote: socket.remote.into(), netns: open.netns };
        let info = socket.info.unwrap_or_default();
        let mut seed = AdoptState {
            tgid: open.worker,
            written: info.bytes_acked + u64::from(socket.wqueue),
            received: info.bytes_received,
            ..AdoptState::default()
        };
        if socket.is_established() {
            if unanswered(&info, socket) {
                seed.request_ns = ago(now, request_age_ms(&info, socket));
            }
            if info.bytes_received > 0 {
                seed.last_recv_ns = ago(now, info.last_data_recv.into());
            }
        }
        seed.born_ns = ago(now, known_age_ms(&info, socket));
        Some((key, seed))
    };
    open.iter().filter_map(seed).collect()
}

/// The upstream connections among `open` that are in trouble: SYN repeated or not answered for longer than `slow`,
/// request bytes repeated, or a request not answered for longer than `slow`. `id` gives each its number.
pub fn stuck(
    open: &[OpenSocket],
    now: Nanos,
    slow: Nanos,
    mut id: impl FnMut(&OpenSocket) -> AttemptId,
) -> Vec<Attempt> {
    let slow_ms = slow / 1_000_000;
    let troubled = |open: &&OpenSocket| {
        open.upstream_tcp()
            .is_some_and(|socket| socket.info.is_some_and(|info| in_trouble(&info, socket, slow_ms)))
    };
    open.iter().filter(troubled).filter_map(|open| attempt(open, now, id(open))).collect()
}

fn in_trouble(info: &TcpInfo, socket: &TcpSocket, slow_ms: u64) -> bool {
    if socket.is_connecting() {
        return socket.retransmits > 0 || known_age_ms(info, socket) >= slow_ms;
    }
    if !socket.is_established() {
        return false;
    }
    let repeating = socket.wqueue > 0 && (info.retransmits > 0 || info.probes > 0);
    let unacknowledged = info.unacked > 0 && u64::from(info.last_ack_recv) >= slow_ms;
    let silent = unanswered(info, socket) && request_age_ms(info, socket) >= slow_ms;
    repeating || unacknowledged && unanswered(info, socket) || silent
}

/// Milliseconds that the connection is known to exist.
fn known_age_ms(info: &TcpInfo, socket: &TcpSocket) -> u64 {
    if socket.is_connecting() {
        return info.retransmitting_for_ms(remaining_ms(info, socket));
    }
    let oldest = info.last_data_sent.max(info.last_data_recv).max(info.last_ack_recv);
    u64::from(oldest).max(request_age_ms(info, socket))
}

/// Milliseconds since the last request was sent. While it is being repeated, the last time of sending is that of
/// the last repetition.
fn request_age_ms(info: &TcpInfo, socket: &TcpSocket) -> u64 {
    if info.retransmits == 0 || !matches!(socket.timer, Some(RunningTimer::Retransmit(_))) {
        return info.last_data_sent.into();
    }
    // A tail loss probe, which is no retransmission in the row, mostly went before; the request is not older than the
    // last acknowledgement of what was sent before it.
    let since_timeout = info.retransmitting_for_ms(remaining_ms(info, socket));
    let probed =
        since_timeout.saturating_add(u64::from(info.rto_us / 1000) >> u32::from(info.backoff.min(31)));
    probed.min(info.last_ack_recv.into()).max(since_timeout).max(info.last_data_sent.into())
}

fn remaining_ms(info: &TcpInfo, socket: &TcpSocket) -> u64 {
    match socket.timer {
        Some(RunningTimer::Retransmit(left)) => left,
        _ => u64::from(info.rto_us / 1000),
    }
}

fn attempt(open: &OpenSocket, now: Nanos, id: AttemptId) -> Option<Attempt> {
    let socket = open.upstream_tcp()?;
    let info = socket.info?;
    let connecting = socket.is_connecting();
    let outstanding = !connecting && unanswered(&info, socket);
    let begun = ago(now, known_age_ms(&info, socket));
    let request = outstanding.then(|| ago(now, request_age_ms(&info, socket)));
    let received = info.bytes_received.saturating_sub(u64::from(socket.has_fin()));
    let retransmits = u32::from(socket.retransmits.max(info.retransmits));
    Some(Attempt {
        netns: open.netns,
        local: Some(socket.local),
        ended: Ended::Open,
        begun,
        established: (!connecting).then_some(begun),
        request,
        last_send: (!connecting && info.data_segs_out > 0).then(|| ago(now, request_age_ms(&info, socket))),
        last_recv: (received > 0).then(|| ago(now, info.last_data_recv.into())),
        fin: socket.has_fin().then(|| ago(now, info.last_ack_recv.into())),
        bytes_sent: if outstanding { bytes_sent(&info, socket) } else { 0 },
        requests: u32::from(!connecting && info.data_segs_out > 0),
        adopted: true,
        reused: !connecting,
        outstanding,
        retransmits,
        socket: numbers(&info, socket, now),
        trail: trail(&info, socket, now, begun, request),
        ..Attempt::blank(id, now, open.worker, Some(Upstream::Tcp(socket.remote)))
    })
}

/// Of a connection that has carried one request only this is that request; of others it is what is not
/// acknowledged, since the sizes of earlier requests are not known.
fn bytes_sent(info: &TcpInfo, socket: &TcpSocket) -> u64 {
    let acked = info.bytes_acked.saturating_sub(1);
    let first = info.bytes_received == 0;
    u64::from(socket.wqueue) + if first { acked } else { 0 }
}

/// What the kernel knows of the connection, as an attempt has it.
pub(crate) fn numbers(info: &TcpInfo, socket: &TcpSocket, now: Nanos) -> Socket {
    let connecting = socket.is_connecting();
    let unread = !connecting && socket.rqueue > 0;
    Socket {
        unacked: if connecting { 0 } else { socket.wqueue },
        unsent: if connecting { 0 } else { info.notsent_bytes },
        unread: if connecting { 0 } else { socket.rqueue },
        unread_since: unread.then(|| ago(now, info.last_data_recv.into())),
        own_window: info.rcv_wnd.filter(|window| *window == 0),
        received: info.bytes_received.saturating_sub(u64::from(socket.has_fin())),
        acked: info.bytes_acked.saturating_sub(1),
        peer_window: info.snd_wnd.unwrap_or(u32::MAX),
        srtt_us: info.rtt_us,
        total_retransmits: info.total_retrans,
        retransmits: info.retransmits,
        probes: info.probes,
        ..Socket::default()
    }
}

/// What must have happened for the connection to be where it is.
fn trail(
    info: &TcpInfo,
    socket: &TcpSocket,
    now: Nanos,
    begun: Nanos,
    request: Option<Nanos>,
) -> Vec<Moment> {
    let mut trail = Vec::new();
    let mut add = |at, step, count, span_ms| trail.push(Moment { at, step, count, span_ms });
    if socket.is_connecting() {
        add(begun, Step::SynSent, 1, 0);
    }
    if let Some(request) = request {
        let bytes = i32::try_from(bytes_sent(info, socket)).unwrap_or(i32::MAX);
        add(request, Step::Request { bytes }, 1, 0);
    }
    let repeating = info.retransmits > 0 && (socket.is_connecting() || socket.wqueue > 0);
    if repeating {
        let sent = request.unwrap_or(begun);
        let first_timeout = u64::from(info.rto_us / 1000) >> u32::from(info.backoff.min(31));
        let first = sent.saturating_add(first_timeout * 1_000_000).min(now);
        let last_age = u64::from(info.rto_us / 1000).saturating_sub(remaining_ms(info, socket));
        let span_ms = (ago(now, last_age).saturating_sub(first) / 1_000_000).try_into().unwrap_or(u16::MAX);
        add(first, Step::Retransmit { errno: 0 }, info.retransmits, span_ms);
    }
    if socket.has_fin() {
        let unacked = i32::try_from(socket.wqueue).unwrap_or(i32::MAX);
        add(ago(now, info.last_ack_recv.into()), Step::Fin { unacked }, 1, 0);
    }
    trail.sort_by_key(|moment| moment.at);
    trail
}

/// Whether something was sent that no data answered yet.
fn unanswered(info: &TcpInfo, socket: &TcpSocket) -> bool {
    let sent = info.data_segs_out > 0 || info.bytes_acked > 1 || socket.wqueue > 0;
    sent && (info.bytes_received == 0 || info.last_data_sent < info.last_data_recv)
}

/// So many milliseconds before `now`; never 0, which means "not at all".
fn ago(now: Nanos, ms: u64) -> Nanos {
    now.saturating_sub(ms.saturating_mul(1_000_000)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::diag::tests::tcp;
    use crate::nginx::{SocketKind, SocketRole};

    const SECOND: Nanos = 1_000_000_000;
    const NOW: Nanos = 1000 * SECOND;

    fn open(state: u8, info: TcpInfo, change: impl FnOnce(&mut TcpSocket)) -> OpenSocket {
        let mut socket = tcp("10.0.0.1:40000", "10.0.0.2:80", state);
        socket.info = Some(info);
        change(&mut socket);
        OpenSocket { worker: 7, netns: 3, fd: 9, role: SocketRole::Upstream, kind: SocketKind::Tcp(socket) }
    }

    fn established(sent_ms: u32, recv_ms: u32, received: u64) -> TcpInfo {
        TcpInfo {
            last_data_sent: sent_ms,
            last_data_recv: recv_ms,
            last_ack_recv: sent_ms,
            bytes_acked: 101,
            bytes_received: received,
            data_segs_out: 1,
            rto_us: 200_000,
            ..TcpInfo::default()
        }
    }

    fn seed(open: &OpenSocket) -> (AdoptKey, AdoptState) {
        seeds(std::slice::from_ref(open), NOW).pop().unwrap()
    }

    fn troubled(open: &OpenSocket) -> Option<Attempt> {
        stuck(std::slice::from_ref(open), NOW, SECOND, |_| AttemptId::from_kernel(5)).pop()
    }

    #[test]
    fn a_request_without_answer_is_seeded_and_stuck() {
        let open = open(1, established(2500, 9000, 40), |_| ());
        let (key, seed) = seed(&open);
        assert_eq!((key.local.port, key.remote.ip[..4].to_vec(), key.netns), (40000, vec![10, 0, 0, 2], 3));
        assert_eq!(NOW - seed.request_ns, 2500 * 1_000_000);
        assert_eq!(NOW - seed.last_recv_ns, 9 * SECOND);
        assert_eq!((seed.tgid, NOW - seed.born_ns), (7, 9 * SECOND));
        let attempt = troubled(&open).unwrap();
        assert!(
            attempt.adopted
                && attempt.outstanding
                && attempt.reused
                && attempt.id == AttemptId::from_kernel(5)
        );
        assert_eq!(attempt.since(), seed.request_ns);
    }

    #[test]
    fn idle_and_young_connections_are_not_stuck() {
        let idle = open(1, established(9000, 8990, 40), |_| ());
        assert_eq!(seed(&idle).1.request_ns, 0);
        assert_eq!(troubled(&idle), None);
        assert_eq!(troubled(&open(1, established(300, 400, 0), |_| ())), None);
        let silent = TcpInfo { data_segs_out: 0, bytes_acked: 1, ..established(9000, 9000, 0) };
        assert_eq!(troubled(&open(1, silent, |_| ())), None, "nothing was sent yet");
    }

    #[test]
    fn a_repeated_syn() {
        let info = TcpInfo { retransmits: 2, rto_us: 1_000_000, ..TcpInfo::default() };
        let open = open(2, info, |socket| {
            (socket.retransmits, socket.timer) = (2, Some(RunningTimer::Retransmit(400)));
        });
        let attempt = troubled(&open).unwrap();
        assert_eq!(NOW - attempt.begun, 2600 * 1_000_000);
        assert_eq!((attempt.established, attempt.request, attempt.retransmits), (None, None, 2));
        assert!(!attempt.outstanding && !attempt.reused);
        let steps: Vec<_> = attempt.trail.iter().map(|moment| (NOW - moment.at) / 1_000_000).collect();
        assert_eq!(steps, [2600, 1600]);
        assert_eq!((attempt.trail[1].count, attempt.trail[1].span_ms), (2, 1000));
        assert_eq!(seed(&open).1.request_ns, 0);
    }

    #[test]
    fn a_repeated_request_is_as_old_as_its_first_sending() {
        // Seen on a real connection: request sent 2520 ms ago, probed after 270 ms, then repeated three times.
        let info = TcpInfo {
            retransmits: 3,
            backoff: 3,
            rto_us: 1_632_000,
            unacked: 1,
            ..established(820, 2520, 80)
        };
        let info = TcpInfo { last_ack_recv: 2520, ..info };
        let open = open(1, info, |socket| {
            (socket.wqueue, socket.timer) = (68, Some(RunningTimer::Retransmit(812)));
        });
        let attempt = troubled(&open).unwrap();
        let age = (NOW - attempt.request.unwrap()) / 1_000_000;
        assert!((2400..=2520).contains(&age), "{age}");
        assert_eq!((attempt.socket.unacked, attempt.retransmits, attempt.bytes_sent), (68, 3, 68));
    }

    #[test]
    fn an_age_beyond_boot_is_not_taken_for_none() {
        let open = open(1, established(u32::MAX - 1, u32::MAX, 1), |_| ());
        assert_eq!(seed(&open).1.request_ns, 1);
    }
}
