//! Sockets as `sock_diag` describes them.

use std::net::SocketAddr;

use netlink_packet_core::Emitable;
use netlink_packet_sock_diag::constants::{
    SOCK_STREAM, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_SENT,
};
use netlink_packet_sock_diag::inet::nlas::Nla as InetNla;
use netlink_packet_sock_diag::inet::{InetResponse, Timer};
use netlink_packet_sock_diag::unix::UnixResponse;
use netlink_packet_sock_diag::unix::nlas::{Nla as UnixNla, UnixDiagName, Vfs};

use super::TcpInfo;
use crate::netlink::u32_at;

/// The timer that runs for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunningTimer {
    /// Retransmission, in so many milliseconds.
    Retransmit(u64),
    /// Probe of a zero window, in so many milliseconds.
    Probe(u64),
    /// Another one.
    Other,
}

/// A TCP (or, with the same fields, UDP) socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// This side; unspecified for a wildcard listener.
    pub local: SocketAddr,
    /// The other side; unspecified for listeners.
    pub remote: SocketAddr,
    /// The kernel's number of the state, `TCP_ESTABLISHED` 1 and so on.
    pub state: u8,
    /// Inode number, 0 if no process holds it any more.
    pub inode: u32,
    /// Owner.
    pub uid: u32,
    /// Bytes not read by the program; of a listener, connections not accepted.
    pub rqueue: u32,
    /// Bytes not acknowledged; of a listener, the most connections that may wait.
    pub wqueue: u32,
    /// Retransmissions in a row, if the retransmission timer runs.
    pub retransmits: u8,
    /// The timer that runs.
    pub timer: Option<RunningTimer>,
    /// Takes IPv6 only; of IPv6 sockets, as far as the kernel says so.
    pub v6_only: Option<bool>,
    /// What the connection knows; `None` for UDP and for listeners.
    pub info: Option<TcpInfo>,
}

impl TcpSocket {
    /// The handshake has not finished.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        self.state == TCP_SYN_SENT
    }

    /// The handshake has finished and nginx has not closed.
    #[must_use]
    pub fn is_established(&self) -> bool {
        matches!(self.state, TCP_ESTABLISHED | TCP_CLOSE_WAIT)
    }

    /// The origin has closed its side.
    #[must_use]
    pub fn has_fin(&self) -> bool {
        self.state == TCP_CLOSE_WAIT
    }

    /// It listens.
    #[must_use]
    pub fn is_listener(&self) -> bool {
        self.state == TCP_LISTEN
    }
}

/// A unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// Inode number of the socket.
    pub inode: u32,
    /// Inode number of the connected peer: 0 if nobody has accepted the connection yet.
    pub peer: Option<u32>,
    /// Name it is bound to, as the program gave it; abstract names begin with `@`.
    pub name: Option<String>,
    /// Device and inode number of the socket file.
    pub file: Option<(u32, u32)>,
    /// Connected or listening stream socket.
    pub stream: bool,
    /// It listens.
    pub listening: bool,
    /// Bytes not read by the program; of a listener, connections not accepted.
    pub rqueue: u32,
    /// Bytes on their way; of a listener, the most connections that may wait.
    pub wqueue: u32,
    /// Of a listener: inode numbers of the connecting sockets that wait to be accepted.
    pub waiting: Vec<u32>,
}

pub(in crate::netlink) fn tcp_socket(response: &InetResponse) -> TcpSocket {
    let header = &response.header;
    let (retransmits, timer) = match header.timer {
        Some(Timer::Retransmit(left, count)) => (count, Some(RunningTimer::Retransmit(millis(left)))),
        Some(Timer::Probe(left)) => (0, Some(RunningTimer::Probe(millis(left)))),
        Some(_) => (0, Some(RunningTimer::Other)),
        None => (0, None),
    };
    let mut socket = TcpSocket {
        local: SocketAddr::new(header.socket_id.source_address, header.socket_id.source_port),
        remote: SocketAddr::new(header.socket_id.destination_address, header.socket_id.destination_port),
        state: header.state,
        inode: header.inode,
        uid: header.uid,
        rqueue: header.recv_queue,
        wqueue: header.send_queue,
        retransmits,
        timer,
        v6_only: None,
        info: None,
    };
    for attribute in &response.nlas {
        match attribute {
            InetNla::TcpInfo(bytes) if header.state != TCP_LISTEN && !bytes.is_empty() => {
                socket.info = Some(TcpInfo::parse(bytes));
            }
            InetNla::SkV6Only(only) => socket.v6_only = Some(*only),
            _ => {}
        }
    }
    socket
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(in crate::netlink) fn unix_socket(response: &UnixResponse) -> UnixSocket {
    let header = &response.header;
    let mut socket = UnixSocket {
        inode: header.inode,
        peer: None,
        name: None,
        file: None,
        stream: header.kind == SOCK_STREAM,
        listening: header.state == TCP_LISTEN,
        rqueue: 0,
        wqueue: 0,
        waiting: Vec::new(),
    };
    for attribute in &response.nlas {
        match attribute {
            UnixNla::Name(UnixDiagName::Pathname(path)) => {
                socket.name = Some(path.to_string_lossy().into_owned());
            }
            UnixNla::Name(UnixDiagName::Abstract(name)) => {
                socket.name = Some(format!("@{}", String::from_utf8_lossy(name)));
            }
            UnixNla::Vfs(file) => socket.file = Some(file_of(file)),
            UnixNla::Peer(inode) => socket.peer = Some(*inode),
            UnixNla::ReceiveQueueLength(rqueue, wqueue) => {
                (socket.rqueue, socket.wqueue) = (*rqueue, *wqueue);
            }
            UnixNla::PendingConnections(inodes) => socket.waiting.clone_from(inodes),
            _ => {}
        }
    }
    socket
}

/// The crate keeps the two fields private; `struct unix_diag_vfs` is the inode and then the device.
fn file_of(file: &Vfs) -> (u32, u32) {
    let mut bytes = [0; 8];
    if file.buffer_len() == bytes.len() {
        file.emit(&mut bytes);
    }
    (u32_at(&bytes, 4).unwrap_or(0), u32_at(&bytes, 0).unwrap_or(0))
}
