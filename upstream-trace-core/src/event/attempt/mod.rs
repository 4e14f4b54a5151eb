//! One attempt of nginx to get an answer from an upstream: a connection, or a request on a pooled one.

mod outcome;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::bounds::{optional_text, steps};
use super::step::is_zero;
use super::{AttemptId, ConnectError, Moment, Nanos, Upstream};

pub use outcome::BenignEnd;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It has not.
    Open,
    /// nginx closed the socket while the connection (or the SYN) was still alive: it gave up, or was done.
    ClosedByNginx,
    /// An error or a RST had ended the connection before nginx closed the socket.
    Broken,
    /// Its end was not seen, only that it is over.
    Vanished,
}

/// An ICMP error that was queued on the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcmpError {
    /// ICMP or `ICMPv6` type, by the family of the connection.
    pub kind: u8,
    /// Code of that type.
    pub code: u8,
    /// Address of the host that sent it.
    pub from: IpAddr,
    /// errno that the kernel made of it.
    pub errno: i32,
    /// Whether this host made it itself.
    pub local: bool,
}

/// What the socket knew when the attempt ended or was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Socket {
    /// Written by nginx and not acknowledged, bytes (sent or not). Meaningless before the handshake finished.
    pub unacked: u32,
    /// Written by nginx and not even sent, bytes.
    pub unsent: u32,
    /// Arrived and not read by nginx, bytes.
    pub unread: u32,
    /// By when unread bytes were there, at the latest; `None` if not known or there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_since: Option<Nanos>,
    /// The receive window that nginx's side offered last, bytes; 0: it had no room. `None` if not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_window: Option<u32>,
    /// Payload bytes received over the connection's life (without SYN and FIN).
    pub received: u64,
    /// Payload bytes acknowledged over the connection's life (without SYN and FIN).
    pub acked: u64,
    /// The origin's receive window, bytes.
    pub peer_window: u32,
    /// Smoothed round-trip time, microseconds; 0 if never measured.
    pub srtt_us: u32,
    /// Segments retransmitted over the connection's life.
    pub total_retransmits: u32,
    /// Retransmissions of the current segment in a row.
    pub retransmits: u8,
    /// Zero-window probes in a row.
    pub probes: u8,
    /// Hard error, errno, 0 if none.
    pub error: i32,
    /// Soft error, errno, 0 if none.
    pub soft_error: i32,
    /// Which sequence numbers its packets have; `None` if not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Sequence>,
}

impl Socket {
    /// Its sequence numbers when it is as `later` says, which has none.
    #[must_use]
    pub fn sequence_at(&self, later: &Self) -> Option<Sequence> {
        let written = |socket: &Self| socket.acked.saturating_add(u64::from(socket.unacked));
        let more = |now: u64, then: u64| now.saturating_sub(then) as u32;
        self.sequence.map(|Sequence { first, next, received }| Sequence {
            first,
            next: next.wrapping_add(more(written(later), written(self))),
            received: received.wrapping_add(more(later.received, self.received)),
        })
    }
}

/// Which sequence numbers the packets of a connection have. They wrap around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// A byte that nginx sent, so long ago that no packet with an earlier one is of interest.
    pub first: u32,
    /// The next byte that nginx sends.
    pub next: u32,
    /// The next byte that is expected from the upstream.
    pub received: u32,
}

impl Sequence {
    /// How far what the upstream sends may lie from what is expected, bytes.
    const WINDOW: u32 = 1 << 20;

    /// Whether nginx may have sent this number. A probe has the one before the first, a FIN is counted as a byte.
    #[must_use]
    pub const fn has_sent(&self, number: u32) -> bool {
        let before = self.first.wrapping_sub(1);
        number.wrapping_sub(before) <= self.next.wrapping_sub(before).wrapping_add(1)
    }

    /// Whether the upstream may have sent this number.
    #[must_use]
    pub const fn may_have_come(&self, number: u32) -> bool {
        number.wrapping_sub(self.received).wrapping_add(Self::WINDOW) <= 2 * Self::WINDOW
    }
}

/// One attempt, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "independent observations, recorded by name")]
pub struct Attempt {
    /// Number of the attempt.
    pub id: AttemptId,
    /// When it was looked at: its end, or the sign of trouble; nanoseconds of `CLOCK_MONOTONIC`, as all times here.
    pub seen: Nanos,
    /// The attempt that it retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<AttemptId>,
    /// Process id of the worker, in the tracing host's numbering.
    pub worker: u32,
    /// Network namespace: inode of its `/proc/PID/ns/net`; 0 if not known.
    pub netns: u32,
    /// Address or path it went to; `null` if the table of addresses was full.
    pub upstream: Option<Upstream>,
    /// Address and port of nginx's side; absent for unix sockets, and if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// How it ended.
    pub ended: Ended,
    /// `connect()`; for adopted connections as far as it could be found out.
    pub begun: Nanos,
    /// When the handshake finished; absent if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub established: Option<Nanos>,
    /// First byte of the current request handed to the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Nanos>,
    /// When nginx last sent something; absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_send: Option<Nanos>,
    /// First byte of the current answer read by nginx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Nanos>,
    /// Last byte read by nginx, of this or an earlier answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_recv: Option<Nanos>,
    /// When the origin's FIN arrived; absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fin: Option<Nanos>,
    /// When a RST arrived; absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<Nanos>,
    /// Bytes of the current request that nginx handed to the kernel.
    pub bytes_sent: u64,
    /// Bytes of the current answer that nginx read.
    pub bytes_received: u64,
    /// Requests on this connection so far, the current one included.
    pub requests: u32,
    /// The connection had been open before the tool started.
    #[serde(default)]
    pub adopted: bool,
    /// The request went out on a connection that had carried one before (or was adopted).
    #[serde(default)]
    pub reused: bool,
    /// A request was sent and no byte of an answer was read since.
    #[serde(default)]
    pub outstanding: bool,
    /// nginx sent (part of) the request after the origin's FIN had arrived.
    #[serde(default)]
    pub sent_after_fin: bool,
    /// Request bytes were unacknowledged when the FIN or RST arrived.
    #[serde(default)]
    pub unacked_at_end: bool,
    /// The last `send` found the buffer full.
    #[serde(default)]
    pub send_blocked: bool,
    /// A `send` failed.
    #[serde(default)]
    pub send_error: bool,
    /// A `recv` failed (no idle probe).
    #[serde(default)]
    pub recv_error: bool,
    /// A probe of the idle connection in nginx's pool found it closed.
    #[serde(default)]
    pub idle_probe: bool,
    /// The error of a reset connection had been fetched with `getsockopt` when it was closed: nginx tried to use it.
    #[serde(default)]
    pub error_fetched: bool,
    /// The client had gone away (or just spoken) when nginx closed: not a failure of the upstream.
    #[serde(default)]
    pub client_gone: bool,
    /// nginx cut the client off straight after closing, in the middle of an answer.
    #[serde(default)]
    pub client_cut: bool,
    /// The worker was exiting.
    #[serde(default)]
    pub worker_exiting: bool,
    /// The socket died in `connect()` for want of a local port.
    #[serde(default)]
    pub no_local_port: bool,
    /// The status, 500 or above, with which the answer begins; the attempt is over for the tool, not the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_status: Option<u16>,
    /// What nginx sent and received was not watched: whether a request was under way was read from the socket, and when
    /// responses began is not known.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_socket: bool,
    /// The socket leaves open whether a request was under way: `outstanding` is what it looked like.
    #[serde(default, skip_serializing_if = "is_false")]
    pub in_doubt: bool,
    /// nginx spoke TLS.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls: bool,
    /// The TLS handshake had begun and was not over: `outstanding`, `request` and the bytes are those of the handshake.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls_handshake: bool,
    /// What came in answer to the TLS handshake and is no TLS: its first bytes, those that do not print as `\\xNN`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "no_tls",
        deserialize_with = "optional_text"
    )]
    pub non_tls_prefix: Option<String>,
    /// Packets of it that were dropped on this host.
    pub drops: u32,
    /// Retransmissions since the current request (or the SYN).
    pub retransmits: u32,
    /// Of these, refused by this host.
    pub retransmits_failed: u32,
    /// ICMP error on the socket's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpError>,
    /// What the socket knew.
    pub socket: Socket,
    /// What happened, in order of time.
    #[serde(deserialize_with = "steps")]
    pub trail: Vec<Moment>,
    /// Steps that did not fit into the trail.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub trail_lost: u16,
}

impl Attempt {
    /// An attempt of which only this is known: it begins and is seen at the same time, and nothing has happened.
    #[must_use]
    pub fn blank(id: AttemptId, at: Nanos, worker: u32, upstream: Option<Upstream>) -> Self {
        Self {
            id,
            seen: at,
            retry_of: None,
            worker,
            netns: 0,
            upstream,
            local: None,
            ended: Ended::Vanished,
            begun: at,
            established: None,
            request: None,
            last_send: None,
            answer: None,
            last_recv: None,
            fin: None,
            reset: None,
            bytes_sent: 0,
            bytes_received: 0,
            requests: 0,
            adopted: false,
            reused: false,
            outstanding: false,
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
            error_status: None,
            by_socket: false,
            in_doubt: false,
            tls: false,
            tls_handshake: false,
            non_tls_prefix: None,
            drops: 0,
            retransmits: 0,
            retransmits_failed: 0,
            icmp: None,
            socket: Socket::default(),
            trail: Vec::new(),
            trail_lost: 0,
        }
    }

    /// An attempt made of what an error of `connect()` tells.
    #[must_use]
    pub fn of_connect_error(error: &ConnectError) -> Self {
        Self {
            retry_of: error.retry_of,
            netns: error.netns,
            ended: Ended::Broken,
            begun: error.at.saturating_sub(error.took),
            ..Self::blank(error.id, error.at, error.worker, Some(error.upstream.clone()))
        }
    }

    /// Since when this attempt runs: the request on a pooled connection, else `connect()`.
    #[must_use]
    pub fn since(&self) -> Nanos {
        if self.reused { self.request.unwrap_or(self.begun) } else { self.begun }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !*value
}
