//! A firewall elsewhere rejected the connection.

use super::{Cause, Finding, Signal};
use crate::case::{Case, IcmpSeen};
use crate::errno::{self, EACCES, ECONNREFUSED};
use crate::icmp;

pub(super) const CAUSE: Cause = Cause {
    id: "firewall-reject-remote",
    reason: Some(3),
    title: "a firewall on the way or at the origin rejected the connection",
    means: "An ICMP error came back that only access rules send: administratively prohibited (codes 9, 10, 13), \
            or \"port unreachable\", which TCP itself never sends. firewalld's default reject reads \"No route \
            to host\" in error.log and has nothing to do with routes; iptables' reads \"Connection refused\".",
    told_apart: "ICMP came instead of a RST, with the sender's address, and no firewall of this kernel dropped what \
                 it answers (`firewall-reject-local`). A closed port answers with RST \
                 (`port-refused`); a firewall that rejects with RST cannot be told apart from it. Codes 0 and 1 \
                 from a router mean a broken path (`icmp-unreachable`). For IPv6 the kernel keeps no ICMP \
                 detail, so the errno decides.",
    fix: "On the host that sent the ICMP error, allow nginx's address: `firewall-cmd --add-port=PORT/tcp \
          --permanent && firewall-cmd --reload`, or change the REJECT rule (`nft list ruleset`, `iptables -S`).",
    rivals: &["port-refused", "icmp-unreachable", "firewall-reject-local"],
    needs: &[Signal::Icmp, Signal::Resets, Signal::ResetsSent],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if !case.connecting() {
        return None;
    }
    let finding = match case.icmp() {
        None if case.reset_at().is_some() => return None,
        Some(icmp) => of_icmp(case, icmp)?,
        None => of_errno(case)?,
    };
    let at = case
        .icmp()
        .and_then(|icmp| icmp.from)
        .map_or_else(|| "the origin".to_owned(), |from| from.to_string());
    Some(finding.fix(format!(
        "On {at}: `nft list ruleset` or `firewall-cmd --list-all`; allow TCP port {} from {}.",
        case.port(),
        case.attempt.local.map_or_else(|| "this host".to_owned(), |local| local.ip().to_string()),
    )))
}

fn of_icmp(case: &Case<'_>, icmp: IcmpSeen) -> Option<Finding> {
    if icmp.local || icmp.kind != 3 {
        return None;
    }
    let target = case.target();
    let from_origin = icmp.from.is_some() && icmp.from == case.ip();
    let from = icmp.from.map_or_else(|| "Someone on the way".to_owned(), |from| from.to_string());
    let what = icmp::text(icmp.kind, icmp.code);
    let summary = format!("{from} rejected the connection to {target} with {what}");
    match icmp.code {
        9 | 10 | 13 => Some(Finding::proven(format!("{summary}: a firewall."))),
        3 => Some(Finding::proven(format!("{summary}: for TCP only a firewall sends that."))),
        0 | 1 if from_origin => Some(Finding::likely(format!(
            "{summary}, but a host cannot be unreachable for itself: a firewall there."
        ))),
        _ => None,
    }
}

fn of_errno(case: &Case<'_>) -> Option<Finding> {
    let errno = case.errno().filter(|_| case.ipv6() && !case.lacks(Signal::Resets))?;
    if !matches!(errno, EACCES | ECONNREFUSED) {
        return None;
    }
    let target = case.target();
    let summary = format!(
        "The connection to {target} was rejected by an ICMPv6 error ({}) and no RST came: a firewall.",
        errno::text(errno)
    );
    Some(Finding::likely(summary))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Upstream;
    use crate::testkit::{expect, icmp, refused, unanswered_syn, verdict};
    use crate::verdict::Confidence;

    #[test]
    fn prohibited_and_port_unreachable_prove_it() {
        for code in [3, 9, 10, 13] {
            let attempt = icmp(3, code, "10.0.0.2", false, 113);
            expect(&Case::of_attempt(&attempt), "firewall-reject-remote", Confidence::Proven);
        }
    }

    #[test]
    fn host_unreachable_depends_on_the_sender() {
        let attempt = icmp(3, 1, "10.0.0.2", false, 113);
        expect(&Case::of_attempt(&attempt), "firewall-reject-remote", Confidence::Likely);
        let attempt = icmp(3, 1, "10.0.0.254", false, 113);
        expect(&Case::of_attempt(&attempt), "icmp-unreachable", Confidence::Proven);
    }

    #[test]
    fn refused_by_ipv6_without_a_reset() {
        let mut attempt = unanswered_syn();
        attempt.upstream = Some(Upstream::Tcp("[fd00::2]:8080".parse().expect("an address")));
        attempt.socket.error = ECONNREFUSED;
        expect(&Case::of_attempt(&attempt), "firewall-reject-remote", Confidence::Likely);
    }

    #[test]
    fn a_reset_is_only_an_alternative() {
        let (id, _, alternatives) = verdict(&Case::of_attempt(&refused()));
        assert_eq!((id, alternatives), ("port-refused", vec!["firewall-reject-remote"]));
    }
}
