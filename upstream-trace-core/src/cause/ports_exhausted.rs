//! No ephemeral port is left towards an upstream.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errno::EADDRNOTAVAIL;

pub(super) const CAUSE: Cause = Cause {
    id: "ports-exhausted",
    reason: Some(0),
    title: "no local port is left towards that upstream",
    means: "Every connection to one upstream address and port needs its own local port, and all are in use, \
            usually by connections in TIME_WAIT. The problem is on the nginx host, not at the origin.",
    told_apart: "connect() returns EADDRNOTAVAIL after a local address was chosen. The same errno before that \
                 means there is no address to connect from (`address-unavailable`).",
    fix: "Reuse connections: `keepalive 64;` in upstream{}, `proxy_http_version 1.1;`, `proxy_set_header \
          Connection \"\";`. Then widen `sysctl net.ipv4.ip_local_port_range=\"1024 65535\"`, or give the \
          upstream more addresses.",
    rivals: &["address-unavailable"],
    needs: &[Signal::ConnectErrors],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let in_connect =
        case.connect.is_some_and(|error| error.errno == EADDRNOTAVAIL && error.had_syn_sent) && case.tcp();
    (in_connect || case.attempt.no_local_port).then(|| {
        let (target, host, port) = (case.target(), case.host(), case.port());
        Finding::proven(format!("This host has no free local port left for another connection to {target}.")).fix(format!(
            "`ss -tan dst {host} dport = :{port} | awk '{{print $1}}' | sort | uniq -c` counts them by state. Turn on \
             `keepalive` in upstream{{}} and widen `net.ipv4.ip_local_port_range`."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{connect_error, expect, refused};
    use crate::verdict::Confidence;

    #[test]
    fn an_address_was_chosen_before_the_error() {
        let mut error = connect_error(EADDRNOTAVAIL);
        error.had_syn_sent = true;
        expect(&Case::of_connect_error(&error), "ports-exhausted", Confidence::Proven);
    }

    #[test]
    fn the_socket_died_in_connect() {
        let mut attempt = refused();
        attempt.reset = None;
        attempt.trail.clear();
        attempt.no_local_port = true;
        let case = Case::of_attempt(&attempt);
        assert_eq!((case.errno(), case.status()), (Some(EADDRNOTAVAIL), Some(502)));
        expect(&case, "ports-exhausted", Confidence::Proven);
    }

    #[test]
    fn without_a_chosen_address_it_is_not_the_port() {
        expect(
            &Case::of_connect_error(&connect_error(EADDRNOTAVAIL)),
            "address-unavailable",
            Confidence::Proven,
        );
    }
}
