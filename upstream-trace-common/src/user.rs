//! Which structures the user side may read from and write to maps, and what addresses and paths are there.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{Addr, UNIX_PATH, UnixPath};

macro_rules! pod {
    ($($name:ident),*) => {$(
        // SAFETY: repr(C), integers and arrays of integers only: every bit pattern is a valid value.
        unsafe impl aya::Pod for crate::$name {}
    )*};
}

pod!(AdoptKey, AdoptState, Addr, DropPlace, FdKey, Offsets, Record, UnixPath, UpstreamCounters, Worker);
pod!(AttemptEvent, ConnectFailed, DnsMessage, EventHeader, LogWrite, OriginClosed, OriginExit, PacketEvent);
pod!(ProcessEvent, RetryEvent);

/// Numbers of address families, `AF_INET` and `AF_INET6`.
const INET: u16 = 2;
const INET6: u16 = 10;

/// An address that is neither of IPv4 nor of IPv6: that of a unix socket, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInternet;

impl From<SocketAddr> for Addr {
    fn from(address: SocketAddr) -> Self {
        let mut ip = [0; 16];
        let family = match address.ip() {
            IpAddr::V4(v4) => {
                ip[..4].copy_from_slice(&v4.octets());
                INET
            }
            IpAddr::V6(v6) => {
                ip = v6.octets();
                INET6
            }
        };
        Self { ip, port: address.port(), family }
    }
}

impl TryFrom<&Addr> for SocketAddr {
    type Error = NotInternet;

    fn try_from(addr: &Addr) -> Result<Self, NotInternet> {
        let ip = match addr.family {
            INET => {
                let [a, b, c, d, ..] = addr.ip;
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            INET6 => IpAddr::V6(Ipv6Addr::from(addr.ip)),
            _ => return Err(NotInternet),
        };
        Ok(Self::new(ip, addr.port))
    }
}

/// Abstract names begin with `@`; bytes that are no UTF-8 are replaced.
impl fmt::Display for UnixPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, text) = match self.as_bytes() {
            [0, name @ ..] => ("@", name),
            path => ("", path),
        };
        f.write_str(begin)?;
        for chunk in text.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl From<&[u8]> for UnixPath {
    /// What does not fit is cut off.
    fn from(text: &[u8]) -> Self {
        let mut bytes = [0; UNIX_PATH];
        let len = text.len().min(bytes.len());
        bytes[..len].copy_from_slice(&text[..len]);
        Self { bytes, len: len as u16, pad: 0 }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::{String, ToString};

    #[test]
    fn addresses_there_and_back() {
        for text in ["10.0.0.1:80", "[fd00::1]:443", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddr::try_from(&Addr::from(address)), Ok(address));
        }
        assert_eq!(SocketAddr::try_from(&Addr::of_path(7)), Err(NotInternet));
    }

    #[test]
    fn paths_as_text() {
        let shown = |bytes: &[u8]| UnixPath::from(bytes).to_string();
        assert_eq!(shown(b"/run/app.sock"), "/run/app.sock");
        assert_eq!(shown(b"\0name"), "@name");
        assert_eq!(shown(b"/a\xff\xfe/b"), String::from_utf8_lossy(b"/a\xff\xfe/b"));
        assert_eq!(shown(&[b'x'; 500]).len(), UNIX_PATH);
    }
}
