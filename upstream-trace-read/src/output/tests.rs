//! Samples that the tests of this module share, and tests of what is common to both sinks.

use std::collections::BTreeMap;
use std::env;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use upstream_trace_core::event::{Hook, Nanos, Transport, Upstream};
use upstream_trace_core::verdict::{
    CauseCount, Confidence, Details, Evidence, LogLines, Percentiles, Phase, Summary, UpstreamSummary,
    Verdict,
};

use super::*;

pub(super) const MS: Nanos = 1_000_000;
pub(super) const SECOND: Nanos = 1000 * MS;
/// The monotonic clock when the run began.
pub(super) const BEGIN: Nanos = 5 * SECOND;

pub(super) fn host() -> Host {
    let hook = |name: &str, why: Option<&str>, costs: Option<&str>| Hook {
        name: name.into(),
        kind: "kprobe".into(),
        attached: why.is_none(),
        why: why.map(str::to_owned),
        costs: costs.map(str::to_owned),
    };
    Host {
        at: BEGIN,
        unix_us: 1_795_165_920_000_000, // 2026-11-20T09:12:00Z
        version: "0.1.0".into(),
        hostname: "web1".into(),
        kernel: "6.12.0".into(),
        nginx: vec!["nginx/1.22.1".into()],
        hooks: vec![
            hook("inet_sock_set_state", None, None),
            hook(
                "tcp_v4_err",
                Some("kprobes are locked down"),
                Some("the sender of an ICMP error is not known"),
            ),
        ],
        masters: vec![1712],
        workers: vec![1713, 1714],
        slow: SECOND,
        depth: "deep".into(),
    }
}

pub(super) fn evidence(at_ms: f64, what: &str, details: Value) -> Evidence {
    let Value::Object(details) = details else {
        return Evidence { at_ms, what: what.into(), details: Map::new() };
    };
    Evidence { at_ms, what: what.into(), details }
}

/// A SYN that was dropped on this host, four seconds after it was sent, at 09:12:05.003.
pub(crate) fn verdict() -> Verdict {
    Verdict {
        attempt: upstream_trace_core::event::AttemptId::from_kernel(7),
        at: BEGIN + 5_003 * MS,
        since: BEGIN + 1_000 * MS,
        worker: 1713,
        upstream: Some(Upstream::Tcp(([10, 99, 0, 2], 8082).into())),
        transport: Transport::Tcp,
        local: Some("10.99.0.1:41234".into()),
        phase: Phase::Connect,
        cause: "firewall-drop-local",
        reason: Some(3),
        category: Some("firewall"),
        confidence: Confidence::Proven,
        alternatives: vec![],
        errno: Some(110),
        status: Some(504),
        recovered: false,
        reused: false,
        bytes_sent: 0,
        bytes_received: 0,
        evidence: vec![
            evidence(0.0, "syn-sent", Value::Null),
            evidence(0.102, "dropped", json!({"reason": "NETFILTER_DROP", "hook": "output", "family": "inet"})),
            evidence(1013.5, "retransmit", json!({"count": 2, "errno": 1})),
        ],
        summary: "A netfilter rule on this host dropped the SYN to 10.99.0.2:8082, so that no connection came about."
            .into(),
        fix: "Find the rule with `nft list ruleset` in the namespace of nginx and allow the port.".into(),
        log: None,
        name: None,
        because: vec![],
        details: Details::default(),
    }
}

pub(super) fn summary() -> Summary {
    let refused = CauseCount {
        workload: None,
        cause: "port-refused",
        reason: Some(2),
        upstream: Some(Upstream::Tcp(([10, 0, 0, 2], 80).into())),
        group: Some("backend".into()),
        count: 37,
        first: BEGIN + SECOND,
        last: BEGIN + 59 * SECOND,
    };
    let (first, last) = (BEGIN + 2 * SECOND, BEGIN + 2 * SECOND);
    let unknown = CauseCount {
        cause: "unknown",
        reason: None,
        upstream: None,
        group: None,
        workload: None,
        count: 1,
        first,
        last,
    };
    let known = UpstreamSummary {
        upstream: refused.upstream.clone(),
        group: refused.group.clone(),
        attempts: 1197,
        established: 1160,
        failures: 37,
        requests: 5600,
        connect: Some(Percentiles { p50_us: 128, p90_us: 512, p99_us: 1024, bound_only: false }),
        first_byte: Some(Percentiles { p50_us: 16384, p90_us: 65536, p99_us: 1 << 20, bound_only: false }),
    };
    let others = UpstreamSummary {
        upstream: None,
        group: None,
        attempts: 37,
        established: 37,
        failures: 1,
        requests: 78,
        connect: None,
        first_byte: None,
    };
    Summary {
        duration: 60 * SECOND,
        attempts: 1234,
        failures: 38,
        recovered: 30,
        lost: 0,
        lost_by_place: BTreeMap::new(),
        by_cause: vec![refused, unknown],
        upstreams: vec![known, others],
        log_lines: LogLines::default(),
        sampled: false,
    }
}

pub(super) fn extra() -> Extra {
    let overhead =
        vec![HookCost { name: "inet_sock_set_state".into(), runs: 120_000, mean_ns: 73, per_second: 2_000 }];
    let cost = Cost { overhead, startup_ms: 85.2, deep_ms: 2000.0, rss_bytes: 12 << 20 };
    Extra { cost: Some(cost), accounts: None }
}

#[test]
fn the_command_line_decides_on_colours() {
    assert!(wants_colour(&io::stdout(), ColorChoice::Always));
    assert!(!wants_colour(&io::stdout(), ColorChoice::Never));
}

/// Runs itself with other variables, since those of a running program cannot be changed safely.
#[test]
fn no_color_is_respected_and_a_file_gets_none() {
    const CHILD: &str = "UPSTREAM_TRACE_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        println!("colour={}", wants_colour(&io::stdout(), ColorChoice::Auto));
        return;
    }
    let child = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", "output::tests::no_color_is_respected_and_a_file_gets_none"]);
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            command.env_remove(variable);
        }
        command.env(CHILD, "1").envs(variables.iter().copied()).stdin(Stdio::null());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(child(&[]).contains("colour=false"), "stdout is a pipe");
    assert!(child(&[("CLICOLOR_FORCE", "1")]).contains("colour=true"), "asked for");
    assert!(child(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains("colour=false"), "forbidden");
}
