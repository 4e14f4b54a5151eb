//! The wires of a world: nginx here, origins there, and a router between them if asked for.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Result;

use crate::netns::Namespace;
use crate::util::wait_until;

/// The namespaces of a world. Addresses: see [`Topology::create`].
#[derive(Debug)]
pub struct Topology {
    /// Where nginx and its clients are.
    pub ng: Namespace,
    /// Where remote origins are.
    pub up: Namespace,
    /// The router, if there is one.
    pub router: Option<Namespace>,
}

impl Topology {
    /// `ng` `10.99.0.1` and `fd99::1`, `up` `10.99.0.2` and `fd99::2` on one link.
    ///
    /// With a router, a second path: `ng` `10.98.0.1` and `fd98::1`, the router at .254 and `::fe`, `up` `10.97.0.2` and
    /// `fd97::2`. `10.96.0.0/24` and `fd96::/64` are routed to the router, which knows no such network.
    pub fn create(number: usize, with_router: bool) -> Result<Self> {
        let ng = Namespace::create(number, "ng")?;
        let up = Namespace::create(number, "up")?;
        let router = with_router.then(|| Namespace::create(number, "rt")).transpose()?;
        wire((&ng, "eth0", "99", "1"), (&up, "eth0", "99", "2"))?;
        if let Some(router) = &router {
            wire((&ng, "eth1", "98", "1"), (router, "eth0", "98", "254"))?;
            wire((&up, "eth1", "97", "2"), (router, "eth1", "97", "254"))?;
            for network in ["97", "96"] {
                ng.command(&format!("ip route add 10.{network}.0.0/24 via 10.98.0.254"))?;
                ng.command(&format!("ip route add fd{network}::/64 via fd98::254"))?;
            }
            up.command("ip route add 10.98.0.0/24 via 10.97.0.254")?;
            up.command("ip route add fd98::/64 via fd97::254")?;
            router.sysctl("ipv4/ip_forward", "1")?;
            router.sysctl("ipv6/conf/all/forwarding", "1")?;
        }
        for namespace in [Some(&ng), Some(&up), router.as_ref()].into_iter().flatten() {
            namespace.sysctl("ipv4/icmp_ratelimit", "0")?;
            namespace.sysctl("ipv6/icmp/ratelimit", "0")?;
        }
        Ok(Self { ng, up, router })
    }
}

impl Topology {
    /// Waits until an address can be reached. IPv6 routes of a new link may take a second to appear at both ends.
    pub fn wait_reachable(&self, ip: Ipv6Addr) -> Result<()> {
        let nobody = SocketAddr::from((ip, 1));
        wait_until("IPv6 to work", Duration::from_secs(10), || {
            let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
            let connect =
                || Ok(TcpStream::connect_timeout(&nobody, Duration::from_millis(100)).is_err_and(refused));
            self.ng.run(connect).unwrap_or(false)
        })
    }
}

/// An end of a wire: namespace, interface, network, host.
type End<'a> = (&'a Namespace, &'a str, &'a str, &'a str);

fn wire(left: End<'_>, right: End<'_>) -> Result<()> {
    left.0.command(&format!(
        "ip link add {} type veth peer name {} netns {}",
        left.1,
        right.1,
        right.0.name()
    ))?;
    for (namespace, interface, network, host) in [left, right] {
        namespace.script(&format!(
            "ip addr add 10.{network}.0.{host}/24 dev {interface}
             ip addr add fd{network}::{host}/64 dev {interface} nodad
             ip link set {interface} up"
        ))?;
    }
    Ok(())
}
