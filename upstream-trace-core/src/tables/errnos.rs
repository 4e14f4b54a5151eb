//! What the socket calls can return, and which causes explain it: lists for `connect()`, for what ends an attempt to connect
//! later, and for connections. Others are told by their name, as `unknown`.

use crate::errno;

/// errno, and the causes that it supports.
type Supports = (i32, &'static [&'static str]);

/// Of TCP: the routing table, a policy, addresses and ports, the kernel's own limits.
pub const CONNECT_TCP: &[Supports] = &[
    (errno::EPERM, &["connect-denied"]),
    (errno::EACCES, &["no-route", "connect-denied"]),
    (errno::EINVAL, &["no-route", "address-unavailable"]),
    (errno::EADDRNOTAVAIL, &["ports-exhausted", "address-unavailable"]),
    (errno::ENETDOWN, &["no-route"]),
    (errno::ENETUNREACH, &["no-route", "address-unavailable"]),
    (errno::EHOSTUNREACH, &["no-route"]),
    (errno::ECONNREFUSED, &["firewall-reject-local", "port-refused"]),
];

/// Of unix sockets: the path, its rights, and who listens.
pub const CONNECT_UNIX: &[Supports] = &[
    (errno::EPERM, &["connect-denied"]),
    (errno::ENOENT, &["socket-missing"]),
    (errno::EAGAIN, &["accept-queue-full"]),
    (errno::EACCES, &["connect-denied"]),
    (errno::EPROTOTYPE, &["misconfigured"]),
    (errno::ECONNREFUSED, &["socket-refused"]),
];

/// What ends a TCP connection that carried a request: what `send()` and `recv()` return, and `sk_err`. Others are told by
/// their name, as `unknown`: of `ECONNABORTED` that says who does so.
pub const CONNECTED_TCP: &[Supports] = &[
    (errno::ENETUNREACH, &["path-lost"]),
    (errno::ECONNRESET, &["reset-by-backend"]),
    (errno::ETIMEDOUT, &["path-lost"]),
    (errno::EHOSTUNREACH, &["path-lost"]),
];

/// What ends the attempt to connect later than at once: `sk_err`, as ICMP, a RST or the kernel's timer set it.
pub const CONNECTING_TCP: &[Supports] = &[
    (errno::ENETUNREACH, &["icmp-unreachable"]),
    (errno::ECONNRESET, &["port-refused"]),
    (errno::ETIMEDOUT, &["firewall-drop-remote"]),
    (errno::EHOSTUNREACH, &["icmp-unreachable"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::event::{Attempt, Ended, Step};
    use crate::testkit::{connect_error, moment, unanswered_request, unanswered_syn, unix_error, verdict};

    /// The highest errno of Linux.
    const LAST: i32 = 133;

    fn supported(list: &[Supports], errno: i32) -> &'static [&'static str] {
        list.iter().find(|(known, _)| *known == errno).map_or(&[], |(_, causes)| causes)
    }

    #[test]
    fn every_errno_of_connect_has_its_causes_or_none() {
        for errno in 1..=LAST {
            for (list, error) in [(CONNECT_TCP, connect_error(errno)), (CONNECT_UNIX, unix_error(errno))] {
                let (found, ..) = verdict(&Case::of_connect_error(&error));
                match supported(list, errno) {
                    [] => assert_eq!(found, "unknown", "{errno} {:?}", error.upstream),
                    causes => assert!(causes.contains(&found), "{errno} {:?}: {found}", error.upstream),
                }
            }
        }
    }

    /// A request under way, and what ended it.
    fn ended(step: Step) -> Attempt {
        let mut attempt = unanswered_request();
        attempt.ended = Ended::Broken;
        attempt.recv_error = matches!(step, Step::RecvError { .. });
        attempt.send_error = matches!(step, Step::SendError { .. });
        if let Step::Error { errno } = step {
            attempt.socket.error = errno;
        }
        attempt.trail.push(moment(500, step));
        attempt
    }

    #[test]
    fn every_errno_of_a_connection_has_its_causes_or_none() {
        for errno in 1..=LAST {
            let steps = [Step::RecvError { errno }, Step::SendError { errno }, Step::Error { errno }];
            for attempt in steps.map(ended) {
                let (found, finding) = crate::cause::judge(&Case::of_attempt(&attempt));
                match supported(CONNECTED_TCP, errno) {
                    [] => {
                        assert_eq!(found.id, "unknown", "{errno} {:?}", attempt.trail.last());
                        assert!(finding.summary.contains(&errno::text(errno)), "{}", finding.summary);
                    }
                    causes => {
                        assert!(
                            causes.contains(&found.id),
                            "{errno} {:?}: {}",
                            attempt.trail.last(),
                            found.id
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_errno_of_an_unanswered_syn_has_its_causes_or_none() {
        for errno in 1..=LAST {
            let mut attempt = unanswered_syn();
            (attempt.ended, attempt.socket.error) = (Ended::Broken, errno);
            attempt.trail.push(moment(500, Step::Error { errno }));
            let (found, ..) = verdict(&Case::of_attempt(&attempt));
            match supported(CONNECTING_TCP, errno) {
                [] => assert_eq!(found, "unknown", "{errno}"),
                causes => assert!(causes.contains(&found), "{errno}: {found}"),
            }
        }
    }

    #[test]
    fn what_is_in_no_list_is_told_by_its_name() {
        let error = connect_error(105);
        let (_, finding) = crate::cause::judge(&Case::of_connect_error(&error));
        assert!(finding.summary.contains("ENOBUFS"), "{}", finding.summary);
    }
}
