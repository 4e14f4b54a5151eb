//! What ICMP errors are called: RFC 792, RFC 1122, RFC 1812. The kernel keeps type and code for IPv4 only.

/// The name of a type and code, if it has one.
#[must_use]
pub fn name(kind: u8, code: u8) -> Option<&'static str> {
    Some(match (kind, code) {
        (3, 0) => "network unreachable",
        (3, 1) => "host unreachable",
        (3, 2) => "protocol unreachable",
        (3, 3) => "port unreachable",
        (3, 4) => "fragmentation needed",
        (3, 5) => "source route failed",
        (3, 6) => "network unknown",
        (3, 7) => "host unknown",
        (3, 8) => "source host isolated",
        (3, 9) => "network administratively prohibited",
        (3, 10) => "host administratively prohibited",
        (3, 11) => "network unreachable for this type of service",
        (3, 12) => "host unreachable for this type of service",
        (3, 13) => "administratively prohibited",
        (3, 14) => "precedence violation",
        (3, 15) => "precedence cutoff",
        (4, _) => "source quench",
        (5, _) => "redirect",
        (11, 0) => "time to live exceeded",
        (11, 1) => "reassembly time exceeded",
        (12, _) => "parameter problem",
        _ => return None,
    })
}

/// For sentences: `ICMP 3/13, administratively prohibited`.
#[must_use]
pub fn text(kind: u8, code: u8) -> String {
    let name = name(kind, code).map(|name| format!(", {name}")).unwrap_or_default();
    format!("ICMP {kind}/{code}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        assert_eq!(text(3, 13), "ICMP 3/13, administratively prohibited");
        assert_eq!(text(200, 1), "ICMP 200/1");
        assert!((0..=15).all(|code| name(3, code).is_some()) && name(3, 16).is_none());
    }

    /// The kernel tells a socket of TCP of destination unreachable, time exceeded and parameter problem only: RFC 1122,
    /// 3.2.2, and `icmp_err_convert` of the kernel. Quench is ignored, and a redirect is no error.
    #[test]
    fn each_that_reaches_a_connecting_socket_has_a_cause() {
        for (kind, codes) in [(3u8, 0..=15u8), (11, 0..=1), (12, 0..=2)] {
            for code in codes.filter(|code| (kind, *code) != (3, 4)) {
                let attempt = crate::testkit::icmp(kind, code, "10.0.0.254", false, 113);
                let (found, ..) = crate::testkit::verdict(&crate::case::Case::of_attempt(&attempt));
                let known = ["firewall-reject-remote", "icmp-unreachable"];
                assert!(known.contains(&found), "{kind}/{code}: {found}");
                assert!(name(kind, code).is_some(), "{kind}/{code}");
            }
        }
    }
}
