//! Sockets of a network namespace, from the kernel's `sock_diag`.

mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags as UnixStates, UnixRequest};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

pub use super::tcp_info::TcpInfo;
use super::{Channel, Error};
pub use socket::{RunningTimer, TcpSocket, UnixSocket};
pub(super) use socket::{tcp_socket, unix_socket};

/// Which TCP states a list shall have.
pub type States = StateFlags;

/// Any socket with that address: the kernel's "no cookie".
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// Address family of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6, which includes IPv4 connections on IPv6 sockets.
    V6,
}

impl Family {
    /// Of a socket that is bound to this address.
    #[must_use]
    pub fn of(local: SocketAddr) -> Self {
        if local.is_ipv6() { Self::V6 } else { Self::V4 }
    }
}

/// Asks one network namespace for its sockets.
#[derive(Debug)]
pub struct Diag(Channel);

impl Diag {
    /// For the network namespace of the calling thread; may be used from any thread afterwards.
    pub fn open() -> io::Result<Self> {
        Channel::open(NETLINK_SOCK_DIAG).map(Self)
    }

    /// TCP sockets of a family in the given states, as far as `keep` wants them.
    pub fn tcp_sockets(
        &mut self,
        family: Family,
        states: States,
        keep: impl Fn(&TcpSocket) -> bool,
    ) -> Result<Vec<TcpSocket>, Error> {
        let request = inet_request(family, IPPROTO_TCP, states);
        self.inet(request, keep)
    }

    /// UDP sockets of a family, as far as `keep` wants them.
    pub fn udp_sockets(
        &mut self,
        family: Family,
        keep: impl Fn(&TcpSocket) -> bool,
    ) -> Result<Vec<TcpSocket>, Error> {
        self.inet(inet_request(family, IPPROTO_UDP, StateFlags::from_bits_retain(u32::MAX)), keep)
    }

    /// TCP listeners of both families on a port.
    pub fn listeners(&mut self, port: u16) -> Result<Vec<TcpSocket>, Error> {
        let mut found = Vec::new();
        for family in [Family::V4, Family::V6] {
            let mut request = inet_request(family, IPPROTO_TCP, States::LISTEN);
            request.socket_id.source_port = port;
            found.extend(self.inet(request, |socket| socket.local.port() == port)?);
        }
        Ok(found)
    }

    /// The other ends of connections to this address that no process has accepted: their sockets have no inode. They are of
    /// the family of their listener, also where that takes the other one's connections.
    pub fn unaccepted(&mut self, local: SocketAddr, family: Family) -> Result<Vec<SocketAddr>, Error> {
        let mut request = inet_request(family, IPPROTO_TCP, States::ESTABLISHED | States::CLOSE_WAIT);
        request.socket_id.source_port = local.port();
        let waits = |socket: &TcpSocket| socket.inode == 0 && plain(socket.local) == local;
        Ok(self.inet(request, waits)?.into_iter().map(|socket| plain(socket.remote)).collect())
    }

    /// The TCP connection with exactly these ends, `None` if there is none.
    pub fn tcp_socket(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<Option<TcpSocket>, Error> {
        let found = self.look_up(local, remote, 0)?;
        Ok(found.filter(|socket| !socket.is_listener() && socket.remote.port() == remote.port()))
    }

    /// The listener that the kernel would give a SYN to this address that comes in by interface `ifindex`: with
    /// wildcards, and IPv6 sockets that take IPv4, decided by the kernel itself. Of a `reuseport` group, one.
    pub fn listener_for(&mut self, address: SocketAddr, ifindex: u32) -> Result<Option<TcpSocket>, Error> {
        let any = match address {
            SocketAddr::V4(_) => IpAddr::from([0u8; 4]),
            SocketAddr::V6(_) => IpAddr::from([0u8; 16]),
        };
        let found = self.look_up(address, SocketAddr::new(any, 0), ifindex)?;
        Ok(found.filter(TcpSocket::is_listener))
    }

    /// All unix sockets, or only the listening ones.
    pub fn unix_sockets(&mut self, listening_only: bool) -> Result<Vec<UnixSocket>, Error> {
        let states = if listening_only { UnixStates::LISTEN } else { UnixStates::from_bits_retain(u32::MAX) };
        let request = SockDiagMessage::UnixRequest(UnixRequest {
            state_flags: states,
            inode: 0,
            show_flags: ShowFlags::NAME
                | ShowFlags::VFS
                | ShowFlags::PEER
                | ShowFlags::RQLEN
                | ShowFlags::ICONS,
            cookie: NO_COOKIE,
        });
        self.0.dump(&request, |reply| match reply {
            SockDiagMessage::UnixResponse(response) => Some(unix_socket(&response)),
            _ => None,
        })
    }

    fn inet(
        &mut self,
        request: InetRequest,
        keep: impl Fn(&TcpSocket) -> bool,
    ) -> Result<Vec<TcpSocket>, Error> {
        self.0.dump(&SockDiagMessage::InetRequest(request), |reply| match reply {
            SockDiagMessage::InetResponse(response) => Some(tcp_socket(&response)).filter(&keep),
            _ => None,
        })
    }

    fn look_up(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        ifindex: u32,
    ) -> Result<Option<TcpSocket>, Error> {
        let family = if local.is_ipv4() { Family::V4 } else { Family::V6 };
        let mut request = inet_request(family, IPPROTO_TCP, States::all());
        request.socket_id = SocketId {
            source_port: local.port(),
            destination_port: remote.port(),
            source_address: local.ip(),
            destination_address: remote.ip(),
            interface_id: ifindex,
            cookie: NO_COOKIE,
        };
        match self.0.one(SockDiagMessage::InetRequest(request)) {
            Ok(SockDiagMessage::InetResponse(response)) => Ok(Some(tcp_socket(&response))),
            Ok(_) => Err(Error::Malformed),
            Err(Error::Refused(libc::ENOENT)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// As IPv4 has it, if it is an IPv4 connection of an IPv6 socket.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn inet_request(family: Family, protocol: u8, states: States) -> InetRequest {
    let (family, socket_id) = match family {
        Family::V4 => (AF_INET, SocketId::new_v4()),
        Family::V6 => (AF_INET6, SocketId::new_v6()),
    };
    InetRequest { family, protocol, extensions: ExtensionFlags::INFO, states, socket_id }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A TCP socket with these ends, and nothing else.
    pub(crate) fn tcp(local: &str, remote: &str, state: u8) -> TcpSocket {
        TcpSocket {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            state,
            inode: 1,
            uid: 0,
            rqueue: 0,
            wqueue: 0,
            retransmits: 0,
            timer: None,
            v6_only: None,
            info: None,
        }
    }

    /// A unix stream socket.
    pub(crate) fn unix(inode: u32, name: Option<&str>, peer: Option<u32>) -> UnixSocket {
        UnixSocket {
            inode,
            peer,
            name: name.map(str::to_owned),
            file: None,
            stream: true,
            listening: false,
            rqueue: 0,
            wqueue: 0,
            waiting: Vec::new(),
        }
    }

    #[test]
    fn this_process_sees_its_own_sockets() {
        use std::net::{TcpListener, TcpStream};
        let mut diag = Diag::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let local = client.local_addr().unwrap();

        let found = diag.listener_for(address, 1).unwrap().unwrap();
        assert_eq!((found.local, found.rqueue), (address, 1), "one connection waits");
        assert_eq!(diag.unaccepted(address, Family::V4).unwrap(), [local]);
        let _accepted = listener.accept().unwrap();
        assert_eq!(diag.unaccepted(address, Family::V4).unwrap(), []);
        let found = diag.listener_for(address, 1).unwrap().unwrap();
        assert_eq!(diag.listeners(address.port()).unwrap(), [found]);
        let connection = diag.tcp_socket(local, address).unwrap().unwrap();
        assert_eq!((connection.local, connection.remote), (local, address));
        assert!(connection.is_established() && connection.info.is_some());
        let listed =
            diag.tcp_sockets(Family::V4, States::ESTABLISHED, |socket| socket.local == local).unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].inode, connection.inode);
        drop(listener);
        assert_eq!(diag.listener_for(address, 1).unwrap(), None);
    }

    #[test]
    fn connections_of_the_other_family_wait_where_their_listener_is() {
        use std::net::{TcpListener, TcpStream};
        let mut diag = Diag::open().unwrap();
        // A kernel without IPv6 has none.
        let Ok(listener) = TcpListener::bind("[::]:0") else { return };
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        let client = TcpStream::connect(address).unwrap();
        let found = diag.listener_for(address, 1).unwrap().unwrap();
        assert!(matches!(Family::of(found.local), Family::V6));
        assert_eq!(diag.unaccepted(address, Family::V6).unwrap(), [client.local_addr().unwrap()]);
        assert_eq!(diag.unaccepted(address, Family::V4).unwrap(), []);
    }

    #[test]
    fn a_unix_listener_shows_its_queue() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
        let name = format!("diag-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let _client = UnixStream::connect_addr(&address).unwrap();
        let mut diag = Diag::open().unwrap();
        let sockets = diag.unix_sockets(true).unwrap();
        let wanted = format!("@{name}");
        let found = sockets.iter().find(|socket| socket.name.as_ref() == Some(&wanted)).unwrap();
        assert!(found.listening && found.stream);
        assert_eq!((found.rqueue, found.waiting.len()), (1, 1));
    }
}
