//! What a fuzzer gives as replies of the kernel.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_sock_diag::SockDiagMessage;

use super::diag::{self, TcpSocket, UnixSocket};
use super::{Error, read_datagram, route};

/// What a reply of `sock_diag` says: its sockets.
pub fn sockets(datagram: &[u8], dump: bool) -> Result<(Vec<TcpSocket>, Vec<UnixSocket>), Error> {
    let (mut tcp, mut unix) = (Vec::new(), Vec::new());
    read_datagram(datagram, SEQUENCE, dump, &mut |reply| match reply {
        SockDiagMessage::InetResponse(response) => tcp.push(diag::tcp_socket(&response)),
        SockDiagMessage::UnixResponse(response) => unix.push(diag::unix_socket(&response)),
        _ => {}
    })?;
    Ok((tcp, unix))
}

/// Reads a reply of `rtnetlink`; how many messages were understood.
pub fn routes(datagram: &[u8]) -> Result<usize, Error> {
    let mut understood = 0;
    read_datagram(datagram, SEQUENCE, true, &mut |reply| {
        if let RouteNetlinkMessage::NewRoute(reply) = &reply {
            let _ = route::gateway(reply);
        }
        understood += 1;
    })?;
    Ok(understood)
}

/// Of the request that is answered.
pub const SEQUENCE: u32 = 1;
