//! SYNs leave this host and nothing comes back.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::event::SECOND;
use crate::verdict::Confidence;

pub(super) const CAUSE: Cause = Cause {
    id: "firewall-drop-remote",
    reason: Some(3),
    title: "SYNs leave this host and nothing comes back",
    means: "The upstream never answered. Usually a firewall, security group or network policy between nginx and \
            the service drops the packets silently. A host that is off behind a router looks the same.",
    told_apart: "Nothing was dropped on this host (`firewall-drop-local`, `conntrack-full`), the neighbour \
                 answers (`neighbour-unreachable`), no ICMP error came (`icmp-unreachable`), and no other \
                 connection to that port succeeds (`accept-queue-full`). It is never proven from this side: \
                 only a capture at the other end can do that. If nginx waited less than a second, the SYN-ACK \
                 may only be late (`connect-slow`).",
    fix: "On the origin: `tcpdump -ni any tcp port PORT`. No SYN arrives: something on the way drops it \
          (security group, network policy). SYNs arrive without an answer: check the origin's firewall and \
          `nstat -az TcpExtListenOverflows`.",
    rivals: &[
        "firewall-drop-local",
        "conntrack-full",
        "neighbour-unreachable",
        "icmp-unreachable",
        "accept-queue-full",
        "connect-slow",
    ],
    needs: &[Signal::Drops, Signal::Retransmits],
    judge,
    ..Cause::BLANK
};

/// By then a router whose neighbour is dead has reported it.
const REPORTED: u64 = 3 * SECOND + SECOND / 2;

fn judge(case: &Case<'_>) -> Option<Finding> {
    let unexplained = case.connecting()
        && !case.answered_or_refused()
        && !case.dropped_for("NETFILTER_DROP")
        && !case.dropped_in_other_netns()
        && !case.answer_dropped()
        && !case.dropped_for("NEIGH_FAILED")
        && case.attempt.retransmits_failed == 0;
    if !unexplained || case.queue_overflows() {
        return None;
    }
    // Without a retransmission nobody knows that an answer was due; see `firewall-drop-local` for those that stay stuck.
    let tries = case.retransmits_left();
    if tries == 0 && (case.pending() || case.duration() >= 3 * SECOND / 2) {
        return None;
    }
    let (target, host, port) = (case.target(), case.host(), case.port());
    let mut summary =
        format!("{target} answered none of {} SYNs, though they left this host", tries.saturating_add(1));
    if let Some(other) = case.siblings.other_ports.first() {
        summary = format!("{summary}, while port {} of the same host did answer", other.port);
    }
    summary.push('.');
    let (confidence, alternatives) = weigh(case);
    let mut finding = Finding::possible(summary).or(alternatives);
    finding.confidence = confidence;
    if tries == 0 && confidence == Confidence::Possible {
        // nginx waited less than the second after which a SYN is repeated: the answer may only have been late.
        finding = finding.or(&["connect-slow"]);
    }
    Some(finding.fix(format!(
        "On {host}: `tcpdump -ni any tcp port {port}`. No SYN arrives: a firewall on the way. SYNs without an answer: its \
         own firewall, or a full accept queue (`nstat -az TcpExtListenOverflows`)."
    )))
}

fn weigh(case: &Case<'_>) -> (Confidence, &'static [&'static str]) {
    if case.lacks(Signal::Drops) {
        return (Confidence::Possible, &["firewall-drop-local", "accept-queue-full", "conntrack-full"]);
    }
    // Where others may have been established without having been counted, silence tells less.
    if case.siblings.established.is_some() || case.siblings.uncounted || case.listener().is_some() {
        return (Confidence::Possible, &["accept-queue-full"]);
    }
    let waited = case.retransmits_left() >= 2;
    if waited && (case.host_alive() || case.duration() >= REPORTED) {
        return (Confidence::Likely, &["accept-queue-full"]);
    }
    if case.host_alive() {
        return (Confidence::Possible, &["accept-queue-full"]);
    }
    (Confidence::Possible, &["accept-queue-full", "neighbour-unreachable", "icmp-unreachable"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{OtherPort, Siblings};
    use crate::event::{Attempt, Ended, Hook};
    use crate::testkit::{BEGUN, expect, netfilter_drop, unanswered_syn, verdict};

    #[test]
    fn silence_without_siblings_is_likely_and_never_proven() {
        expect(&Case::of_attempt(&unanswered_syn()), "firewall-drop-remote", Confidence::Likely);
    }

    #[test]
    fn where_siblings_are_not_counted_it_is_only_possible() {
        let attempt = unanswered_syn();
        let mut case = Case::of_attempt(&attempt);
        case.siblings.uncounted = true;
        expect(&case, "firewall-drop-remote", Confidence::Possible);
    }

    #[test]
    fn one_retransmission_is_only_possible() {
        let mut attempt = unanswered_syn();
        (attempt.ended, attempt.seen, attempt.retransmits) = (Ended::Open, BEGUN + SECOND, 1);
        let (id, confidence, alternatives) = verdict(&Case::of_attempt(&attempt));
        assert_eq!((id, confidence), ("firewall-drop-remote", Confidence::Possible));
        assert!(alternatives.contains(&"accept-queue-full"));
    }

    #[test]
    fn a_timeout_shorter_than_a_second_may_only_have_been_too_short() {
        let mut attempt = unanswered_syn();
        (attempt.seen, attempt.retransmits) = (BEGUN + SECOND / 4, 0);
        let (id, confidence, alternatives) = verdict(&Case::of_attempt(&attempt));
        assert_eq!((id, confidence), ("firewall-drop-remote", Confidence::Possible));
        assert!(alternatives.contains(&"connect-slow"));
    }

    #[test]
    fn any_number_of_retransmissions_can_be_told() {
        let attempt = Attempt { seen: BEGUN + 3 * SECOND, retransmits: u32::MAX, ..unanswered_syn() };
        assert_eq!(verdict(&Case::of_attempt(&attempt)).0, "firewall-drop-remote");
    }

    #[test]
    fn another_port_that_answers_is_named() {
        let mut attempt = unanswered_syn();
        attempt.seen = BEGUN + 3 * SECOND;
        let mut case = Case::of_attempt(&attempt);
        case.siblings.other_ports.push(OtherPort { port: 22, established: true, at: BEGUN });
        expect(&case, "firewall-drop-remote", Confidence::Likely);
        assert!(judge(&case).expect("found").summary.contains("port 22"));
    }

    #[test]
    fn siblings_that_connect_meanwhile_speak_for_the_queue() {
        let attempt = unanswered_syn();
        let mut case = Case::of_attempt(&attempt);
        case.siblings = Siblings { established: Some(BEGUN + SECOND), ..Siblings::default() };
        expect(&case, "accept-queue-full", Confidence::Possible);
    }

    #[test]
    fn without_the_hook_for_drops_it_is_only_possible() {
        let attempt = unanswered_syn();
        let hooks = [Hook {
            name: "kfree_skb".to_owned(),
            kind: "tp_btf".to_owned(),
            attached: false,
            why: None,
            costs: None,
        }];
        let mut case = Case::of_attempt(&attempt);
        case.hooks = &hooks;
        let (id, confidence, alternatives) = verdict(&case);
        assert_eq!((id, confidence), ("firewall-drop-remote", Confidence::Possible));
        assert!(alternatives.contains(&"firewall-drop-local"));
    }

    #[test]
    fn a_drop_of_this_kernel_is_not_remote_in_whatever_namespace() {
        let attempt = unanswered_syn();
        let packet = netfilter_drop("input", "nft");
        let mut case = Case::of_attempt(&attempt);
        case.drops.push(&packet);
        assert_eq!(judge(&case), None);
        let mut case = Case::of_attempt(&attempt);
        case.drops_elsewhere.push(&packet);
        assert_eq!(judge(&case), None);
    }
}
