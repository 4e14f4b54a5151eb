//! Builders for the unit tests: attempts as the kernel side would report them.

use std::net::SocketAddr;

use crate::case::Case;
use crate::cause;
use crate::errorlog;
use crate::event::{
    Attempt, AttemptId, Config, ConnectError, Ended, Enrichment, Fact, Group, IcmpError, LogLine, Lookup,
    LookupState, MatchedRule, Moment, Nanos, Netfilter, OriginClosed, OriginExit, Outcome, PacketDrop,
    PacketTuple, Pass, Query, QueryResult, ResetSent, Rules, Server, Setting, Socket, Step, Target, Upstream,
    Workload,
};
use crate::event::{MS, SECOND};
use crate::verdict::Confidence;

/// When attempts of the tests begin.
pub(crate) const BEGUN: Nanos = 1_000 * SECOND;

/// The number of an attempt.
pub(crate) const fn id(number: u64) -> AttemptId {
    AttemptId::from_kernel(number)
}

pub(crate) const LOCAL: &str = "10.0.0.1:41234";
pub(crate) const REMOTE: &str = "10.0.0.2:8080";

pub(crate) fn remote() -> SocketAddr {
    REMOTE.parse().expect("an address")
}

pub(crate) fn local() -> SocketAddr {
    LOCAL.parse().expect("an address")
}

/// A SYN was sent, nothing came, nginx gave up after four seconds.
pub(crate) fn unanswered_syn() -> Attempt {
    let mut attempt = bare(Ended::ClosedByNginx, 4 * SECOND);
    attempt.retransmits = 3;
    attempt.trail = vec![
        moment(0, Step::SynSent),
        Moment { at: BEGUN + SECOND, step: Step::Retransmit { errno: 0 }, count: 3, span_ms: 2_000 },
        moment(4_000, Step::Closed),
    ];
    attempt
}

/// The same, and this host refused every SYN.
pub(crate) fn stuck_syn() -> Attempt {
    let mut attempt = unanswered_syn();
    attempt.retransmits_failed = attempt.retransmits;
    attempt.trail[1].step = Step::Retransmit { errno: 1 };
    attempt
}

/// The SYN was answered by RST.
pub(crate) fn refused() -> Attempt {
    let mut attempt = bare(Ended::Broken, MS / 2);
    attempt.reset = Some(BEGUN + MS / 2);
    attempt.socket.error = 111;
    attempt.error_fetched = true;
    attempt.trail = vec![moment(0, Step::SynSent), moment(0, Step::Reset { unacked: 0 })];
    attempt
}

/// Connected, request sent at 1 ms and acknowledged, no answer; nginx gave up after 2 s.
pub(crate) fn unanswered_request() -> Attempt {
    let mut attempt = bare(Ended::ClosedByNginx, 2 * SECOND);
    attempt.established = Some(BEGUN + MS);
    attempt.request = Some(BEGUN + MS);
    attempt.last_send = attempt.request;
    attempt.requests = 1;
    attempt.bytes_sent = 200;
    attempt.outstanding = true;
    attempt.socket = Socket { acked: 200, peer_window: 65_000, srtt_us: 1_000, ..Socket::default() };
    attempt.trail =
        vec![moment(0, Step::SynSent), moment(1, Step::Established), moment(1, Step::Request { bytes: 200 })];
    attempt
}

/// A second request on a pooled connection, sent at 10 s, no answer to it.
pub(crate) fn reused_request() -> Attempt {
    let mut attempt = unanswered_request();
    attempt.reused = true;
    attempt.requests = 2;
    attempt.request = Some(BEGUN + 10 * SECOND);
    attempt.last_send = attempt.request;
    attempt.last_recv = Some(BEGUN + 5 * MS);
    attempt.seen = BEGUN + 10 * SECOND + 2 * MS;
    attempt.socket.received = 500;
    attempt.trail = vec![moment(10_000, Step::Request { bytes: 200 })];
    attempt
}

/// The origin closed at this time, nothing outstanding being answered.
pub(crate) fn with_fin(mut attempt: Attempt, at_ms: u64) -> Attempt {
    attempt.fin = Some(BEGUN + at_ms * MS);
    attempt.seen = attempt.seen.max(BEGUN + at_ms * MS);
    attempt.trail.push(moment(at_ms, Step::Fin { unacked: 0 }));
    attempt
}

/// A RST came at this time.
pub(crate) fn with_reset(mut attempt: Attempt, at_ms: u64) -> Attempt {
    attempt.ended = Ended::Broken;
    attempt.reset = Some(BEGUN + at_ms * MS);
    attempt.seen = BEGUN + at_ms * MS;
    attempt.socket.error = 104;
    attempt.trail.push(moment(at_ms, Step::Reset { unacked: 0 }));
    attempt
}

/// An ICMP error ended the attempt to connect.
pub(crate) fn icmp(kind: u8, code: u8, from: &str, local: bool, errno: i32) -> Attempt {
    let mut attempt = bare(Ended::ClosedByNginx, MS);
    attempt.icmp = Some(IcmpError { kind, code, from: from.parse().expect("an address"), errno, local });
    attempt.socket.soft_error = errno;
    attempt.trail = vec![moment(0, Step::SynSent), moment(0, Step::Icmp { kind, code })];
    attempt
}

/// An error of `connect()` on TCP.
pub(crate) fn connect_error(errno: i32) -> ConnectError {
    let blank = ConnectError::blank(id(1), BEGUN + 50_000, 1713, Upstream::Tcp(remote()), errno);
    ConnectError { netns: 7, took: 50_000, ..blank }
}

/// An error of `connect()` on a unix socket.
pub(crate) fn unix_error(errno: i32) -> ConnectError {
    ConnectError { upstream: Upstream::Unix("/run/app.sock".to_owned()), ..connect_error(errno) }
}

/// A packet dropped by netfilter, 10 µs after the SYN; outgoing or incoming by `hook`.
pub(crate) fn netfilter_drop(hook: &str, by: &str) -> PacketDrop {
    let incoming = matches!(hook, "input" | "prerouting");
    let (src, dst) = if incoming { (remote(), local()) } else { (local(), remote()) };
    PacketDrop {
        numbers: None,
        at: BEGUN + 10_000,
        attempt: Some(id(1)),
        tuple: Some(PacketTuple { src, dst }),
        asked: None,
        tcp_flags: if incoming { 0x12 } else { 2 },
        reason: "NETFILTER_DROP".to_owned(),
        netns: 7,
        function: None,
        netfilter: Some(Netfilter {
            hook: Some(hook.to_owned()),
            by: by.to_owned(),
            family: Some("inet".to_owned()),
        }),
    }
}

/// This machine's kernel sent a RST on the upstream's side.
pub(crate) fn reset_sent(reason: &str, function: Option<&str>) -> ResetSent {
    ResetSent {
        numbers: None,
        at: BEGUN + SECOND,
        tuple: PacketTuple { src: local(), dst: remote() },
        reason: reason.to_owned(),
        function: function.map(str::to_owned),
        netns: 7,
        stranger: false,
    }
}

/// What the ruleset says of [`netfilter_drop`]`("output", "nft")`.
pub(crate) fn rules(rules: Vec<MatchedRule>) -> Rules {
    Rules {
        at: BEGUN + MS,
        netns: 7,
        hook: "output".to_owned(),
        by: "nft".to_owned(),
        tuple: PacketTuple { src: local(), dst: remote() },
        tcp_flags: 2,
        attempt: Some(id(1)),
        rules,
        chains: Vec::new(),
        complete: true,
        unread: None,
        dweller: None,
    }
}

/// Rule 7 of a chain of table `inet filter`.
pub(crate) fn matched(chain: &str, text: &str, certain: bool) -> MatchedRule {
    MatchedRule {
        family: "inet".to_owned(),
        table: "filter".to_owned(),
        chain: chain.to_owned(),
        handle: Some(7),
        text: Some(text.to_owned()),
        policy: false,
        legacy: false,
        certain,
    }
}

/// The only process of the upstream was killed at this time.
pub(crate) fn origin_killed(at_ms: u64) -> OriginExit {
    OriginExit {
        at: BEGUN + at_ms * MS,
        pid: 4711,
        name: "app".to_owned(),
        command: Some("python3 app.py".to_owned()),
        home: Some(Workload::Unit("app.service".to_owned())),
        out_of_memory: Some(false),
        netns: 7,
        upstream: Upstream::Tcp(remote()),
        signal: Some(9),
        status: None,
        alone: true,
    }
}

/// The process that held the other end was killed at this time, and the kernel closed it.
pub(crate) fn origin_closed(at_ms: u64) -> OriginClosed {
    OriginClosed {
        at: BEGUN + at_ms * MS,
        pid: 4711,
        name: "app".to_owned(),
        home: Some(Workload::Unit("app.service".to_owned())),
        netns: 9,
        origin: remote(),
        peer: local(),
        received: None,
        exiting: true,
        signal: Some(9),
        status: None,
        out_of_memory: Some(false),
    }
}

/// Group `backend` of [`REMOTE`] and another server, and two places that send requests there.
pub(crate) fn config() -> Config {
    let setting = |directive: &str, text: &str, ms, line: Option<u32>| Setting {
        directive: directive.to_owned(),
        text: text.to_owned(),
        ms,
        place: line.map(|line| format!("nginx.conf:{line}")),
    };
    let server = |address: &str| Server {
        target: Target {
            text: address.to_owned(),
            addresses: vec![Upstream::Tcp(address.parse().expect("an address"))],
            port: None,
        },
        max_fails: 1,
        fail_timeout_ms: 10_000,
        ..Server::default()
    };
    let pass = |name: &str, line| Pass {
        directive: "proxy_pass".to_owned(),
        group: Some("backend".to_owned()),
        server: Some(name.to_owned()),
        location: Some("/".to_owned()),
        place: format!("nginx.conf:{line}"),
        connect: setting("proxy_connect_timeout", "4s", 4_000, Some(11)),
        send: setting("proxy_send_timeout", "60s", 60_000, None),
        read: setting("proxy_read_timeout", "2s", 2_000, Some(12)),
        ..Pass::default()
    };
    let group = Group {
        name: "backend".to_owned(),
        servers: vec![server(REMOTE), server("10.0.0.3:8080")],
        ..Group::default()
    };
    let mut read = Config {
        file: "/etc/nginx/nginx.conf".to_owned(),
        groups: vec![group],
        passes: vec![pass("lab", 14), pass("other", 22)],
        ..Config::default()
    };
    read.passes[1].read = setting("proxy_read_timeout", "60s", 60_000, None);
    read
}

pub(crate) fn enrichment(facts: Vec<Fact>) -> Enrichment {
    Enrichment { at: BEGUN, netns: 7, upstream: Upstream::Tcp(remote()), facts }
}

pub(crate) fn moment(at_ms: u64, step: Step) -> Moment {
    Moment { at: BEGUN + at_ms * MS, step, count: 1, span_ms: 0 }
}

/// A lookup of `app.test`, asked once a second from the begin of the tests on, with these outcomes.
pub(crate) fn lookup(state: LookupState, outcomes: Vec<Option<Outcome>>) -> Lookup {
    let asked = outcomes.into_iter().enumerate().map(|(index, what)| {
        let at = BEGUN + index as u64 * SECOND;
        let server = "127.0.0.53:53".parse().expect("an address");
        let got = what.map(|what| QueryResult { at: at + MS, what });
        Query { at, server, kind: "A".to_owned(), tcp: false, got }
    });
    Lookup {
        id: AttemptId::lookup(1),
        at: BEGUN + 2 * SECOND,
        begun: BEGUN,
        worker: 1713,
        netns: 7,
        name: "app.test".to_owned(),
        for_client: true,
        state,
        asked: asked.collect(),
        asked_lost: 0,
    }
}

/// A line of the worker about the upstream, read 2 ms after attempts begin.
pub(crate) fn line(message: &str) -> LogLine {
    let tail = format!(
        ", client: 192.0.2.7, server: lab, request: \"GET / HTTP/1.1\", upstream: \"http://{REMOTE}/\", host: \"lab\""
    );
    let text = format!("2026/11/20 09:12:01 [error] 1713#1713: *134 {message}{tail}");
    let line = errorlog::parse(text.as_bytes()).expect("a line");
    LogLine { at: BEGUN + 2 * MS, worker: Some(1713), ..line }
}

/// The verdict on a case: id, confidence, alternatives.
pub(crate) fn verdict(case: &Case<'_>) -> (&'static str, Confidence, Vec<&'static str>) {
    let (found, finding) = cause::judge(case);
    let own = (found.judge)(case).map(|own| own.alternatives).unwrap_or_default();
    for id in own {
        assert!(found.rivals.contains(&id), "{}: the alternative {id} is not among its rivals", found.id);
    }
    // A name may come first.
    let first = finding.summary.split(' ').next().unwrap_or_default();
    let lower = first != "nginx" && first.chars().all(|c| c.is_ascii_lowercase());
    assert!(!lower, "begins in lower case: {:?}", finding.summary);
    for id in &finding.alternatives {
        assert!(cause::CONTRACT.iter().any(|(known, _)| known == id), "{id} is not in the contract");
    }
    assert!(finding.summary.ends_with('.'), "{:?}", finding.summary);
    (found.id, finding.confidence, finding.alternatives)
}

/// Fails unless the verdict has this id and confidence.
#[track_caller]
pub(crate) fn expect(case: &Case<'_>, id: &str, confidence: Confidence) {
    let (found, sure, alternatives) = verdict(case);
    assert_eq!((found, sure), (id, confidence), "alternatives {alternatives:?}");
}

fn bare(ended: Ended, duration: Nanos) -> Attempt {
    Attempt {
        netns: 7,
        local: Some(local()),
        ended,
        begun: BEGUN,
        ..Attempt::blank(id(1), BEGUN + duration, 1713, Some(Upstream::Tcp(remote())))
    }
}
