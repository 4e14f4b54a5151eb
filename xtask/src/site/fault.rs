//! What is broken, and how.

/// Where nginx is.
pub(crate) const NGINX_ADDRESS: &str = "10.99.0.1";
/// Where most of its upstreams are.
pub(crate) const UPSTREAM_ADDRESS: &str = "10.99.0.2";
/// Where nginx listens.
pub(crate) const LISTEN: &str = "127.0.0.1:8080";
/// Seconds that nginx waits for a connection, and for an answer.
pub(crate) const TIMEOUT: u64 = 3;

pub(crate) const HEALTHY_PORT: u16 = 8081;
pub(crate) const FIREWALL_PORT: u16 = 8082;
const CLOSED_PORT: u16 = 8083;
pub(crate) const SLOW_PORT: u16 = 8084;
pub(crate) const QUEUE_PORT: u16 = 8085;

/// The path of an upstream that nginx looks up by name, where there is a name server.
pub(crate) const NAMED: &str = "/named";

/// One upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) path: &'static str,
    pub(crate) address: &'static str,
    pub(crate) port: u16,
    pub(crate) is_healthy: bool,
    /// What is wrong with it, for people.
    pub(crate) what: &'static str,
}

const fn broken(path: &'static str, port: u16, what: &'static str) -> Upstream {
    Upstream { path, address: UPSTREAM_ADDRESS, port, is_healthy: false, what }
}

/// All, in the order in which they are told.
pub(crate) const UPSTREAMS: [Upstream; 5] = [
    Upstream { is_healthy: true, ..broken("/healthy", HEALTHY_PORT, "answers at once, to compare with") },
    broken("/firewall", FIREWALL_PORT, "an nft rule on nginx's own side drops what goes to this port"),
    broken("/closed", CLOSED_PORT, "nothing listens on this port"),
    broken("/slow", SLOW_PORT, "takes the request and does not answer it within nginx's timeout"),
    Upstream {
        // Beside nginx: the queue of another machine cannot be looked at from here.
        address: NGINX_ADDRESS,
        ..broken("/queue", QUEUE_PORT, "a service beside nginx that never accepts; its accept queue is full")
    },
];
