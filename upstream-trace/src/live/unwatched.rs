//! Stuck attempts among the connections whose sends and receives are not watched: their sockets tell.
//!
//! Few are looked up one by one; of many, the kernel lists all sockets of the network namespace. Either takes at most a
//! hundredth of the time, however many there are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use upstream_trace_common::{Record, flags};
use upstream_trace_core::Bounded;
use upstream_trace_core::event::{Attempt, AttemptId, Nanos};

use crate::host::netns;
use crate::kernel::decode;
use crate::netlink::diag::{Diag, Family, States, TcpSocket};
use crate::nginx::{self, OpenSocket, SocketKind, SocketRole};

/// Between two looks, at least.
const INTERVAL: Duration = Duration::from_millis(500);

/// A look takes no more than this part of the time.
const SHARE: u32 = 100;

/// So many are looked up one by one.
const FEW: usize = 64;

/// So many that are stuck are told of in one look; one upstream that hangs makes them all alike.
const MOST: usize = 256;

/// Answered retries that are remembered.
const MAX_TOLD: usize = 4096;

/// A connection that is not watched.
#[derive(Clone, Copy, Debug)]
struct Connection {
    /// As the kernel side has it.
    id: u64,
    sk: u64,
    worker: u32,
    netns: u32,
    born: Nanos,
    established: Nanos,
    /// The attempt that it retries, if that is to be looked at, 0 if not.
    retries: u64,
    local: SocketAddr,
    remote: SocketAddr,
}

/// One that is stuck: its socket and its number as the kernel side has them.
pub(super) struct Stuck {
    pub(super) sk: u64,
    pub(super) id: u64,
    pub(super) attempt: Attempt,
}

/// A retry whose connection goes on was answered: the attempts that failed and that followed, and where that went.
pub(super) struct Answered {
    pub(super) failed: u64,
    pub(super) retry: u64,
    pub(super) remote: SocketAddr,
}

/// What a look finds.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) stuck: Vec<Stuck>,
    pub(super) answered: Vec<Answered>,
}

/// Looks at them.
#[derive(Debug)]
pub(super) struct Unwatched {
    due: Instant,
    found: Vec<Connection>,
    /// Retries that were answered: each is told of once.
    told: Bounded<u64, ()>,
}

impl Unwatched {
    pub(super) fn new() -> Self {
        Self { due: Instant::now(), found: Vec::new(), told: Bounded::new(MAX_TOLD) }
    }

    /// Whether it is time for a look.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// Looks at the next occasion.
    pub(super) fn now(&mut self) {
        self.due = Instant::now();
    }

    /// One of the records that are not watched, to be looked at if it has been established for longer than `slow`, or
    /// retries another.
    pub(super) fn add(&mut self, record: &Record, now: Nanos, slow: Nanos) {
        let retries = if self.told.contains_key(&record.id) { 0 } else { record.retry_of };
        let old = now.saturating_sub(record.established_ns) >= slow;
        if record.flags & (flags::UNIX | flags::ESTABLISHED) != flags::ESTABLISHED || !old && retries == 0 {
            return;
        }
        let ends = (decode::socket_addr(&record.local), decode::socket_addr(&record.remote));
        if let (Some(local), Some(remote)) = ends {
            self.found.push(Connection {
                id: record.id,
                sk: record.sk,
                worker: record.tgid,
                netns: record.netns,
                born: record.born_ns,
                established: record.established_ns,
                retries,
                local,
                remote,
            });
        }
    }

    /// Those that are stuck, and retries that were answered.
    pub(super) fn look(&mut self, now: Nanos, slow: Nanos) -> Seen {
        let begun = Instant::now();
        let mut by_netns = HashMap::<u32, Vec<Connection>>::new();
        for connection in self.found.drain(..) {
            by_netns.entry(connection.netns).or_default().push(connection);
        }
        let mut seen = Seen::default();
        for connections in by_netns.into_values() {
            look_at(&connections, now, slow, &mut seen);
        }
        for answered in &seen.answered {
            self.told.insert(answered.retry, (), now);
        }
        self.due = begun + INTERVAL.max(begun.elapsed() * SHARE);
        seen
    }
}

/// Looks at the connections of one network namespace.
fn look_at(connections: &[Connection], now: Nanos, slow: Nanos, seen: &mut Seen) {
    let Some(first) = connections.first() else { return };
    let Ok(mut diag) = netns::run_in(first.worker, Diag::open).and_then(|diag| diag) else { return };
    let sockets: Vec<(Connection, TcpSocket)> = if connections.len() <= FEW {
        let find = |of: &Connection| Some((*of, diag.tcp_socket(of.local, of.remote).ok()??));
        connections.iter().filter_map(find).collect()
    } else {
        let by_ends: HashMap<_, _> = connections.iter().map(|of| ((of.local, of.remote), *of)).collect();
        let of = |socket: &TcpSocket| by_ends.get(&(socket.local, socket.remote)).copied();
        let states = || States::ESTABLISHED | States::CLOSE_WAIT;
        let listed = [Family::V4, Family::V6].into_iter().flat_map(|family| {
            diag.tcp_sockets(family, states(), |socket| of(socket).is_some()).unwrap_or_default()
        });
        listed.filter_map(|socket| Some((of(&socket)?, socket))).collect()
    };
    for (of, socket) in sockets {
        let received = socket.info.is_some_and(|info| info.bytes_received > u64::from(socket.has_fin()));
        if of.retries != 0 && received {
            seen.answered.push(Answered { failed: of.retries, retry: of.id, remote: of.remote });
        }
        if seen.stuck.len() < MOST {
            seen.stuck.extend(stuck(of, socket, now, slow));
        }
    }
}

/// The attempt, if it is stuck.
fn stuck(of: Connection, socket: TcpSocket, now: Nanos, slow: Nanos) -> Option<Stuck> {
    let open = OpenSocket {
        worker: of.worker,
        netns: of.netns,
        fd: -1,
        role: SocketRole::Upstream,
        kind: SocketKind::Tcp(socket),
    };
    let attempt = nginx::stuck(&[open], now, slow, |_| AttemptId::from_kernel(of.id)).pop()?;
    let reused = attempt.socket.received > 0;
    let attempt = Attempt {
        adopted: false,
        begun: of.born,
        established: Some(of.established),
        reused,
        by_socket: true,
        ..attempt
    };
    Some(Stuck { sk: of.sk, id: of.id, attempt })
}
