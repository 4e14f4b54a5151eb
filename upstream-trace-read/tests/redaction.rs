//! No text of an event survives redaction, but for those that are listed here as kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use upstream_trace_core::event::Event;
use upstream_trace_read::recording::{Reader, Redactor};

/// What stays of events: names of the kernel, of this program, of programs, interfaces, tables, chains and directives,
/// addresses of upstreams and name servers, and paths of sockets. README says so, too.
const KEPT: [&str; 49] = [
    "config.groups.keepalive_timeout.directive",
    "config.groups.keepalive_timeout.text",
    "config.groups.servers.target.addresses.unix",
    "config.passes.connect.directive",
    "config.passes.connect.text",
    "config.passes.directive",
    "config.passes.read.directive",
    "config.passes.read.text",
    "config.passes.send.directive",
    "config.passes.send.text",
    "config.passes.target.addresses.unix",
    "connect-error.upstream.unix",
    "drop.function",
    "drop.netfilter.by",
    "drop.netfilter.family",
    "drop.netfilter.hook",
    "drop.reason",
    "end.trail.step.reason",
    "end.upstream.unix",
    "enrichment.facts.interface",
    "enrichment.facts.process",
    "enrichment.facts.state",
    "enrichment.upstream.unix",
    "host.hooks.costs",
    "host.hooks.kind",
    "host.hooks.name",
    "host.hooks.why",
    "host.kernel",
    "host.nginx",
    "host.version",
    "log-followed.level",
    "log.level",
    "log.time",
    "lookup.asked.got.what.ignored",
    "lookup.asked.kind",
    "lost.place",
    "origin-exit.name",
    "origin-exit.upstream.unix",
    "reset-sent.reason",
    "rules.by",
    "rules.chains",
    "rules.hook",
    "rules.rules.chain",
    "rules.rules.family",
    "rules.rules.table",
    // But for comments, prefixes of logs and other texts in quotes.
    "rules.rules.text",
    "trouble.trail.step.reason",
    "trouble.upstream.unix",
    "upstream.upstream.unix",
];

const CANARY: &str = "canary";

/// Every place of a text in the event, and how to get there.
fn texts(value: &Value, path: &str, at: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(_) => found.push((path.to_owned(), at.to_owned())),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts(item, path, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (field, item) in fields {
                texts(item, &format!("{path}.{field}"), &format!("{at}/{field}"), found);
            }
        }
        _ => {}
    }
}

/// Events with every field that may hold a text: those of the fixtures, and some by hand.
fn events() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut events = by_hand();
    for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "zst")) {
        events.extend(Reader::open(&file).unwrap().map(|event| serde_json::to_value(event).unwrap()));
    }
    events
}

fn by_hand() -> Vec<Value> {
    let target = json!({"text": "app1:80", "addresses": [{"unix": "/run/a"}]});
    let setting =
        json!({"directive": "proxy_read_timeout", "text": "3s", "ms": 3000, "place": "/etc/nginx.conf:1"});
    let upstream = json!({"tcp": "10.0.0.2:80"});
    let tuple = json!({"src": "10.0.0.1:1234", "dst": "10.0.0.2:80"});
    let kinds = ["unit", "docker", "podman", "kubernetes", "lxc", "cgroup"];
    let exits = kinds.map(|kind| {
        json!({"event": "origin-exit", "at": 2, "pid": 7, "name": "app", "command": "app x", "netns": 1,
               "home": {"kind": kind, "name": "shop"}, "upstream": upstream})
    });
    let mut events = vec![
        json!({"event": "host", "at": 1, "unix_us": 1, "version": "0.1.0", "hostname": "web1", "kernel": "6.12.0",
               "nginx": ["nginx/1.22.1"], "masters": [1], "workers": [2], "slow": 1,
               "hooks": [{"name": "a", "kind": "b", "attached": false, "why": "c", "costs": "d"}]}),
        json!({"event": "config", "at": 2, "file": "f", "workers": [2], "unread": "u",
               "groups": [{"name": "g", "keepalive_timeout": setting,
                           "servers": [{"target": target, "parameters": "weight=2 service=http"}]}],
               "passes": [{"directive": "proxy_pass", "group": "g", "target": target, "server": "s",
                           "location": "/l", "place": "f:1", "connect": setting, "send": setting, "read": setting}]}),
        json!({"event": "log", "at": 2, "worker": 2, "pid": 2, "time": "t", "level": "error", "connection": 5,
               "message": "m", "action": "connecting to upstream", "client": "192.0.2.1", "server": "s",
               "request": "GET /p HTTP/1.1", "subrequest": "/s", "upstream": "http://10.0.0.2:80/p", "host": "h",
               "resolver": "r", "file": "/f", "truncated": false}),
        json!({"event": "rules", "at": 2, "netns": 1, "hook": "output", "by": "nft", "tuple": tuple, "tcp_flags": 2,
               "rules": [{"family": "ip", "table": "t", "chain": "c", "text": "drop comment \"x\"", "certain": true}],
               "chains": ["ip t c"], "complete": true, "unread": "u"}),
        json!({"event": "enrichment", "at": 2, "netns": 1, "upstream": {"unix": "/run/a"}, "facts": [
               {"fact": "listener", "queue": 1, "limit": 1, "process": "p", "home": {"kind": "unit", "name": "u"}},
               {"fact": "container-address", "home": {"kind": "docker", "name": "c"}, "listens": ["0.0.0.0:80"]},
               {"fact": "listens-elsewhere", "address": "127.0.0.1:80", "process": "p"},
               {"fact": "route", "route": "found", "interface": "eth0", "gateway": null, "local": false},
               {"fact": "neighbour", "address": "10.0.0.2", "state": "failed", "interface": "eth0"}]}),
        json!({"event": "log-followed", "at": 2, "worker": 2, "followed": true, "level": "error"}),
        json!({"event": "lost", "at": 2, "count": 1, "place": "p", "since": 1}),
    ];
    events.extend(exits);
    events
}

#[test]
fn no_other_text_survives() {
    let (mut seen, mut kept, mut leaks) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for event in events() {
        let kind = event["event"].as_str().unwrap().to_owned();
        let mut found = Vec::new();
        texts(&event, &kind, "", &mut found);
        for (path, at) in found {
            let tried = seen.entry(path.clone()).or_insert(0_u32);
            if *tried > 20 || at == "/event" {
                continue;
            }
            let mut event = event.clone();
            *event.pointer_mut(&at).unwrap() = CANARY.into();
            // A field with a type of its own holds no text.
            let Ok(mut event) = serde_json::from_value::<Event>(event) else { continue };
            *tried += 1;
            Redactor::default().event(&mut event);
            if !serde_json::to_string(&event).unwrap().contains(CANARY) {
                continue;
            }
            let listed = KEPT.contains(&path.as_str());
            if listed {
                kept.insert(path)
            } else {
                leaks.insert(path)
            };
        }
    }
    assert!(leaks.is_empty(), "not listed as kept: {leaks:#?}");
    let stale: Vec<_> = KEPT.iter().filter(|path| !kept.contains(**path)).collect();
    assert!(stale.is_empty(), "listed, and not kept: {stale:#?}");
    assert!(seen.values().filter(|tried| **tried > 0).count() > 60, "{seen:#?}");
}

/// What stands inside of a text of a known form goes as well.
#[test]
fn no_secret_survives_in_a_known_form() {
    let line = |level: &str, message: &str| {
        json!({"event": "log", "at": 2, "worker": 2, "pid": 2, "time": "t", "level": level, "message": message,
               "action": message.rsplit_once(" while ").map(|(_, action)| action), "client": "192.0.2.1",
               "upstream": "http://10.0.0.2:80/", "truncated": false})
    };
    for message in [
        "[lua] auth.lua:12: login failed user=bob@example.com token=canary",
        "user \"canary\": password mismatch",
        "FastCGI sent in stderr: \"PHP message: canary\" while reading response header from upstream",
        "client 192.0.2.99 closed canary connection",
        "upstream sent invalid header: \"X-User: canary\" while reading response header from upstream",
        "upstream sent canary while reading response header from upstream",
        "connect() failed (111: canary) while connecting to upstream",
        "connect() to canary.test:80 failed (111: Connection refused) while connecting to upstream",
        "bind(canary) failed (99: Cannot assign requested address) while connecting to upstream",
        "canary.test could not be resolved (3: Host not found)",
        "x could not be resolved (3: canary)",
        "no resolver defined to resolve canary.test",
        "upstream timed out (110: Connection timed out) while canary",
        "send() failed (1: canary) while resolving",
    ] {
        for level in ["info", "error", "crit"] {
            let mut event: Event = serde_json::from_value(line(level, message)).unwrap();
            Redactor::default().event(&mut event);
            let text = serde_json::to_string(&event).unwrap();
            assert!(!text.contains(CANARY), "{message}: {text}");
        }
    }
}

/// However innocent its words are: what they say together is the application's.
#[test]
fn nothing_of_an_unknown_form_survives() {
    for message in [
        "[lua] connection to upstream failed",
        "js: no live upstreams",
        "upstream",
        "reading response header",
    ] {
        let line = json!({"event": "log", "at": 2, "worker": 2, "pid": 2, "time": "t", "level": "error",
                          "message": message, "truncated": false});
        let mut event: Event = serde_json::from_value(line).unwrap();
        Redactor::default().event(&mut event);
        assert_eq!(serde_json::to_value(event).unwrap()["message"], "(redacted)", "{message}");
    }
}

/// With `proxy_bind $remote_addr transparent` nginx connects from the client's address.
#[test]
fn a_client_that_nginx_connects_as_is_not_named() {
    let redacted = |events: &[&Value]| {
        let mut redactor = Redactor::default();
        let mut last = Value::Null;
        for event in events {
            let mut event: Event = serde_json::from_value((*event).clone()).unwrap();
            redactor.event(&mut event);
            last = serde_json::to_value(event).unwrap();
        }
        last["tuple"].clone()
    };
    let tuple = json!({"src": "192.0.2.1:1234", "dst": "10.0.0.2:80"});
    let gone = json!({"src": "198.18.0.1:1234", "dst": "10.0.0.2:80"});
    let drop = json!({"event": "drop", "at": 3, "tuple": tuple, "tcp_flags": 2, "reason": "r", "netns": 1});
    let line = json!({"event": "log", "at": 2, "worker": 2, "pid": 2, "time": "t", "level": "error", "message": "m",
                      "client": "192.0.2.1", "truncated": false});
    let config = |transparent: bool| {
        let servers = json!([{"target": {"text": "10.0.0.2", "addresses": [{"tcp": "10.0.0.2:80"}]}}]);
        json!({"event": "config", "at": 1, "transparent": transparent, "groups": [{"name": "g", "servers": servers}]})
    };
    assert_eq!(redacted(&[&config(true), &drop]), gone);
    assert_eq!(redacted(&[&config(false), &line, &drop]), tuple, "it is the host's own");
    // An earlier release did not record whether it is.
    assert_eq!(redacted(&[&drop]), tuple);
    assert_eq!(redacted(&[&line, &drop]), gone);
}
