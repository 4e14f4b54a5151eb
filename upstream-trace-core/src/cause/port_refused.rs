//! Nothing listens on the upstream's port.

use super::{Cause, Finding, Signal, container, process};
use crate::case::Case;
use crate::errno::ECONNREFUSED;
use crate::event::PacketDrop;
use crate::text::sentence;

pub(super) const CAUSE: Cause = Cause {
    id: "port-refused",
    reason: Some(2),
    title: "nothing listens on the upstream's port",
    means: "The origin answered the SYN with RST: the host is up and reachable, but no process listens on that \
            address and port. The service is down or still starting, listens on another port or only on \
            127.0.0.1, or nginx has the wrong port. With `localhost`, nginx may try ::1 while the service listens \
            on 127.0.0.1 only.",
    told_apart: "A RST came; firewalls that reject mostly send ICMP (`firewall-reject-remote`). A firewall that \
                 rejects with RST cannot be told apart from a closed port on this side. If the origin runs on \
                 this machine, the kernel itself reports that there was no socket. A RST made by a rule of this \
                 host is `firewall-reject-local`; for a unix socket it is `socket-refused`.",
    fix: "On the origin: `ss -lntp sport = :PORT`. Start the service, or correct its bind address or nginx's \
          port.",
    rivals: &["firewall-reject-remote", "firewall-reject-local", "socket-refused"],
    needs: &[Signal::Resets, Signal::ResetsSent, Signal::Icmp, Signal::Drops],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.tcp_connect_errno() == Some(ECONNREFUSED) {
        let summary = format!("{} refused the connection at once.{}", case.target(), whereabouts(case));
        let found = Finding::likely(summary).or(&["firewall-reject-local", "firewall-reject-remote"]);
        return Some(match container::fix(case) {
            Some(fix) => found.fix(fix),
            None => found,
        });
    }
    if !case.connecting() || dropped_by_a_firewall(case) || case.icmp().is_some() {
        return None;
    }
    let (target, host, port) = (case.target(), case.host(), case.port());
    let fix = container::fix(case).unwrap_or_else(|| {
        format!(
            "On {host}: `ss -lntp sport = :{port}`. Start the service, or correct its bind address or nginx's port."
        )
    });
    let summary = format!(
        "{target} refused the connection: nothing listens on port {port} there.{}{}",
        process::before(case),
        whereabouts(case)
    );
    if case.reset_at().is_none() {
        let unseen = case.lacks(Signal::Resets) || case.errno_unseen().is_some();
        let untold = case.errno() == Some(ECONNREFUSED) && unseen;
        return untold.then(|| Finding::possible(summary).or(&["firewall-reject-remote"]).fix(fix));
    }
    Some(if case.nobody_listens() {
        Finding::proven(summary).fix(on_this_host(case))
    } else if case.reset_sent_for("NO_SOCKET") {
        // Where it was sent in another network namespace, `ss` of the host shows nothing.
        Finding::proven(summary).fix(if sent_elsewhere(case) { fix } else { on_this_host(case) })
    } else if case.listener().is_some() || container::listens(case) {
        Finding::possible(format!(
            "{target} refused the connection, though something listens on port {port} now."
        ))
        .or(&["firewall-reject-remote"])
        .fix(fix)
    } else {
        Finding::likely(summary).or(&["firewall-reject-remote"]).fix(fix)
    })
}

/// A firewall of this kernel dropped what was sent last.
fn dropped_by_a_firewall(case: &Case<'_>) -> bool {
    const BY_RULE: &str = "NETFILTER_DROP";
    let last = |packet: &PacketDrop| packet.reason == BY_RULE && !case.sent_again_after(packet.at);
    case.all_drops().any(last) || case.drops.is_empty() && case.dropped_for(BY_RULE)
}

/// The reset was sent in another network namespace of this machine than nginx's.
fn sent_elsewhere(case: &Case<'_>) -> bool {
    let own = case.attempt.netns;
    own != 0 && case.resets.iter().all(|reset| reset.netns != 0 && reset.netns != own)
}

/// Where else it listens: on another address of this host, or in the container whose address it is.
fn whereabouts(case: &Case<'_>) -> String {
    format!("{}{}", elsewhere(case), container::sentence(case))
}

/// A service that listens on another address of this host.
fn elsewhere(case: &Case<'_>) -> String {
    case.listens_elsewhere().map_or_else(String::new, |(address, process)| {
        let who = process.unwrap_or_else(|| "Something".to_owned());
        format!(" {} listens on {address} only.", sentence(&who))
    })
}

fn on_this_host(case: &Case<'_>) -> String {
    if let Some((address, _)) = case.listens_elsewhere() {
        return format!(
            "Let the service listen on {} as well, or nginx connect to {address}.",
            case.target()
        );
    }
    let empty = format!("`ss -lntp sport = :{}` on this machine is empty: start the service", case.port());
    match case.gone {
        Some(exit) => format!("{empty}; {} may show why it ended.", process::look(exit)),
        None => format!("{empty}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Ended, Fact, Listener, PacketTuple, ResetSent, SECOND};
    use crate::testkit::{
        BEGUN, enrichment, expect, icmp, line, local, origin_killed, refused, remote, unanswered_syn, verdict,
    };
    use crate::verdict::Confidence;

    #[test]
    fn a_reset_from_elsewhere_may_be_a_firewalls() {
        let (id, confidence, alternatives) = verdict(&Case::of_attempt(&refused()));
        assert_eq!((id, confidence), ("port-refused", Confidence::Likely));
        assert_eq!(alternatives, ["firewall-reject-remote"]);
    }

    #[test]
    fn a_refusal_that_only_nginx_saw_is_no_silence() {
        let mut attempt = unanswered_syn();
        attempt.ended = Ended::Broken;
        let refused = line("connect() failed (111: Connection refused) while connecting to upstream");
        let mut case = Case::of_attempt(&attempt);
        case.log = Some(&refused);
        case.siblings.established = Some(BEGUN - SECOND);
        expect(&case, "port-refused", Confidence::Possible);
        case.log = None;
        assert_ne!(verdict(&case).0, "port-refused");
    }

    #[test]
    fn the_origins_own_kernel_proves_it() {
        let attempt = refused();
        let mut sent = ResetSent {
            numbers: None,
            at: BEGUN,
            tuple: PacketTuple { src: local(), dst: remote() },
            reason: "NO_SOCKET".to_owned(),
            function: None,
            netns: 7,
            stranger: false,
        };
        let mut case = Case::of_attempt(&attempt);
        case.resets.push(&sent);
        expect(&case, "port-refused", Confidence::Proven);
        let fix = |case: &Case<'_>| judge(case).and_then(|found| found.fix).unwrap_or_default();
        assert!(fix(&case).starts_with("`ss -lntp sport = :8080` on this machine"), "{}", fix(&case));
        let away = ResetSent { netns: 10, ..sent.clone() };
        let mut case = Case::of_attempt(&attempt);
        case.resets.push(&away);
        assert!(fix(&case).starts_with("On 10.0.0.2: `ss"), "not where nginx is: {}", fix(&case));
        "TCP_ABORT_ON_CLOSE".clone_into(&mut sent.reason);
        let mut case = Case::of_attempt(&attempt);
        case.resets.push(&sent);
        expect(&case, "port-refused", Confidence::Likely);
    }

    #[test]
    fn a_look_at_the_listeners_proves_or_shakes_it() {
        let attempt = refused();
        let mut case = Case::of_attempt(&attempt);
        let none = enrichment(vec![Fact::NoListener]);
        case.enrichment = Some(&none);
        expect(&case, "port-refused", Confidence::Proven);
        let one = enrichment(vec![Fact::Listener(Listener { queue: 0, limit: 5, ..Listener::default() })]);
        case.enrichment = Some(&one);
        expect(&case, "port-refused", Confidence::Possible);
    }

    #[test]
    fn who_listened_a_moment_ago_and_who_listens_elsewhere() {
        let (attempt, exit) = (refused(), origin_killed(0));
        let none = enrichment(vec![Fact::NoListener]);
        let mut case = Case::of_attempt(&attempt);
        (case.enrichment, case.gone) = (Some(&none), Some(&exit));
        let found = judge(&case).expect("found");
        assert!(
            found.summary.contains("app[4711]") && found.summary.contains("SIGKILL"),
            "{}",
            found.summary
        );
        assert!(found.fix.is_some_and(|fix| fix.contains("journalctl -u app.service")));
        let address = "127.0.0.1:8080".parse().expect("an address");
        let process = Some("node[7]".to_owned());
        let other = enrichment(vec![Fact::NoListener, Fact::ListensElsewhere { address, process }]);
        (case.enrichment, case.gone) = (Some(&other), None);
        let found = judge(&case).expect("found");
        assert!(found.summary.ends_with("node[7] listens on 127.0.0.1:8080 only."), "{}", found.summary);
    }

    #[test]
    fn refused_by_icmp_is_a_firewall() {
        let attempt = icmp(3, 3, "10.0.0.2", false, ECONNREFUSED);
        assert_eq!(judge(&Case::of_attempt(&attempt)), None);
    }

    #[test]
    fn lost_events_take_the_proof_away() {
        let attempt = refused();
        let none = enrichment(vec![Fact::NoListener]);
        let mut case = Case::of_attempt(&attempt);
        case.enrichment = Some(&none);
        case.lossy = true;
        expect(&case, "port-refused", Confidence::Likely);
    }
}
