//! What is broken in the demo, and how.

/// Where nginx is in the demo.
pub(super) const NGINX_ADDRESS: &str = "10.99.0.1";
/// Where most of its upstreams are.
pub(super) const UPSTREAM_ADDRESS: &str = "10.99.0.2";
/// Where nginx listens.
pub(super) const LISTEN: &str = "127.0.0.1:8080";
/// Seconds that nginx waits for a connection, and for an answer.
pub(super) const TIMEOUT: u64 = 3;

pub(super) const HEALTHY_PORT: u16 = 8081;
pub(super) const FIREWALL_PORT: u16 = 8082;
const CLOSED_PORT: u16 = 8083;
pub(super) const SLOW_PORT: u16 = 8084;
pub(super) const QUEUE_PORT: u16 = 8085;

/// One upstream.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) path: &'static str,
    pub(super) address: &'static str,
    pub(super) port: u16,
    pub(super) is_healthy: bool,
    /// What is wrong with it, for people.
    pub(super) what: &'static str,
}

const fn broken(path: &'static str, port: u16, what: &'static str) -> Upstream {
    Upstream { path, address: UPSTREAM_ADDRESS, port, is_healthy: false, what }
}

/// All, in the order in which they are told.
pub(super) const UPSTREAMS: [Upstream; 5] = [
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
