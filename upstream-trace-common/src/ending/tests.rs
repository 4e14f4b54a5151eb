use super::Disposition::{Aborted, Defer, Healthy, Report, ReportEnd};
use super::*;
use crate::flags::{
    BORN_BY_STATE, BY_SOCKET, CLIENT_GONE, CLIENT_KNOWN, DECIDED, ERROR_FETCHED, ESTABLISHED, FIN_RECEIVED,
    ICMP, IDLE_PROBE, IN_DOUBT, OUTSTANDING, READ_EOF, RECV_ERROR, RESET_RECEIVED, SEND_BLOCKED, SEND_ERROR,
    SENT_AFTER_FIN, SILENT, TLS, TLS_HANDSHAKE, UNIX,
};

const MS: u64 = 1_000_000;

/// nginx closed after one request.
fn closed(flags: u32) -> EndFacts {
    EndFacts { flags, closed_by_nginx: true, requests: 1, ..EndFacts::default() }
}

/// The socket was destroyed after one request.
fn broken(flags: u32) -> EndFacts {
    EndFacts { closed_by_nginx: false, ..closed(flags) }
}

#[test]
fn each_end_has_its_disposition() {
    let open = ESTABLISHED;
    let new = |flags| EndFacts { requests: 0, ..closed(flags) };
    let idle = |flags, idle_ns| EndFacts { idle_ns, ..closed(flags) };
    let table = [
        ("the client left", closed(open | OUTSTANDING | CLIENT_GONE), Aborted),
        ("the client left during connect", new(CLIENT_GONE), Aborted),
        ("no handshake", new(0), Report),
        ("a TLS handshake without an end", new(open | TLS | TLS_HANDSHAKE), Report),
        ("answered, then closed", closed(open), Healthy),
        ("answered over TLS, then closed", closed(open | TLS), Healthy),
        ("no response", closed(open | OUTSTANDING), Report),
        ("no response, destroyed", broken(open | OUTSTANDING), Report),
        ("opened and never used", new(open), Healthy),
        ("closed by the origin before any request", new(open | FIN_RECEIVED | READ_EOF), Report),
        ("closed by the origin, unnoticed", new(open | FIN_RECEIVED), Healthy),
        ("closed by the origin after a response", closed(open | FIN_RECEIVED | READ_EOF), Healthy),
        ("closed by the origin instead of a response", closed(open | FIN_RECEIVED | OUTSTANDING), Report),
        ("sent after the FIN", closed(open | FIN_RECEIVED | SENT_AFTER_FIN), Report),
        ("paused, client known", idle(open | CLIENT_KNOWN, 101 * MS), Defer),
        ("paused too briefly", idle(open | CLIENT_KNOWN, 100 * MS), Healthy),
        ("paused, client unknown", idle(open, 101 * MS), Healthy),
        (
            "paused, not closed by nginx",
            EndFacts { idle_ns: MS << 10, ..broken(open | CLIENT_KNOWN) },
            Healthy,
        ),
        (
            "paused before the first request",
            EndFacts { idle_ns: MS << 10, ..new(open | CLIENT_KNOWN) },
            Healthy,
        ),
    ];
    for (name, facts, expected) in table {
        assert_eq!(facts.disposition(), expected, "{name}");
    }
}

#[test]
fn a_reset_matters_if_nginx_needed_the_connection() {
    let reset = ESTABLISHED | RESET_RECEIVED;
    for (name, facts, expected) in [
        ("idle in the pool", broken(reset), Healthy),
        ("found by a request", broken(reset | ERROR_FETCHED), Report),
        ("instead of a response", broken(reset | OUTSTANDING), Report),
        ("in the middle of a response", broken(reset | RECV_ERROR), Report),
        ("while sending", broken(reset | SEND_ERROR), Report),
        ("after the FIN", broken(reset | SENT_AFTER_FIN), Report),
        ("before any request", EndFacts { requests: 0, ..broken(reset) }, Report),
        ("an error without a RST, idle", EndFacts { error: 110, ..broken(ESTABLISHED) }, Healthy),
        ("an error without a RST", EndFacts { error: 110, ..broken(ESTABLISHED | OUTSTANDING) }, Report),
    ] {
        assert_eq!(facts.disposition(), expected, "{name}");
    }
}

#[test]
fn a_response_that_nginx_left_unread_is_healthy() {
    let unread = |flags| EndFacts { unread: 5, ..closed(ESTABLISHED | OUTSTANDING | flags) };
    assert_eq!(unread(0).disposition(), Healthy);
    for flag in [READ_EOF, SEND_ERROR, SEND_BLOCKED, RECV_ERROR, UNIX] {
        assert_eq!(unread(flag).disposition(), Report, "{flag:#x}");
    }
    assert_eq!(EndFacts { closed_by_nginx: false, ..unread(0) }.disposition(), Report);
    assert_eq!(EndFacts { unread: 0, ..unread(0) }.disposition(), Report);
}

#[test]
fn where_nobody_watched_sends_and_receives_the_socket_decides() {
    let open = ESTABLISHED | BY_SOCKET;
    let new = |flags| EndFacts { requests: 0, ..closed(flags) };
    for (name, facts, expected) in [
        ("answered", closed(open), Healthy),
        ("answered over a unix socket", closed(open | UNIX), Healthy),
        ("answered, then closed by the origin", closed(open | FIN_RECEIVED), Healthy),
        ("answered, then reset: a line may tell", broken(open | RESET_RECEIVED), ReportEnd),
        ("silent for long: a line may tell", closed(open | SILENT), ReportEnd),
        ("under way", closed(open | OUTSTANDING), Report),
        ("perhaps under way", closed(open | OUTSTANDING | IN_DOUBT), Report),
        ("reset instead of a response", broken(open | RESET_RECEIVED | OUTSTANDING), Report),
        ("closed instead of a response", closed(open | FIN_RECEIVED | OUTSTANDING), Report),
        ("sent after the FIN", closed(open | FIN_RECEIVED | SENT_AFTER_FIN | OUTSTANDING), Report),
        ("opened and never used", new(open), Healthy),
        ("closed by the origin before any request", new(open | FIN_RECEIVED), Report),
        ("reset before any request", EndFacts { requests: 0, ..broken(open | RESET_RECEIVED) }, Report),
        ("left unread", EndFacts { unread: 5, ..closed(open | OUTSTANDING) }, Healthy),
    ] {
        assert_eq!(facts.disposition(), expected, "{name}");
    }
}

#[test]
fn a_unix_connection_that_was_dead_is_reported_however_its_end_was_seen() {
    let refused = UNIX | ESTABLISHED | SEND_ERROR;
    for facts in [closed(refused), broken(refused)] {
        assert_eq!(facts.disposition(), Report);
        assert!(facts.found_dead());
    }
    // The origin answered before it had read all of the request.
    assert_eq!(closed(refused | SEND_BLOCKED).disposition(), Healthy);
    assert_eq!(closed(UNIX | ESTABLISHED).disposition(), Healthy);
    assert_eq!(broken(UNIX | ESTABLISHED | OUTSTANDING).disposition(), Report);
}

#[test]
fn found_dead_only_without_a_request_under_way() {
    let reset = ESTABLISHED | RESET_RECEIVED;
    for (facts, expected) in [
        (broken(reset), true),
        (broken(reset | OUTSTANDING), false),
        (broken(reset | RECV_ERROR), false),
        (EndFacts { requests: 0, ..broken(reset) }, false),
        (closed(ESTABLISHED | SEND_ERROR), false),
    ] {
        assert_eq!(facts.found_dead(), expected, "{facts:?}");
    }
}

#[test]
fn nginx_gave_up_if_nothing_ended_the_connection() {
    assert!(closed(ESTABLISHED | OUTSTANDING).gave_up());
    assert!(closed(ESTABLISHED | OUTSTANDING | FIN_RECEIVED).gave_up());
    assert!(!broken(ESTABLISHED | OUTSTANDING).gave_up());
    for flag in [RESET_RECEIVED, ICMP, READ_EOF, SEND_ERROR, RECV_ERROR] {
        assert!(!closed(ESTABLISHED | OUTSTANDING | flag).gave_up(), "{flag:#x}");
    }
    assert!(!EndFacts { error: 110, ..closed(ESTABLISHED) }.gave_up());
    assert!(!EndFacts { soft_error: 113, ..closed(0) }.gave_up());
}

#[test]
fn a_client_that_speaks_in_the_same_iteration_explains_the_close() {
    let begun = 1_000 * MS;
    for (spoke, now, expected) in [
        (begun + 500 * MS, begun + 501 * MS, true),
        (begun + 500 * MS, begun + 502 * MS, false),
        // That is what the attempt is for.
        (begun + MS, begun + 2 * MS, false),
        (begun - MS, begun, false),
    ] {
        assert_eq!(client_spoke(spoke, begun, now), expected, "{spoke} {now}");
    }
}

#[test]
fn an_end_that_no_hook_saw() {
    let record = |flags, sock_inode| Record { flags, sock_inode, ..Record::ZERO };
    for flag in [READ_EOF, SEND_ERROR, RECV_ERROR, IDLE_PROBE] {
        assert_eq!(record(UNIX | flag, 7).unseen_end(), End::Closed, "{flag:#x}");
        assert_eq!(record(UNIX | flag, 0).unseen_end(), End::Vanished, "{flag:#x}");
        assert_eq!(record(flag, 7).unseen_end(), End::Vanished, "{flag:#x}");
    }
    assert_eq!(record(UNIX | OUTSTANDING, 7).unseen_end(), End::Vanished);
}

#[test]
fn the_facts_of_a_record() {
    let mut record = Record { flags: FIN_RECEIVED, requests: 3, last_recv_ns: 10, ..Record::ZERO };
    record.end = End::Closed as u8;
    (record.tcp.rcv_nxt, record.tcp.copied_seq) = (4, u32::MAX);
    (record.tcp.err, record.tcp.err_soft) = (104, 113);
    let facts = EndFacts::of(&record, 25);
    assert!(facts.closed_by_nginx);
    assert_eq!((facts.requests, facts.unread, facts.idle_ns), (3, 4, 15));
    assert_eq!((facts.error, facts.soft_error), (104, 113));
    record.tcp.copied_seq = 4;
    assert_eq!(EndFacts::of(&record, 25).unread, 0);
}

#[test]
fn the_commonest_end_is_what_the_rule_says() {
    let mut answered = Record::ZERO;
    answered.flags = ESTABLISHED | FIN_RECEIVED | BY_SOCKET | DECIDED;
    (answered.requests, answered.end) = (1, End::Closed as u8);
    let born = Record { flags: answered.flags | BORN_BY_STATE, ..answered };
    for record in [answered, born] {
        assert!(record.was_answered_and_ended());
        assert_eq!(EndFacts::of(&record, 0).disposition(), Healthy);
    }
    let mut failed = answered;
    failed.tcp.err = 104;
    for record in [failed, Record { requests: 0, ..answered }] {
        assert!(!record.was_answered_and_ended());
        assert_ne!(EndFacts::of(&record, 0).disposition(), Healthy);
    }
    // Whatever else was noted is for the whole rule.
    for bit in (0..32).map(|bit| 1 << bit).filter(|bit| *bit != BORN_BY_STATE) {
        let record = Record { flags: born.flags ^ bit, ..born };
        assert!(!record.was_answered_and_ended(), "{:#x}", record.flags);
    }
}
