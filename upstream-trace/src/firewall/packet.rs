//! The packet that was dropped, and answers to questions about it.

use std::net::{IpAddr, SocketAddr};

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth3 {
    No,
    Maybe,
    Yes,
}

impl Truth3 {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Maybe,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }

    /// Whether one of several holds.
    pub(super) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::No, Self::or)
    }
}

impl From<bool> for Truth3 {
    fn from(known: bool) -> Self {
        if known { Self::Yes } else { Self::No }
    }
}

/// A network device at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Device {
    /// There is none at that hook.
    None,
    /// Which one is not known.
    Unknown,
    Named(String),
}

impl Device {
    /// Its name is this one; `wildcard` at the end stands for the rest.
    pub(super) fn is(&self, name: &str, wildcard: char) -> Truth3 {
        match (self, name.strip_suffix(wildcard)) {
            (Self::None, _) => Truth3::No,
            (Self::Unknown, _) => Truth3::Maybe,
            (Self::Named(known), Some(begin)) => known.starts_with(begin).into(),
            (Self::Named(known), None) => (known == name).into(),
        }
    }
}

/// The packet.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
    /// TCP flags, 0 if not known.
    pub(super) flags: u8,
    pub(super) hook: String,
    /// Family of the table, if the stack told it.
    pub(super) family: Option<String>,
    pub(super) input: Device,
    pub(super) output: Device,
}

impl Packet {
    pub(super) fn v6(&self) -> bool {
        self.dst.ip().to_canonical().is_ipv6()
    }

    /// A SYN without ACK.
    pub(super) fn is_syn(&self) -> bool {
        self.flags & 0x17 == 0x02
    }
}

/// An address lies between two others of its family.
pub(super) fn between(ip: IpAddr, low: IpAddr, high: IpAddr) -> bool {
    ip.is_ipv4() == low.is_ipv4() && ip.is_ipv4() == high.is_ipv4() && low <= ip && ip <= high
}

/// An address lies in a prefix.
pub(super) fn within(ip: IpAddr, prefix: IpAddr, len: u32) -> bool {
    match (ip, prefix) {
        (IpAddr::V4(ip), IpAddr::V4(prefix)) => {
            let shift = 32u32.saturating_sub(len);
            (u64::from(u32::from(ip)) >> shift) == (u64::from(u32::from(prefix)) >> shift)
        }
        (IpAddr::V6(ip), IpAddr::V6(prefix)) => {
            let shift = 128u32.saturating_sub(len);
            u128::from(ip).checked_shr(shift) == u128::from(prefix).checked_shr(shift)
        }
        _ => false,
    }
}

/// Bit of a TCP flag.
pub(super) fn flag(name: &str) -> Option<u8> {
    let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
    let name = name.to_ascii_lowercase();
    names.iter().position(|known| *known == name).map(|bit| 1 << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_every_length() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(within(ip("10.1.2.3"), ip("10.0.0.0"), 8) && !within(ip("11.1.2.3"), ip("10.0.0.0"), 8));
        assert!(within(ip("11.1.2.3"), ip("0.0.0.0"), 0) && within(ip("::5"), ip("::"), 0));
        assert!(within(ip("fd99::2"), ip("fd99::2"), 128) && !within(ip("fd99::3"), ip("fd99::2"), 128));
        assert!(!within(ip("10.0.0.1"), ip("::"), 0));
    }

    #[test]
    fn three_valued_logic() {
        use Truth3::{Maybe, No, Yes};
        assert_eq!((Yes.and(Maybe), No.and(Maybe), Yes.or(Maybe), No.or(Maybe)), (Maybe, No, Yes, Maybe));
        assert_eq!(Truth3::any([]), No);
    }

    #[test]
    fn devices() {
        let eth = Device::Named("eth0".to_owned());
        assert_eq!(
            (eth.is("eth*", '*'), eth.is("eth1", '*'), eth.is("*", '*')),
            (Truth3::Yes, Truth3::No, Truth3::Yes)
        );
        assert_eq!((Device::None.is("lo", '*'), Device::Unknown.is("lo", '*')), (Truth3::No, Truth3::Maybe));
    }
}
