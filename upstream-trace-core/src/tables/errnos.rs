//! What `connect()` can return at once, and which causes explain it: one list for TCP, one for unix sockets. Others the
//! socket calls do not give; they are told by their name, as `unknown`.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::testkit::{connect_error, unix_error, verdict};

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

    #[test]
    fn what_is_in_no_list_is_told_by_its_name() {
        let error = connect_error(105);
        let (_, finding) = crate::cause::judge(&Case::of_connect_error(&error));
        assert!(finding.summary.contains("ENOBUFS"), "{}", finding.summary);
    }
}
