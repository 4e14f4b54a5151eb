//! What lies on the error queue of a socket: who put it there (`SO_EE_ORIGIN_*` of `linux/errqueue.h`), and the errnos of
//! ICMP errors (`icmp_err_convert` and `icmpv6_err_convert` of the kernel).

use crate::errno::{self, EACCES, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EPROTO};

/// What an origin says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorOrigin {
    /// An ICMP error came: its type, code and sender are told.
    Icmp,
    /// No failure.
    Harmless(&'static str),
}

/// All of them, by number.
const ORIGINS: &[ErrorOrigin] = &[
    ErrorOrigin::Harmless("nobody puts it there"),
    ErrorOrigin::Harmless("this host's own, of datagrams; TCP returns it from the call"),
    ErrorOrigin::Icmp,
    ErrorOrigin::Icmp,
    ErrorOrigin::Harmless("the time at which something was sent"),
    ErrorOrigin::Harmless("memory that was sent without a copy is free again"),
    ErrorOrigin::Harmless("a datagram with a time to be sent at missed it"),
];

/// What a number says; `None` if it is in no list.
#[must_use]
pub fn error_origin(number: u8) -> Option<ErrorOrigin> {
    ORIGINS.get(usize::from(number)).copied()
}

/// errnos of ICMP errors for a connecting socket, by code, of type 3 of IPv4. (Time exceeded is `EHOSTUNREACH`, a parameter
/// problem `EPROTO`.)
pub const UNREACHABLE4: [i32; 16] = [
    ENETUNREACH,
    EHOSTUNREACH,
    errno::ENOPROTOOPT,
    ECONNREFUSED,
    errno::EMSGSIZE,
    errno::EOPNOTSUPP,
    ENETUNREACH,
    errno::EHOSTDOWN,
    errno::ENONET,
    ENETUNREACH,
    EHOSTUNREACH,
    ENETUNREACH,
    EHOSTUNREACH,
    EHOSTUNREACH,
    EHOSTUNREACH,
    EHOSTUNREACH,
];

/// The same of IPv6, where the errno is all that is left of it; with the cause that it supports.
pub const UNREACHABLE6: &[(i32, &str)] = &[
    (ENETUNREACH, "icmp-unreachable"),
    (EACCES, "firewall-reject-remote"),
    (EHOSTUNREACH, "icmp-unreachable"),
    (ECONNREFUSED, "firewall-reject-remote"),
    (EPROTO, "unknown"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::event::{Attempt, Ended, Step, Upstream};
    use crate::testkit::{icmp, moment, unanswered_syn, verdict};

    #[test]
    fn every_origin_is_an_icmp_error_or_harmless() {
        let is_icmp = |number| error_origin(number) == Some(ErrorOrigin::Icmp);
        assert_eq!((0..=u8::MAX).filter(|number| is_icmp(*number)).collect::<Vec<_>>(), [2, 3]);
        assert!((0..=6).all(|number| error_origin(number).is_some()) && error_origin(7).is_none());
        for origin in ORIGINS {
            assert!(!matches!(origin, ErrorOrigin::Harmless(because) if because.is_empty()));
        }
    }

    #[test]
    fn every_code_of_ipv4_has_its_cause_whatever_errno_it_gives() {
        for (code, errno) in (0..).zip(UNREACHABLE4) {
            let (found, ..) = verdict(&Case::of_attempt(&icmp(3, code, "10.0.0.254", false, errno)));
            // 3/4 changes the size of packets, and ends nothing.
            let known = ["firewall-reject-remote", "icmp-unreachable"].contains(&found);
            assert!(known || code == 4, "3/{code} ({errno}): {found}");
        }
    }

    fn ipv6(errno: i32) -> Attempt {
        let mut attempt = unanswered_syn();
        attempt.upstream = Some(Upstream::Tcp("[fd00::2]:8080".parse().expect("an address")));
        (attempt.ended, attempt.socket.error) = (Ended::Broken, errno);
        attempt.trail.push(moment(500, Step::Error { errno }));
        attempt
    }

    #[test]
    fn every_errno_of_ipv6_has_its_cause_or_none() {
        for (errno, cause) in UNREACHABLE6 {
            assert_eq!(verdict(&Case::of_attempt(&ipv6(*errno))).0, *cause, "{errno}");
        }
    }
}
