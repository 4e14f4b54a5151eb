//! What may be told of a long run: the faults of its upstreams are known, so any other cause is wrong.

use serde_json::Value;

use crate::site::{FIREWALL_PORT, HEALTHY_PORT, NGINX_ADDRESS, QUEUE_PORT, SLOW_PORT, UPSTREAM_ADDRESS};

use super::healthy::names;

/// An origin that is stopped and started again, whatever else is wrong with it.
const RESTARTED: [&str; 3] = ["port-refused", "listener-closed", "backend-crashed"];
/// A name server that goes away and comes back.
const LOOKUP: [&str; 2] = ["dns-failure", "dns-timeout"];

/// Whether this failure may have been told: its cause is one of those that its upstream has, or said to be unknown.
pub(super) fn is_possible(failure: &Value) -> bool {
    let Some(cause) = failure["cause"].as_str() else { return false };
    let named = failure["upstream"].as_str().and_then(|upstream| upstream.rsplit_once(':'));
    let Some((address, port)) = named.and_then(|(address, port)| Some((address, port.parse().ok()?))) else {
        return cause == "unknown" || LOOKUP.contains(&cause);
    };
    let own = match (address, port) {
        (UPSTREAM_ADDRESS, HEALTHY_PORT) => None,
        (UPSTREAM_ADDRESS, SLOW_PORT) => Some("slow-response"),
        (NGINX_ADDRESS, QUEUE_PORT) => Some("accept-queue-full"),
        (UPSTREAM_ADDRESS, FIREWALL_PORT) => return ["unknown", "firewall-drop-local"].contains(&cause),
        (_, names::PORT) => return cause == "unknown" || LOOKUP.contains(&cause),
        _ => return ["unknown", "port-refused"].contains(&cause),
    };
    cause == "unknown" || own == Some(cause) || RESTARTED.contains(&cause)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_upstream_has_its_causes() {
        for (upstream, cause, expected) in [
            ("10.99.0.2:8081", "port-refused", true),
            ("10.99.0.2:8081", "accept-queue-full", false),
            ("10.99.0.1:8085", "accept-queue-full", true),
            ("10.99.0.2:8084", "slow-response", true),
            ("10.99.0.2:8082", "firewall-drop-local", true),
            ("10.99.0.2:8082", "port-refused", false),
            ("10.99.0.2:8083", "port-refused", true),
            ("10.99.0.2:8083", "firewall-drop-remote", false),
            ("127.0.0.1:5300", "dns-timeout", true),
            ("10.99.0.2:8083", "unknown", true),
        ] {
            let failure = json!({"cause": cause, "upstream": upstream});
            assert_eq!(is_possible(&failure), expected, "{upstream} {cause}");
        }
        assert!(is_possible(&json!({"cause": "dns-timeout", "upstream": null})));
        assert!(!is_possible(&json!({"cause": "port-refused", "upstream": null})));
    }
}
