//! Tells what a socket of a worker is for.

use std::collections::{HashMap, HashSet};

use super::sockets::{Namespace, SocketKind, SocketRole};
use crate::netlink::diag::{TcpSocket, UnixSocket};

/// Local ports below this one are never given to outgoing connections.
const FIRST_EPHEMERAL: u16 = 1024;
const DNS: u16 = 53;
const SYSLOG: u16 = 514;

/// A connection that came in, given the ports on which nginx listens.
pub(super) fn is_client(ports: &HashSet<u16>, socket: &TcpSocket) -> bool {
    let port = socket.local.port();
    socket.remote.port() != 0 && (ports.contains(&port) || port < FIRST_EPHEMERAL)
}

/// Tells what a socket is for from all sockets of its namespace.
pub(super) struct Classifier<'a> {
    ports: HashSet<u16>,
    udp_ports: HashSet<u16>,
    /// Names of unix sockets on which nginx itself listens.
    own_paths: HashSet<&'a str>,
    unix: HashMap<u32, &'a UnixSocket>,
    /// Connecting sockets that wait to be accepted, with the path of the listener.
    waiting: HashMap<u32, Option<&'a str>>,
}

impl<'a> Classifier<'a> {
    /// `held` says whether nginx holds the socket with that inode.
    pub(super) fn new(namespace: &'a Namespace, held: impl Fn(u32) -> bool) -> Self {
        let unix_listeners = || namespace.unix.iter().filter(|socket| socket.listening);
        let unbound = |socket: &&TcpSocket| socket.remote.port() == 0;
        Self {
            ports: namespace.listening_ports(),
            udp_ports: namespace.udp.iter().filter(unbound).map(|socket| socket.local.port()).collect(),
            own_paths: unix_listeners()
                .filter(|socket| held(socket.inode))
                .filter_map(|socket| socket.name.as_deref())
                .collect(),
            unix: namespace.unix.iter().map(|socket| (socket.inode, socket)).collect(),
            waiting: unix_listeners()
                .flat_map(|socket| socket.waiting.iter().map(|inode| (*inode, socket.name.as_deref())))
                .collect(),
        }
    }

    /// What a TCP socket is for.
    pub(super) fn tcp(&self, socket: &TcpSocket) -> SocketRole {
        if socket.is_listener() {
            SocketRole::Listener
        } else if socket.remote.port() == 0 {
            SocketRole::Other
        } else if is_client(&self.ports, socket) {
            SocketRole::Client
        } else if socket.remote.port() == DNS {
            SocketRole::Resolver
        } else {
            SocketRole::Upstream
        }
    }

    /// What a UDP socket is for.
    pub(super) fn udp(&self, socket: &TcpSocket) -> SocketRole {
        if socket.remote.port() == 0 {
            SocketRole::Listener
        } else if self.udp_ports.contains(&socket.local.port()) {
            SocketRole::Client
        } else if socket.remote.port() == SYSLOG {
            SocketRole::Other
        } else {
            SocketRole::Resolver
        }
    }

    /// What a unix socket is for.
    pub(super) fn unix(&self, socket: &UnixSocket) -> (SocketRole, SocketKind) {
        let (role, upstream) = self.unix_role(socket);
        let waiting = self.waiting.contains_key(&socket.inode);
        (role, SocketKind::Unix { socket: socket.clone(), upstream: upstream.map(str::to_owned), waiting })
    }

    fn unix_role(&self, socket: &UnixSocket) -> (SocketRole, Option<&'a str>) {
        if socket.listening {
            return (SocketRole::Listener, None);
        }
        if !socket.stream {
            return (SocketRole::Other, None);
        }
        if let Some(name) = &socket.name {
            let client = self.own_paths.contains(name.as_str());
            return (if client { SocketRole::Client } else { SocketRole::Other }, None);
        }
        if let Some(path) = self.waiting.get(&socket.inode) {
            return (SocketRole::Upstream, *path);
        }
        match socket.peer.map(|inode| self.unix.get(&inode)) {
            // An accepted socket has the name of its listener; a socket pair has none.
            Some(Some(peer)) => match &peer.name {
                Some(name) => (SocketRole::Upstream, Some(name)),
                None => (SocketRole::Other, None),
            },
            // The other end is in another network namespace, which a socket pair never is.
            Some(None) => (SocketRole::Upstream, None),
            None => (SocketRole::Other, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::diag::tests::{tcp, unix};

    #[test]
    fn tcp_by_port() {
        let listener = tcp("0.0.0.0:8080", "0.0.0.0:0", 10);
        let namespace = Namespace { tcp: vec![listener.clone()], ..Namespace::default() };
        let classifier = Classifier::new(&namespace, |_| true);
        let role = |local, remote, state| classifier.tcp(&tcp(local, remote, state));
        assert_eq!(classifier.tcp(&listener), SocketRole::Listener);
        assert_eq!(role("10.0.0.1:8080", "10.0.0.9:40000", 1), SocketRole::Client);
        assert_eq!(role("10.0.0.1:443", "10.0.0.9:40000", 1), SocketRole::Client, "its listener is closed");
        assert_eq!(role("10.0.0.1:40000", "10.0.0.2:8080", 1), SocketRole::Upstream);
        assert_eq!(role("10.0.0.1:40000", "10.0.0.2:80", 2), SocketRole::Upstream);
        assert_eq!(role("[::1]:40000", "[::1]:53", 1), SocketRole::Resolver);
        assert_eq!(role("10.0.0.1:40000", "0.0.0.0:0", 7), SocketRole::Other);
    }

    #[test]
    fn udp_by_port() {
        let quic = tcp("0.0.0.0:443", "0.0.0.0:0", 7);
        let namespace = Namespace { udp: vec![quic.clone()], ..Namespace::default() };
        let classifier = Classifier::new(&namespace, |_| true);
        assert_eq!(classifier.udp(&quic), SocketRole::Listener);
        assert_eq!(classifier.udp(&tcp("10.0.0.1:40000", "10.0.0.2:5353", 1)), SocketRole::Resolver);
        assert_eq!(classifier.udp(&tcp("10.0.0.1:40000", "10.0.0.2:514", 1)), SocketRole::Other);
    }

    #[test]
    fn unix_by_the_names_at_both_ends() {
        let mut app = unix(1, Some("/app"), None);
        (app.listening, app.waiting) = (true, vec![5]);
        let mut front = unix(2, Some("/front"), None);
        front.listening = true;
        let sockets = vec![
            app,
            front,
            unix(3, None, Some(4)),
            unix(4, Some("/app"), Some(3)),
            unix(5, None, Some(0)),
            unix(6, Some("/front"), Some(7)),
            unix(7, None, Some(6)),
            unix(8, None, Some(9)),
            unix(9, None, Some(8)),
            unix(10, None, Some(99)),
        ];
        let namespace = Namespace { unix: sockets, ..Namespace::default() };
        let classifier = Classifier::new(&namespace, |inode| inode == 2);
        let role = |inode: usize| classifier.unix_role(&namespace.unix[inode - 1]);
        assert_eq!(role(2), (SocketRole::Listener, None));
        assert_eq!(role(3), (SocketRole::Upstream, Some("/app")));
        assert_eq!(role(5), (SocketRole::Upstream, Some("/app")), "not accepted");
        assert_eq!(role(6), (SocketRole::Client, None));
        assert_eq!(role(7), (SocketRole::Upstream, Some("/front")), "nginx proxies to itself");
        assert_eq!(role(8), (SocketRole::Other, None), "a socket pair");
        assert_eq!(role(10), (SocketRole::Upstream, None), "a listener of another namespace");
        let SocketKind::Unix { waiting, .. } = classifier.unix(&namespace.unix[4]).1 else { panic!() };
        assert!(waiting);
    }
}
