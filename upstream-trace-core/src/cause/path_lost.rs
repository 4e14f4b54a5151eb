//! What nginx sent on an established connection was never acknowledged.

use super::{Cause, Finding, NginxTimer, Signal, rule};
use crate::case::{Case, Direction};
use crate::errno::{self, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT};
use crate::event::{MS, PacketDrop};
use crate::tables::{self, DropReason};

pub(super) const CAUSE: Cause = Cause {
    id: "path-lost",
    reason: Some(4),
    title: "connected, but what nginx sent was never acknowledged",
    means: "The connection was established, then nginx's packets were retransmitted again and again without \
            acknowledgement: the path or the host died, a firewall or NAT forgot the connection, or large \
            packets vanish because the path MTU is smaller than assumed.",
    told_apart: "The application cannot be the reason: its kernel would acknowledge without it. In \
                 `slow-response` the request is acknowledged; in `accept-queue-full` the origin retransmits its \
                 SYN-ACK; in `not-reading` the window is zero. A firewall that drops established connections \
                 looks the same (`firewall-drop-remote`).",
    fix: "`ping -M do -s 1472 ADDRESS` (MTU), `mtr -T -P PORT ADDRESS` (loss), `ss -ti dst ADDRESS` (retrans, \
          unacked). For connections that die while idle: TCP keepalive (`proxy_socket_keepalive on;`).",
    rivals: &["slow-response", "accept-queue-full", "not-reading", "firewall-drop-remote"],
    needs: &[Signal::Requests, Signal::Retransmits, Signal::Drops],
    by_nginx_timer: NginxTimer::WholeSeconds,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if let Some(finding) = too_large(case) {
        return Some(finding);
    }
    if let Some(finding) = probes_unanswered(case) {
        return Some(finding);
    }
    if let Some(finding) = unreachable_at_last(case) {
        return Some(finding);
    }
    let (attempt, socket) = (&case.attempt, &case.attempt.socket);
    let tries = case.retransmits_left();
    let in_flight = socket.unacked > socket.unsent;
    let stuck = case.tcp() && case.awaiting() && in_flight && tries > 0 && socket.probes == 0;
    if !stuck || !case.silent() || case.syn_ack_retransmitted() || case.dropped_for("NETFILTER_DROP") {
        return None;
    }
    // One retransmission happens on healthy paths; nginx's patience, or the kernel's, must have ended, or be strained.
    if !case.overdue() {
        return None;
    }
    let target = case.target();
    let mut summary = format!(
        "{target} did not acknowledge {} bytes that were retransmitted {tries} times",
        socket.unacked - socket.unsent
    );
    if case.errno() == Some(ETIMEDOUT) {
        summary += " until the kernel gave up";
    }
    let large = u64::from(socket.unacked) > 1_200 && socket.acked > 0;
    summary += if large { "; smaller packets got through, so it may be the path MTU." } else { "." };
    let fresh = !attempt.reused && socket.acked == 0;
    let rivals: &[_] =
        if fresh { &["accept-queue-full", "firewall-drop-remote"] } else { &["firewall-drop-remote"] };
    let host = case.host();
    Some(Finding::likely(summary).or(rivals).fix(if large {
        format!("`ping -M do -s 1472 {host}`: if only smaller sizes pass, lower the MTU or clamp the MSS.")
    } else {
        format!(
            "`mtr -T -P {} {host}` for packet loss; check whether a firewall or NAT on the way forgets connections.",
            case.port()
        )
    }))
}

/// The kernel gave up retransmitting, and gives what a router last said of it, by ICMP, in place of a timeout.
fn unreachable_at_last(case: &Case<'_>) -> Option<Finding> {
    let attempt = &case.attempt;
    let errno = case.errno().filter(|errno| matches!(*errno, EHOSTUNREACH | ENETUNREACH))?;
    let under_way = attempt.outstanding || attempt.bytes_received > 0;
    let tells = case.tcp() && !case.connecting() && case.connect.is_none() && !case.in_tls_handshake();
    (tells && under_way && case.ended_by_origin().is_none() && !case.line_only).then(|| {
        let (target, host) = (case.target(), case.host());
        Finding::likely(format!(
            "The way to {target} was lost while the connection was used: the kernel gave up with {}, which a router on the \
             way, or this host's own routing, said of it.",
            errno::text(errno)
        ))
        .or(&["icmp-unreachable"])
        .fix(format!("`ip route get {host}`, `mtr -T -P {} {host}`: who says that it cannot be reached?", case.port()))
    })
}

/// All was acknowledged, and then the connection's keepalive probes were not: only they end such a connection with a timeout.
fn probes_unanswered(case: &Case<'_>) -> Option<Finding> {
    let attempt = &case.attempt;
    let waits = attempt.outstanding || attempt.bytes_received > 0;
    let dead = case.tcp() && case.errno() == Some(ETIMEDOUT) && attempt.socket.unacked == 0;
    if !dead
        || !waits
        || case.connect.is_some()
        || case.connecting()
        || case.in_tls_handshake()
        || case.dead_in_pool()
        || !case.silent()
        || case.line_only
    {
        return None;
    }
    let summary = format!(
        "{} acknowledged all that nginx sent, and then no longer answered the keepalive probes: the kernel ended the connection.",
        case.target()
    );
    Some(Finding::likely(summary).or(&["firewall-drop-remote"]).fix(format!(
        "Is {0} still up, and has a firewall or NAT on the way forgotten the connection? `ping {0}`, `mtr -T -P {1} {0}`. \
         `sysctl net.ipv4.tcp_keepalive_time net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes` are the times.",
        case.host(),
        case.port()
    )))
}

/// This kernel could not send a packet on, in whatever network namespace: the next link is too narrow, and the sender did
/// not learn of it.
fn too_large(case: &Case<'_>) -> Option<Finding> {
    if !case.awaiting() || !case.silent() || !case.overdue() {
        return None;
    }
    let too_large = |packet: &&PacketDrop| {
        tables::drop_reason(&packet.reason) == Some(DropReason::Size) && packet.at + 5 * MS >= case.since()
    };
    let mut found = case.all_drops().filter(too_large);
    let packet = found.next()?;
    let what = match case.direction(packet) {
        Direction::Out => format!("packets to {}", case.target()),
        Direction::In => format!("the answer of {}", case.target()),
    };
    let place = rule::whose(case, packet);
    let summary = format!(
        "This kernel{place} dropped {what} because of its size: the MTU of the next link is smaller (PKT_TOO_BIG)."
    );
    let finding = if found.next().is_some() { Finding::proven(summary) } else { Finding::likely(summary) };
    Some(finding.fix(
        "Let ICMP \"fragmentation needed\" (type 3 code 4, ICMPv6 type 2) through to the sender, clamp the MSS \
        (`nft ... \
         tcp option maxseg size set rt mtu`), or make the MTUs of the path equal (`ip link show`).",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Ended, Step};
    use crate::testkit::{expect, moment, netfilter_drop, reused_request, unanswered_request, verdict};
    use crate::verdict::Confidence;

    #[test]
    fn unacknowledged_and_sent_again() {
        let mut attempt = reused_request();
        attempt.seen += 2_000_000_000;
        (attempt.socket.unacked, attempt.retransmits) = (200, 4);
        let found = verdict(&Case::of_attempt(&attempt));
        assert_eq!(found, ("path-lost", Confidence::Likely, vec!["firewall-drop-remote"]));
    }

    #[test]
    fn an_answer_that_is_too_large_for_a_link_is_not_slow() {
        let attempt = unanswered_request();
        let packet =
            PacketDrop { reason: "PKT_TOO_BIG".to_owned(), netfilter: None, ..netfilter_drop("input", "x") };
        let later = PacketDrop { at: packet.at + 600 * MS, ..packet.clone() };
        let mut case = Case::of_attempt(&attempt);
        case.drops_elsewhere = vec![&packet, &later];
        expect(&case, "path-lost", Confidence::Proven);
    }

    #[test]
    fn probes_that_nobody_answers_end_a_connection_that_waits() {
        let mut attempt = unanswered_request();
        (attempt.ended, attempt.recv_error) = (Ended::Broken, true);
        attempt.trail.push(moment(2_000, Step::RecvError { errno: ETIMEDOUT }));
        let found = verdict(&Case::of_attempt(&attempt));
        assert_eq!(found, ("path-lost", Confidence::Likely, vec!["firewall-drop-remote"]));
    }

    #[test]
    fn acknowledged_in_the_end_is_the_applications_time() {
        let mut attempt = unanswered_request();
        attempt.retransmits = 2;
        expect(&Case::of_attempt(&attempt), "slow-response", Confidence::Likely);
    }
}
