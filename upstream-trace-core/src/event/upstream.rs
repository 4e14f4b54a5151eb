//! Where attempts go to, and how they are carried.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// How a connection is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Transport {
    /// TCP over IPv4 or IPv6.
    Tcp,
    /// A unix stream socket.
    Unix,
    /// UDP: questions to name servers.
    Udp,
}

/// Where an attempt goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upstream {
    /// An internet address.
    Tcp(SocketAddr),
    /// A path; abstract names begin with `@`. Bytes that are no UTF-8 are replaced.
    Unix(#[serde(deserialize_with = "socket_path")] String),
}

/// Longest path of a socket: `sun_path` has 108 bytes (`unix(7)`), and what is no UTF-8 becomes three.
pub(crate) const LONGEST_PATH: usize = 3 * 108 + 1;

/// Of a recording that may be of anybody: such a path is kept in many places.
fn socket_path<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let path = String::deserialize(from)?;
    if path.len() > LONGEST_PATH {
        return Err(D::Error::custom(format!("a path of {} bytes is none of a socket", path.len())));
    }
    Ok(path)
}

impl Upstream {
    /// The journal's, to which systemd connects stdout and stderr of a unit before it starts the program.
    #[must_use]
    pub fn is_journal(&self) -> bool {
        let Self::Unix(path) = self else { return false };
        // One for each namespace of the journal: `LogNamespace=`.
        let rest = path.strip_prefix("/run/systemd/journal").and_then(|rest| rest.strip_suffix("/stdout"));
        rest.is_some_and(|name| name.is_empty() || name.starts_with('.'))
    }

    /// The address without the port, if it has one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }

    /// How it is carried.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Tcp,
            Self::Unix(_) => Transport::Unix,
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_socket_has_a_longer_path() {
        let read = |length: usize| {
            serde_json::from_value::<Upstream>(serde_json::json!({"unix": "/".repeat(length)}))
        };
        assert!(read(LONGEST_PATH).is_ok_and(|found| found == Upstream::Unix("/".repeat(LONGEST_PATH))));
        assert!(read(LONGEST_PATH + 1).is_err());
    }
}
