//! A policy of this host forbids nginx to connect.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errno::{self, EACCES, EPERM};

pub(super) const CAUSE: Cause = Cause {
    id: "connect-denied",
    reason: Some(3),
    title: "a policy of this host forbids nginx to connect",
    means: "This host refused connect() itself, before any packet: SELinux or AppArmor, a cgroup program \
            (systemd's IPAddressDeny=, Cilium), seccomp, or for a unix socket the permissions of the file or of \
            a directory above it.",
    told_apart: "EACCES or EPERM from connect() never comes from iptables or nftables: their drops and rejects \
                 show as a dropped packet (`firewall-reject-local`). A `prohibit` route gives EACCES too: that \
                 is `no-route`.",
    fix: "SELinux: `ausearch -m avc -ts recent`, then `setsebool -P httpd_can_network_connect 1`. systemd: \
          `systemctl show nginx -p IPAddressDeny`. Unix socket: `namei -l PATH`; nginx's user needs write \
          permission on the socket and search permission on every directory above it.",
    rivals: &["no-route", "firewall-reject-local", "socket-refused"],
    needs: &[Signal::ConnectErrors],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if let Some(errno @ (EACCES | EPERM)) = case.unix_connect_errno() {
        let path = case.path();
        let summary = format!("nginx may not connect to {path}: {}.", errno::text(errno));
        return Some(Finding::proven(summary).fix(format!(
            "`namei -l {}` shows which permission nginx's user lacks: write on the socket, search on every directory \
             above it. If those are right: `ausearch -m avc -ts recent`.",
            case.path_word()
        )));
    }
    let errno = case.tcp_connect_errno().filter(|errno| matches!(*errno, EACCES | EPERM))?;
    if case.route_refused().is_some() {
        return None;
    }
    let target = case.target();
    let summary =
        format!("This host forbids nginx to connect to {target}: connect() gave {}.", errno::text(errno));
    Some(if errno == EPERM {
        Finding::proven(summary).fix("`systemctl show nginx -p IPAddressDeny`; `bpftool cgroup tree`.")
    } else if case.route_found() {
        Finding::proven(summary)
            .fix("`ausearch -m avc -ts recent`; for SELinux then `setsebool -P httpd_can_network_connect 1`.")
    } else {
        let fix = format!(
            "`ip route get {}` shows whether it is a prohibit route; for SELinux see `ausearch -m avc -ts recent`.",
            case.host()
        );
        Finding::possible(summary).or(&["no-route"]).fix(fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Fact, Route};
    use crate::testkit::{connect_error, enrichment, expect, unix_error, verdict};
    use crate::verdict::Confidence;

    #[test]
    fn unix_permissions_prove_it() {
        expect(&Case::of_connect_error(&unix_error(EACCES)), "connect-denied", Confidence::Proven);
    }

    #[test]
    fn eperm_has_no_other_meaning() {
        expect(&Case::of_connect_error(&connect_error(EPERM)), "connect-denied", Confidence::Proven);
    }

    #[test]
    fn eacces_without_a_look_at_the_routes_may_be_a_prohibit_route() {
        let error = connect_error(EACCES);
        let found = verdict(&Case::of_connect_error(&error));
        assert_eq!(found, ("connect-denied", Confidence::Possible, vec!["no-route"]));
        let prohibit = enrichment(vec![Fact::Route(Route::Refused { errno: EACCES })]);
        let mut case = Case::of_connect_error(&error);
        case.enrichment = Some(&prohibit);
        expect(&case, "no-route", Confidence::Proven);
    }
}
