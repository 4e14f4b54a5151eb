//! The origin reset an established connection.

use super::{Cause, Finding, Signal, backend_crashed, listener_closed, slow_client};
use crate::case::Case;
use crate::errno;
use crate::errorlog::{Doing, Kind};
use crate::event::MS;

pub(super) const CAUSE: Cause = Cause {
    id: "reset-by-backend",
    reason: Some(6),
    title: "the origin reset the connection after it was established",
    means: "A RST came while nginx waited for the response or read it: the application closed with unread data, \
            was killed before it read the request, closed with SO_LINGER 0, or does not speak this protocol, or \
            somebody ended its socket (`ss -K`). A \
            load balancer or firewall on the way can send it in the origin's name (`firewall-reject-remote`). A \
            RST does not mean a crash, and a FIN does not mean a clean exit.",
    told_apart: "The handshake had completed; otherwise it is `port-refused`. On a pooled connection that takes \
                 nothing of the request it is `stale-keepalive`; with a response that nginx could not read \
                 `request-rejected-early`; right after the handshake perhaps `accept-queue-full`; with the \
                 listener gone `listener-closed`; with nginx not reading because of its client `slow-client`.",
    fix: "The application's log and `journalctl -u SERVICE` at that time. If the origin sent no RST (`tcpdump \
          -ni any 'tcp port PORT and tcp[13] & 4 != 0'` there), something on the way did.",
    rivals: &[
        "port-refused",
        "stale-keepalive",
        "request-rejected-early",
        "accept-queue-full",
        "listener-closed",
        "slow-client",
        "firewall-reject-remote",
        "backend-crashed",
    ],
    needs: &[Signal::Requests, Signal::Resets, Signal::ResetsSent, Signal::UnixConnections, Signal::UnixEnds],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let explained = backend_crashed::crash(case).is_some() || listener_closed::closed(case);
    if explained || slow_client::stopped_reading(case).is_some() {
        return None;
    }
    if let Some(summary) = by_words(case) {
        let rival = if case.unix() { "backend-crashed" } else { "firewall-reject-remote" };
        return Some(Finding::likely(summary).or(&[rival]));
    }
    let attempt = &case.attempt;
    let reset = case.reset_at()?;
    if case.connecting() || case.in_tls_handshake() || case.connect.is_some() {
        return None;
    }
    let target = case.target();
    let in_answer =
        attempt.bytes_received > 0 && (attempt.recv_error || attempt.client_cut || attempt.outstanding);
    let unused = attempt.request.is_none() && attempt.requests == 0;
    let summary = if in_answer {
        format!(
            "{target} reset the connection in the middle of its response, after {} bytes.",
            attempt.bytes_received
        )
    } else if attempt.outstanding {
        let after = reset.saturating_sub(attempt.request.unwrap_or(attempt.begun)) / MS;
        format!("{target} reset the connection {after} ms after the request, without answering.")
    } else if unused {
        format!("{target} accepted the connection and reset it before any request.")
    } else {
        return None;
    };
    let summary = format!("{}{}", summary.trim_end_matches('.'), why(case));
    let taken = !(attempt.unacked_at_end || case.reset_at_once());
    let by_owner =
        case.resets.iter().any(|reset| !matches!(reset.reason.as_str(), "NO_SOCKET" | "INVALID_SYN" | ""))
            || case.closed_by.is_some();
    Some(if case.unix() || by_owner || (taken && !case.resets.is_empty()) {
        Finding::proven(summary)
    } else if case.reset_at_once() && unused && case.resets.iter().any(|reset| reset.reason == "NO_SOCKET") {
        // A SYN proxy or a load balancer may have answered for it.
        Finding::possible(summary).or(&["port-refused", "firewall-reject-remote"])
    } else if case.reset_at_once() {
        Finding::possible(summary).or(&["accept-queue-full", "firewall-reject-remote"])
    } else {
        Finding::likely(summary).or(&["firewall-reject-remote"])
    })
}

/// The kernel function that ends the socket of another process.
const ABORT: &str = "tcp_abort";

/// Why this machine's kernel sent the reset, if it did: the end of a sentence.
fn why(case: &Case<'_>) -> String {
    // The kernel closes no socket for a process that was not seen to do so.
    let by_process = case.closed_by.is_some();
    let why = case.resets.iter().find_map(|reset| {
        Some(match reset.reason.as_str() {
            _ if reset.function.as_deref() == Some(ABORT) => {
                "somebody ended the connection from outside of the process (`ss -K`)"
            }
            "TCP_STATE" if by_process => "it aborted the connection (SO_LINGER 0)",
            "TCP_ABORT_ON_CLOSE" => "it closed the connection with unread data",
            "TCP_ABORT_ON_DATA" => "data arrived after it had closed the connection",
            "TCP_ABORT_ON_LINGER" => "it closed the connection without lingering (TCP_LINGER2)",
            "TCP_DISCONNECT_WITH_DATA" => "it aborted the connection (SO_LINGER 0)",
            // Also from outside the process.
            "TCP_STATE" => "it aborted the connection (SO_LINGER 0) or somebody ended it (`ss -K`)",
            "TCP_ABORT_ON_MEMORY" => "its kernel had no memory for closed connections",
            "TCP_TIMEOUT" => "its kernel gave up sending",
            "TCP_KEEPALIVE_TIMEOUT" => "its keepalive probes got no answer",
            "NO_SOCKET" => "its socket was already gone",
            _ => return None,
        })
    });
    let outside = case.resets.iter().any(|reset| reset.function.as_deref() == Some(ABORT));
    let who = if outside { String::new() } else { case.served_by() };
    match why {
        Some(why) => format!(": {why}{who}."),
        None if who.is_empty() => ".".to_owned(),
        None => format!("{who}."),
    }
}

/// The kernel does not know TLS; and of what looked healthy nginx may know better.
fn by_words(case: &Case<'_>) -> Option<String> {
    let target = case.target();
    if case.tls_cut() == Some(true) {
        return Some(format!("{target} reset the connection during the TLS handshake."));
    }
    let reset = case.log_kind_alone()? == Kind::Receive && case.errno() == Some(errno::ECONNRESET);
    let at = if case.log_doing() == Some(Doing::Header) { "before" } else { "in the middle of" };
    reset.then(|| format!("{target} reset the connection {at} its response."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{origin_closed, reset_sent};

    #[test]
    fn who_ended_the_connection_is_told_apart() {
        let attempt = with_reset(unanswered_request(), 500);
        let (by_somebody, unsaid) = (reset_sent("TCP_STATE", Some(ABORT)), reset_sent("TCP_STATE", None));
        let mut closed = origin_closed(499);
        (closed.exiting, closed.signal) = (false, None);
        let mut case = Case::of_attempt(&attempt);
        let summary = |case: &Case<'_>| judge(case).expect("found").summary;
        case.resets = vec![&by_somebody];
        let said = summary(&case);
        assert!(said.contains("from outside of the process (`ss -K`)") && !said.contains("LINGER"), "{said}");
        case.resets = vec![&unsaid];
        let said = summary(&case);
        assert!(said.contains("SO_LINGER 0") && said.contains("ss -K"), "{said}");
        case.closed_by = Some(&closed);
        let said = summary(&case);
        assert!(
            said.contains("SO_LINGER 0") && !said.contains("ss -K") && said.contains("app[4711]"),
            "{said}"
        );
        // A process that closes is proof enough where the kernel gives no reason.
        case.resets.clear();
        expect(&case, "reset-by-backend", Confidence::Proven);
    }

    use crate::event::{Fact, Listener, PacketTuple, ResetSent};
    use crate::testkit::{
        BEGUN, enrichment, expect, line, local, refused, remote, unanswered_request, with_reset,
    };
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn likely_from_elsewhere_proven_on_this_machine() {
        let attempt = with_reset(unanswered_request(), 500);
        let mut case = Case::of_attempt(&attempt);
        expect(&case, "reset-by-backend", Confidence::Likely);
        let sent = ResetSent {
            numbers: None,
            at: BEGUN + 500 * MS,
            tuple: PacketTuple { src: local(), dst: remote() },
            reason: "TCP_ABORT_ON_CLOSE".to_owned(),
            function: None,
            netns: 9,
            stranger: false,
        };
        case.resets.push(&sent);
        expect(&case, "reset-by-backend", Confidence::Proven);
        let listener = Listener { process: Some("app[7]".to_owned()), ..Listener::default() };
        let found = enrichment(vec![Fact::Listener(listener)]);
        case.enrichment = Some(&found);
        let summary = judge(&case).expect("found").summary;
        assert!(
            summary.ends_with("without answering: it closed the connection with unread data (app[7])."),
            "{summary}"
        );
    }

    #[test]
    fn in_the_middle_of_an_answer_there_is_no_status_left() {
        let mut attempt = with_reset(unanswered_request(), 500);
        (attempt.outstanding, attempt.bytes_received, attempt.recv_error) = (false, 900, true);
        attempt.answer = Some(BEGUN + 100 * MS);
        let case = Case::of_attempt(&attempt);
        assert_eq!((case.benign_end(), case.status()), (None, None));
        expect(&case, "reset-by-backend", Confidence::Likely);
    }

    #[test]
    fn nginx_knows_of_tls() {
        let line = line("peer closed connection in SSL handshake (104: x) while SSL handshaking to upstream");
        let attempt = with_reset(unanswered_request(), 500);
        let mut case = Case::of_attempt(&attempt);
        case.log = Some(&line);
        expect(&case, "reset-by-backend", Confidence::Likely);
        assert_eq!((case.phase(), case.status()), (Phase::Tls, Some(502)));
        assert!(judge(&case).is_some_and(|found| found.summary.contains("TLS")));
    }

    #[test]
    fn before_the_handshake_it_is_a_refusal() {
        assert_eq!(judge(&Case::of_attempt(&refused())), None);
    }
}
