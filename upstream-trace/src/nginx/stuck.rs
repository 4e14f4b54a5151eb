//! Upstream connections that are in trouble at the moment at which the tool starts.

use upstream_trace_core::event::{Attempt, AttemptId, Ended, Moment, Nanos, Socket, Step, Upstream};

use super::OpenSocket;
use super::sockets::{ago, unanswered};
use crate::netlink::diag::{RunningTimer, TcpInfo, TcpSocket};

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
pub(super) fn known_age_ms(info: &TcpInfo, socket: &TcpSocket) -> u64 {
    if socket.is_connecting() {
        return info.retransmitting_for_ms(remaining_ms(info, socket));
    }
    let oldest = info.last_data_sent.max(info.last_data_recv).max(info.last_ack_recv);
    u64::from(oldest).max(request_age_ms(info, socket))
}

/// Milliseconds since the last request was sent. While it is being repeated, the last time of sending is that of
/// the last repetition.
pub(super) fn request_age_ms(info: &TcpInfo, socket: &TcpSocket) -> u64 {
    if info.retransmits == 0 || !matches!(socket.timer, Some(RunningTimer::Retransmit(_))) {
        return info.last_data_sent.into();
    }
    info.retransmitting_for_ms(remaining_ms(info, socket)).max(info.last_data_sent.into())
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
        id,
        seen: now,
        retry_of: None,
        worker: open.worker,
        netns: open.netns,
        upstream: Some(Upstream::Tcp(socket.remote)),
        local: Some(socket.local),
        ended: Ended::Open,
        begun,
        established: (!connecting).then_some(begun),
        request,
        last_send: (!connecting && info.data_segs_out > 0).then(|| ago(now, request_age_ms(&info, socket))),
        answer: None,
        last_recv: (received > 0).then(|| ago(now, info.last_data_recv.into())),
        fin: socket.has_fin().then(|| ago(now, info.last_ack_recv.into())),
        reset: None,
        bytes_sent: if outstanding { bytes_sent(&info, socket) } else { 0 },
        bytes_received: 0,
        requests: u32::from(!connecting && info.data_segs_out > 0),
        adopted: true,
        reused: !connecting,
        outstanding,
        sent_after_fin: false,
        unacked_at_end: false,
        send_blocked: false,
        send_error: false,
        recv_error: false,
        idle_probe: false,
        error_fetched: false,
        client_gone: false,
        client_cut: false,
        worker_exiting: false,
        no_local_port: false,
        drops: 0,
        retransmits,
        retransmits_failed: 0,
        icmp: None,
        socket: numbers(&info, socket),
        trail: trail(&info, socket, now, begun, request),
        trail_lost: 0,
    })
}

/// Of a connection that has carried one request only this is that request; of others it is what is not
/// acknowledged, since the sizes of earlier requests are not known.
fn bytes_sent(info: &TcpInfo, socket: &TcpSocket) -> u64 {
    let acked = info.bytes_acked.saturating_sub(1);
    let first = info.bytes_received == 0;
    u64::from(socket.wqueue) + if first { acked } else { 0 }
}

fn numbers(info: &TcpInfo, socket: &TcpSocket) -> Socket {
    let connecting = socket.is_connecting();
    Socket {
        unacked: if connecting { 0 } else { socket.wqueue },
        unsent: if connecting { 0 } else { info.notsent_bytes },
        unread: if connecting { 0 } else { socket.rqueue },
        received: info.bytes_received.saturating_sub(u64::from(socket.has_fin())),
        acked: info.bytes_acked.saturating_sub(1),
        peer_window: info.snd_wnd.unwrap_or(0),
        srtt_us: info.rtt_us,
        total_retransmits: info.total_retrans,
        retransmits: info.retransmits,
        probes: info.probes,
        error: 0,
        soft_error: 0,
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
