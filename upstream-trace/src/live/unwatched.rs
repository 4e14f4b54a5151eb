//! Stuck attempts among the connections whose sends and receives are not watched: their sockets tell.
//!
//! Few are looked up one by one; of many, the kernel lists all sockets of the network namespace. Either takes at most a
//! hundredth of the time, however many there are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use upstream_trace_common::{Record, flags};
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
    local: SocketAddr,
    remote: SocketAddr,
}

/// One that is stuck: its socket and its number as the kernel side has them.
pub(super) struct Stuck {
    pub(super) sk: u64,
    pub(super) id: u64,
    pub(super) attempt: Attempt,
}

/// Looks at them.
#[derive(Debug)]
pub(super) struct Unwatched {
    due: Instant,
    found: Vec<Connection>,
}

impl Unwatched {
    pub(super) fn new() -> Self {
        Self { due: Instant::now(), found: Vec::new() }
    }

    /// Whether it is time for a look.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// One of the records that are not watched, to be looked at if it has been established for longer than `slow`.
    pub(super) fn add(&mut self, record: &Record, now: Nanos, slow: Nanos) {
        if record.flags & (flags::UNIX | flags::ESTABLISHED) != flags::ESTABLISHED
            || now.saturating_sub(record.established_ns) < slow
        {
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
                local,
                remote,
            });
        }
    }

    /// Those that are stuck.
    pub(super) fn look(&mut self, now: Nanos, slow: Nanos) -> Vec<Stuck> {
        let begun = Instant::now();
        let mut by_netns = HashMap::<u32, Vec<Connection>>::new();
        for connection in self.found.drain(..) {
            by_netns.entry(connection.netns).or_default().push(connection);
        }
        let mut stuck = Vec::new();
        for connections in by_netns.into_values() {
            stuck.extend(stuck_of(&connections, now, slow));
            stuck.truncate(MOST);
        }
        self.due = begun + INTERVAL.max(begun.elapsed() * SHARE);
        stuck
    }
}

/// Those that are stuck of the connections of one network namespace.
fn stuck_of(connections: &[Connection], now: Nanos, slow: Nanos) -> Vec<Stuck> {
    let Some(first) = connections.first() else { return Vec::new() };
    let Ok(mut diag) = netns::run_in(first.worker, Diag::open).and_then(|diag| diag) else {
        return Vec::new();
    };
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
    let stuck = sockets.into_iter().filter_map(|(of, socket)| {
        let open = OpenSocket {
            worker: of.worker,
            netns: of.netns,
            fd: -1,
            role: SocketRole::Upstream,
            kind: SocketKind::Tcp(socket),
        };
        let attempt = nginx::stuck(&[open], now, slow, |_| AttemptId::from_kernel(of.id)).pop()?;
        let first = attempt.socket.received == 0;
        let attempt = Attempt {
            adopted: false,
            begun: of.born,
            established: Some(of.established),
            reused: !first,
            by_socket: true,
            ..attempt
        };
        Some(Stuck { sk: of.sk, id: of.id, attempt })
    });
    stuck.take(MOST).collect()
}
