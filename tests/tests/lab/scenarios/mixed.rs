//! Two thousand failures of many kinds at the same time, each with its own path: each line of error.log must be joined
//! to the very attempt that it is about.
//!
//! A location binds each connection to an address that the request's path names, so that the attempt can be told from
//! all others at the same upstream by its local address, which nginx's line does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use upstream_trace_tests::client::Connection;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::netns::Namespace;
use upstream_trace_tests::nginx::FOLDER;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::pace::slow;
use upstream_trace_tests::seen::Seen;
use upstream_trace_tests::{Lab, Scenario, World};

pub(crate) const ALL: &[Scenario] =
    &[("mixed/every-way-at-once", |lab| mixed(lab, WAYS.len())), (MANY, |lab| mixed(lab, 2000))];

const MANY: &str = "mixed/two-thousand-on-two-workers";

const CLIENTS: usize = 48;

/// A way to fail: the first part of the path, where it goes, nginx's answer, and the cause that must be named.
#[derive(Clone, Copy, Debug)]
struct Way {
    path: &'static str,
    to: &'static str,
    status: u16,
    cause: Option<&'static str>,
}

const fn way(path: &'static str, to: &'static str, status: u16, cause: &'static str) -> Way {
    Way { path, to, status, cause: Some(cause) }
}

const WAYS: [Way; 16] = [
    way("refused", "10.99.0.2:9001", 502, "port-refused"),
    way("closed", "10.99.0.2:9002", 502, "premature-close"),
    way("reset", "10.99.0.2:9003", 502, "reset-by-backend"),
    way("silent", "10.99.0.2:9004", 504, "slow-response"),
    way("cut", "10.99.0.2:9005", 200, "truncated-response"),
    way("big", "10.99.0.2:9006", 502, "header-too-big"),
    way("bad", "10.99.0.2:9007", 502, "invalid-response"),
    way("stalled", "10.99.0.2:9008", 200, "slow-body"),
    way("dropped", "10.99.0.2:9009", 504, "firewall-drop-local"),
    way("rejected", "10.99.0.2:9010", 502, "firewall-reject-local"),
    way("unrouted", "10.95.0.2:9001", 502, "no-route"),
    way("nobody", "nobody", 502, "no-live-upstreams"),
    way("retried", "retried", 200, "port-refused"),
    way("missing", "unix:missing.sock:", 502, "socket-missing"),
    Way { path: "fine", to: "10.99.0.2:9011", status: 200, cause: None },
    // The client leaves while others wait for the same upstream.
    Way { path: "left", to: "10.99.0.2:9004", status: 0, cause: None },
];

/// Origins by port.
fn origins() -> Vec<(&'static str, Script)> {
    let mut big = b"HTTP/1.1 200 OK\r\nX-Big: ".to_vec();
    big.resize(20_000, b'x');
    big.extend(b"\r\n\r\n");
    vec![
        ("10.99.0.2:9002", Script::read_then_fin()),
        ("10.99.0.2:9003", Script::read_then_rst()),
        ("10.99.0.2:9004", Script::silent()),
        ("10.99.0.2:9005", Script::partial_then_fin(100, 1000)),
        ("10.99.0.2:9006", Script::says(&big)),
        ("10.99.0.2:9007", Script::says(b"HTTP/1.1 200 OK\r\nX-Bad\0: yes\r\n\r\n")),
        ("10.99.0.2:9008", Script::partial_then_stall(100, 1000)),
        ("10.99.0.2:9011", Script::answer(100)),
    ]
}

/// `/silent/3.7`: the address that the connection is bound to ends so.
fn path(number: usize) -> (Way, String) {
    let way = WAYS[number % WAYS.len()];
    (way, format!("/{}/{}.{}", way.path, number / 200, number % 200 + 1))
}

fn mixed(lab: &Lab, count: usize) -> Result<()> {
    let world = lab
        .world()
        .config(|config| {
            config.workers = 2;
            config.connect_timeout = "1s".into();
            config.read_timeout = "1s".into();
            config.http.push("upstream nobody { server 10.99.0.2:9001 down; }".into());
            let peers = "server 10.99.0.2:9001 max_fails=0; server 10.99.0.2:9011 backup;";
            config.http.push(format!("upstream retried {{ {peers} }}"));
            config.server.extend(WAYS.iter().map(location));
        })
        .start()?;
    // Every address of 10.77.0.0/16 is nginx's own.
    world.ng().command("ip route add local 10.77.0.0/16 dev lo")?;
    world.ng().command("ip route add blackhole 10.95.0.0/24")?;
    world.up().command("ip route add 10.77.0.0/16 via 10.99.0.1")?;
    let rules = "tcp dport 9009 counter drop\ntcp dport 9010 counter reject with icmpx admin-prohibited";
    let _firewall = Firewall::nft(&world, world.ng(), "output", rules)?;
    let _origins =
        origins().into_iter().map(|(at, script)| world.origin(at, script)).collect::<Result<Vec<_>>>()?;
    let trace = world.trace(&[])?;
    ask(lab, world.ng(), count);
    let seen = trace.finish()?;
    check(&world, &seen, count);
    Ok(())
}

fn location(way: &Way) -> String {
    let Way { path, to, .. } = way;
    let (bind, to) = match to.strip_prefix("unix:") {
        Some(socket) => (String::new(), format!("unix:{FOLDER}/{socket}")),
        None => ("proxy_bind 10.77.$a.$b;".to_owned(), (*to).to_owned()),
    };
    format!(
        "location ~ ^/{path}/(?<a>[0-9]+)\\.(?<b>[0-9]+)$ {{ {bind} proxy_pass http://{to}$request_uri; }}"
    )
}

/// Sends all requests, from many clients, and checks the answers.
fn ask(lab: &Lab, namespace: &Namespace, count: usize) {
    let next = AtomicUsize::new(0);
    let client = || {
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= count {
                return;
            }
            let (way, path) = path(number);
            let reply = Connection::open(namespace).and_then(|mut connection| {
                connection.send("GET", &path, &[], false)?;
                if way.path == "left" {
                    // At any time but that of the timeouts.
                    thread::sleep(Duration::from_millis(50 + number as u64 % 850));
                    return Ok(0);
                }
                Ok(connection.receive().status)
            });
            let as_expected = reply.as_ref().is_ok_and(|status| *status == way.status);
            lab.check(as_expected, || format!("{path}: {reply:?}, not {}", way.status));
        }
    };
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(client);
        }
    });
}

fn check(world: &World<'_>, seen: &Seen<'_>, count: usize) {
    let lab = world.lab();
    let expected: BTreeMap<String, Way> = (0..count).map(path).map(|(way, path)| (path, way)).collect();
    let log = world.error_log();
    let lines: BTreeSet<&str> = log.lines().filter_map(requested).collect();
    let failing = expected.iter().filter(|(_, way)| way.cause.is_some());
    for (path, _) in failing.clone().filter(|(path, _)| !lines.contains(path.as_str())) {
        lab.complain(format!("nginx wrote no line about {path}"));
    }
    if !seen.ran() {
        return;
    }
    seen.adds_up();
    let mut joined: BTreeSet<&str> = BTreeSet::new();
    let mut unjoined = Vec::new();
    for failure in seen.of_type("failure") {
        let request = failure["log"]["request"].as_str().and_then(|request| request.split(' ').nth(1));
        let Some((path, way)) = request.and_then(|path| expected.get_key_value(path)) else {
            unjoined.push(short(failure));
            continue;
        };
        if maybe_by_line(*way) && failure["local"].is_null() {
            lab.excuse();
        }
        match wrong(failure, path, *way) {
            Some(ANOTHER) if failure["local"].is_null() && lab.may_differ("local") => {
                joined.insert(path);
            }
            Some(what) => lab.complain(format!("{path}: {what}: {}", short(failure))),
            None if joined.insert(path) => {}
            None => lab.complain(format!("{path}: a second failure: {}", short(failure))),
        }
    }
    let (of, enough) = (failing.count(), failing_enough(&lines));
    lab.check(joined.len() >= enough, || format!("{} of {of} lines are joined", joined.len()));
    // Those whose line could not be joined, and nobody else.
    lab.check(joined.len() + unjoined.len() == of, || {
        let mut text =
            format!("{} failures are joined and {} are not, of {of}", joined.len(), unjoined.len());
        for without in unjoined.iter().take(10) {
            let _infallible = write!(text, "\n  without a line: {without}");
        }
        text
    });
    let workers: BTreeSet<u64> =
        seen.of_type("failure").filter_map(|failure| failure["worker"].as_u64()).collect();
    lab.check(workers.len() == 2 || count < 1000, || format!("failures of workers {workers:?}, not of two"));
}

/// What is missing on this host for a scenario.
pub(crate) fn missing(scenario: &str) -> Option<&'static str> {
    // There timeouts of so many come together that lines come long after their failures.
    (scenario == MANY && slow() > 1).then_some("a real machine, that 48 clients at once do not overload")
}

/// 99 of 100.
fn failing_enough(lines: &BTreeSet<&str>) -> usize {
    (lines.len() * 99).div_ceil(100)
}

/// The path in a line about an upstream.
fn requested(line: &str) -> Option<&str> {
    let (_, request) = line.split_once("request: \"GET ").filter(|_| line.contains(" upstream"))?;
    request.split(' ').next()
}

/// An emulated machine may be too slow for the kernel side to see it.
fn maybe_by_line(way: Way) -> bool {
    slow() > 1 && way.path == "stalled"
}

const ANOTHER: &str = "another attempt, or none";

/// What does not fit between a failure and the request whose line it carries.
fn wrong(failure: &Value, path: &str, way: Way) -> Option<&'static str> {
    let address = path.rsplit('/').next().unwrap_or_default();
    let bound = format!("10.77.{address}:");
    let local = failure["local"].as_str();
    let upstream = failure["upstream"].as_str().unwrap_or_default();
    let place = match way.to {
        "nobody" => upstream.is_empty(),
        "retried" => upstream == "10.99.0.2:9001",
        to => to
            .strip_prefix("unix:")
            .map_or(upstream == to, |name| upstream.ends_with(name.trim_end_matches(':'))),
    };
    // `connect()` that fails at once leaves no local address, and of what only nginx knows there is just its line.
    let tells = local.is_some_and(|local| local.starts_with(&bound));
    let by_line = (matches!(way.path, "cut" | "big" | "bad") || maybe_by_line(way)) && local.is_none();
    let needs_local = !matches!(way.path, "unrouted" | "nobody" | "missing") && !by_line;
    if !place {
        Some("another upstream")
    } else if needs_local && !tells {
        Some(ANOTHER)
    } else if way.cause != failure["cause"].as_str() {
        Some("another cause")
    } else if failure["recovered"] != (way.path == "retried") {
        Some("recovered or not")
    } else {
        None
    }
}

fn short(failure: &Value) -> String {
    format!(
        "{} {} from {} {}, line {}",
        failure["cause"],
        failure["upstream"],
        failure["local"],
        failure["summary"],
        failure["log"]["request"]
    )
}
