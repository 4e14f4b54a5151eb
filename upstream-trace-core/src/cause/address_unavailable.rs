//! There is no local address to connect from.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errno::EADDRNOTAVAIL;
use crate::errorlog::Kind;

pub(super) const CAUSE: Cause = Cause {
    id: "address-unavailable",
    reason: Some(0),
    title: "no local address to connect from",
    means: "This host has no address of the upstream's family that can reach it. Usually the upstream's name \
            also resolves to ::1 or another IPv6 address while IPv6 is off here, or `proxy_bind` names an \
            address that this host no longer has.",
    told_apart: "connect() returns EADDRNOTAVAIL before a local address was chosen. With an address chosen, the \
                 missing thing is a free port (`ports-exhausted`). A failed `proxy_bind` is in nginx's \
                 error.log.",
    fix: "Use a literal address of a family that this host has (127.0.0.1 instead of localhost), or `resolver \
          ... ipv6=off;`. Compare `proxy_bind` with `ip address`.",
    rivals: &["ports-exhausted", "no-route"],
    needs: &[Signal::ConnectErrors],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.log_kind() == Some(Kind::Bind) {
        return Some(
            Finding::proven(format!(
                "nginx could not bind the address set by `proxy_bind`: {}.",
                case.log_words()
            ))
            .fix("Compare `proxy_bind` with `ip address`; with `transparent` the worker needs CAP_NET_RAW."),
        );
    }
    case.connect.filter(|error| case.tcp() && error.errno == EADDRNOTAVAIL && !error.had_syn_sent)?;
    let finding =
        Finding::proven(format!("This host has no address from which it can reach {}.", case.target()));
    Some(finding.fix(if case.ipv6() {
        "Use the IPv4 address of the upstream (127.0.0.1 in place of localhost), or `resolver ... ipv6=off;`."
            .to_owned()
    } else {
        format!(
            "`ip route get {}` shows which source address is used; compare `proxy_bind` with `ip address`.",
            case.host()
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Upstream;
    use crate::testkit::{connect_error, expect, line};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn ipv6_without_an_ipv6_address_proves_it() {
        let mut error = connect_error(EADDRNOTAVAIL);
        error.upstream = Upstream::Tcp("[::1]:8080".parse().expect("an address"));
        let case = Case::of_connect_error(&error);
        expect(&case, "address-unavailable", Confidence::Proven);
        assert!(judge(&case).and_then(|finding| finding.fix).is_some_and(|fix| fix.contains("127.0.0.1")));
    }

    #[test]
    fn nginx_says_that_it_could_not_bind() {
        let line =
            line("bind(10.0.0.9) failed (99: Cannot assign requested address) while connecting to upstream");
        let case = Case::of_line(&line, crate::testkit::id(1));
        expect(&case, "address-unavailable", Confidence::Likely);
        assert_eq!((case.phase(), case.status(), case.errno()), (Phase::Connect, Some(500), Some(99)));
    }

    #[test]
    fn a_missing_port_is_another_cause() {
        let mut error = connect_error(EADDRNOTAVAIL);
        error.had_syn_sent = true;
        assert_eq!(judge(&Case::of_connect_error(&error)), None);
    }
}
