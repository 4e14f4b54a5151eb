//! What is broken in the demo, and how.

/// Where nginx is in the demo.
pub(super) const NGINX_ADDRESS: &str = "10.99.0.1";
/// Where its upstreams are.
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
    pub(super) port: u16,
    pub(super) is_healthy: bool,
    /// What is wrong with it, for people.
    pub(super) what: &'static str,
}

/// All, in the order in which they are told.
pub(super) const UPSTREAMS: [Upstream; 5] = [
    Upstream {
        path: "/healthy",
        port: HEALTHY_PORT,
        is_healthy: true,
        what: "answers at once, to compare with",
    },
    Upstream {
        path: "/firewall",
        port: FIREWALL_PORT,
        is_healthy: false,
        what: "an nft rule on nginx's own side drops what goes to this port",
    },
    Upstream { path: "/closed", port: CLOSED_PORT, is_healthy: false, what: "nothing listens on this port" },
    Upstream {
        path: "/slow",
        port: SLOW_PORT,
        is_healthy: false,
        what: "takes the request and does not answer it within nginx's timeout",
    },
    Upstream {
        path: "/queue",
        port: QUEUE_PORT,
        is_healthy: false,
        what: "listens and never accepts, and its accept queue is full",
    },
];
