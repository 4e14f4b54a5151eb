//! The sockets that nginx's workers hold right now, and what each is for.

use std::collections::{HashMap, HashSet};
use std::io;

use super::classify::{Classifier, is_client};
use super::role_of;
use crate::host::{self, netns};
use crate::netlink::Error;
use crate::netlink::diag::{Diag, Family, States, TcpSocket, UnixSocket};

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketRole {
    /// A client's connection.
    Client,
    /// nginx listens on it.
    Listener,
    /// nginx's connection to an upstream.
    Upstream,
    /// A question to a name server.
    Resolver,
    /// Something else, such as syslog or the channel to the master.
    Other,
}

/// What a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// TCP.
    Tcp(TcpSocket),
    /// UDP.
    Udp(TcpSocket),
    /// A unix socket.
    Unix {
        /// The worker's end.
        socket: UnixSocket,
        /// Path of the listener at the other end, if it can be told.
        upstream: Option<String>,
        /// It is connected, and the program at the other end has not accepted it yet.
        waiting: bool,
    },
}

/// A socket of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSocket {
    /// The worker.
    pub worker: u32,
    /// Its network namespace, 0 if not known.
    pub netns: u32,
    /// Descriptor in the worker.
    pub fd: i32,
    /// What it is for.
    pub role: SocketRole,
    /// What it is.
    pub kind: SocketKind,
}

impl OpenSocket {
    /// The TCP socket, if it is one towards an upstream.
    #[must_use]
    pub fn upstream_tcp(&self) -> Option<&TcpSocket> {
        match &self.kind {
            SocketKind::Tcp(socket) if self.role == SocketRole::Upstream => Some(socket),
            _ => None,
        }
    }
}

/// A descriptor that is a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    owner: u32,
    fd: i32,
}

/// The sockets of one network namespace that its nginx processes hold.
#[derive(Default)]
pub(super) struct Namespace {
    pub(super) tcp: Vec<TcpSocket>,
    pub(super) udp: Vec<TcpSocket>,
    /// All of them, also those of other programs.
    pub(super) unix: Vec<UnixSocket>,
}

impl Namespace {
    /// Reads what is no client's connection: a busy proxy has hundreds of thousands of those, and they are let go as
    /// the list comes in.
    fn read(pid: u32, held: &HashMap<u32, Vec<Descriptor>>) -> io::Result<Self> {
        let mut diag = netns::run_in(pid, Diag::open)??;
        let ours = |socket: &TcpSocket| held.contains_key(&socket.inode);
        let mut namespace = Self { tcp: listeners(&mut diag, ours)?, ..Self::default() };
        let ports = namespace.listening_ports();
        let wanted = |socket: &TcpSocket| ours(socket) && !is_client(&ports, socket);
        for family in [Family::V4, Family::V6] {
            namespace.tcp.extend(or_empty(diag.tcp_sockets(family, connected(), wanted))?);
            namespace.udp.extend(or_empty(diag.udp_sockets(family, ours))?);
        }
        namespace.unix = or_empty(diag.unix_sockets(false))?;
        Ok(namespace)
    }

    pub(super) fn listening_ports(&self) -> HashSet<u16> {
        let tcp = self.tcp.iter().filter(|socket| socket.is_listener());
        tcp.map(|socket| socket.local.port()).filter(|port| *port != 0).collect()
    }
}

/// States of connections that belong to a process: a busy proxy has tens of thousands of others that linger.
fn connected() -> States {
    States::all() - States::TIME_WAIT - States::LISTEN
}

fn listeners(diag: &mut Diag, ours: impl Fn(&TcpSocket) -> bool) -> io::Result<Vec<TcpSocket>> {
    let mut found = Vec::new();
    for family in [Family::V4, Family::V6] {
        found.extend(or_empty(diag.tcp_sockets(family, States::LISTEN, &ours))?);
    }
    Ok(found)
}

/// Kernels without the module for a kind of socket refuse; then there are none to be seen.
fn or_empty<T>(sockets: Result<Vec<T>, Error>) -> io::Result<Vec<T>> {
    match sockets {
        Err(Error::Io(error)) => Err(error),
        other => Ok(other.unwrap_or_default()),
    }
}

/// The sockets of one worker, without the TCP connections of its clients; empty if it is gone.
///
/// # Errors
/// If its network namespace or the kernel's list of sockets cannot be read.
pub fn open_sockets(worker: u32) -> io::Result<Vec<OpenSocket>> {
    open_sockets_of(&[worker])
}

/// The sockets of several workers, without the TCP connections of their clients; each network namespace is read once.
///
/// # Errors
/// If a network namespace or the kernel's list of sockets cannot be read.
pub fn open_sockets_of(workers: &[u32]) -> io::Result<Vec<OpenSocket>> {
    let mut found = Vec::new();
    for (netns, workers) in by_namespace(workers) {
        let mut held: HashMap<u32, Vec<Descriptor>> = HashMap::new();
        for pid in with_masters(&workers) {
            for (inode, fd) in host::sockets(pid) {
                held.entry(inode).or_default().push(Descriptor { owner: pid, fd });
            }
        }
        let Some(namespace) = read_through(&workers, &held)? else { continue };
        let classifier = Classifier::new(&namespace, |inode| held.contains_key(&inode));
        let workers: HashSet<u32> = workers.into_iter().collect();
        let mut add = |inode: u32, role: SocketRole, kind: &SocketKind| {
            for descriptor in held.get(&inode).into_iter().flatten().filter(|d| workers.contains(&d.owner)) {
                let (worker, fd) = (descriptor.owner, descriptor.fd);
                found.push(OpenSocket { worker, netns, fd, role, kind: kind.clone() });
            }
        };
        for socket in &namespace.tcp {
            add(socket.inode, classifier.tcp(socket), &SocketKind::Tcp(socket.clone()));
        }
        for socket in &namespace.udp {
            add(socket.inode, classifier.udp(socket), &SocketKind::Udp(socket.clone()));
        }
        for socket in namespace.unix.iter().filter(|socket| held.contains_key(&socket.inode)) {
            let (role, kind) = classifier.unix(socket);
            add(socket.inode, role, &kind);
        }
    }
    Ok(found)
}

/// TCP ports on which these processes (and their masters) listen, in order.
#[must_use]
pub fn listening_ports(pids: &[u32]) -> Vec<u16> {
    let mut ports = HashSet::new();
    for (_, pids) in by_namespace(pids) {
        let held: HashSet<u32> =
            with_masters(&pids).into_iter().flat_map(host::sockets).map(|(inode, _)| inode).collect();
        // Through the first of them that is still there.
        let diag = pids.iter().find_map(|pid| netns::run_in(*pid, Diag::open).and_then(|diag| diag).ok());
        let found = diag.map(|mut diag| listeners(&mut diag, |socket| held.contains(&socket.inode)));
        if let Some(Ok(found)) = found {
            ports.extend(Namespace { tcp: found, ..Namespace::default() }.listening_ports());
        }
    }
    let mut ports: Vec<u16> = ports.into_iter().collect();
    ports.sort_unstable();
    ports
}

/// Reads a namespace through the first of its processes that is still there.
fn read_through(pids: &[u32], held: &HashMap<u32, Vec<Descriptor>>) -> io::Result<Option<Namespace>> {
    for pid in pids {
        match Namespace::read(*pid, held) {
            Err(_) if netns::inode_of(*pid).is_none() => {}
            result => return result.map(Some),
        }
    }
    Ok(None)
}

fn by_namespace(pids: &[u32]) -> HashMap<u32, Vec<u32>> {
    let mut namespaces: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in pids {
        if let Some(inode) = netns::inode_of(*pid) {
            namespaces.entry(inode).or_default().push(*pid);
        }
    }
    namespaces
}

/// The processes and their masters: a worker that drains has closed its listeners, its master has them.
fn with_masters(pids: &[u32]) -> HashSet<u32> {
    let masters = pids.iter().filter_map(|pid| Some(host::stat(*pid)?.parent)).collect::<HashSet<_>>();
    masters.into_iter().filter(|pid| role_of(*pid).is_some()).chain(pids.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_of_clients_are_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = TcpStream::connect(address).unwrap();
        let (_client, _) = listener.accept().unwrap();
        let own = std::process::id();
        let open = open_sockets(own).unwrap();
        let tcp: Vec<_> = open
            .iter()
            .filter_map(|open| match &open.kind {
                SocketKind::Tcp(socket) => Some((open.role, socket.local)),
                _ => None,
            })
            .collect();
        assert!(tcp.contains(&(SocketRole::Upstream, upstream.local_addr().unwrap())), "{tcp:?}");
        assert!(tcp.contains(&(SocketRole::Listener, address)), "{tcp:?}");
        assert!(tcp.iter().all(|(role, _)| *role != SocketRole::Client), "{tcp:?}");
        assert!(listening_ports(&[own]).contains(&address.port()));
    }
}
