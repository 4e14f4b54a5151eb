//! Verdicts and counters for the tests of sinks.

use std::net::SocketAddr;

use upstream_trace_core::event::{
    AttemptId, Config, Group, Server, Target, Transport, Upstream, UpstreamSample,
};
use upstream_trace_core::verdict::{Confidence, Details, Phase, Verdict};

/// An upstream with that port.
pub(crate) fn server(port: u16) -> Upstream {
    Upstream::Tcp(SocketAddr::from(([10, 0, 0, 1], port)))
}

/// A configuration in which that upstream is the only server of a group.
pub(crate) fn config(group: &str, upstream: &Upstream) -> Config {
    let target = Target { text: upstream.to_string(), addresses: vec![upstream.clone()], port: None };
    let servers = vec![Server { target, ..Server::default() }];
    Config {
        groups: vec![Group { name: group.to_owned(), servers, ..Group::default() }],
        ..Config::default()
    }
}

/// An attempt that was refused.
pub(crate) fn failure(attempt: u64, upstream: &Upstream) -> Verdict {
    Verdict {
        attempt: AttemptId::from_kernel(attempt),
        at: 2_000_000,
        since: 1_000_000,
        worker: 7,
        upstream: Some(upstream.clone()),
        transport: Transport::Tcp,
        local: Some("10.0.0.9:41234".to_owned()),
        phase: Phase::Connect,
        cause: "port-refused",
        reason: Some(2),
        category: Some("service-down"),
        confidence: Confidence::Proven,
        alternatives: Vec::new(),
        errno: Some(111),
        status: Some(502),
        recovered: false,
        reused: false,
        bytes_sent: 0,
        bytes_received: 0,
        evidence: Vec::new(),
        summary: "Nothing listens there.".to_owned(),
        fix: "Start it.".to_owned(),
        log: None,
        name: None,
        because: Vec::new(),
        details: Details::default(),
    }
}

/// Counters after so many attempts.
pub(crate) fn sample(upstream: Option<&Upstream>, attempts: u64) -> UpstreamSample {
    UpstreamSample {
        at: 1,
        upstream: upstream.cloned(),
        attempts,
        established: attempts,
        requests: attempts,
        answers: attempts,
        last_established: 1,
        last_answer: 1,
        sub_bits: 0,
        connect: vec![0, 0, 0, 0, 0, 0, 0, 0, 0, attempts],
        first_byte: vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, attempts],
    }
}
