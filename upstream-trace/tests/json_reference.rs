//! `docs/JSON.md` documents every field that the recordings of upstream-trace-read/tests and `doctor --json` print.
//!
//! A field is documented by a row of the table below the heading of its object: `` | `tries.chain[].cause` | ``. Entries
//! of `evidence` have a table of their own, with one row for each `what` and its fields in the last column.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use upstream_trace_core::event::{Event, Host, Lost, Nanos};
use upstream_trace_core::verdict::{Output, Summary};
use upstream_trace_read::output::Accounts;
use upstream_trace_read::output::{Cost, Extra, HookCost, Json, Look, Sink};
use upstream_trace_read::recording::Reader;
use upstream_trace_read::report;

const REFERENCE: &str = include_str!("../../docs/JSON.md");

/// Objects that have to occur; otherwise the test would pass because nothing happened.
const TYPES: [&str; 11] = [
    "start",
    "failure",
    "pending",
    "resolved",
    "note",
    "lost",
    "summary",
    "doctor",
    "right",
    "hook",
    "conclusion",
];

/// Prints a recording as one of several, with what only a live trace prints: a loss, the cost, the accounts.
struct AsLive<'a>(Json<&'a mut Vec<u8>, &'a mut Vec<u8>>);

impl Sink for AsLive<'_> {
    fn start(&mut self, host: &Host) {
        self.0.start(host);
        let lost =
            Lost { at: host.at, count: 1, place: "ring-buffer".to_owned(), since: host.at, upstream: None };
        self.0.output(&Output::Lost(lost));
    }

    fn event(&mut self, event: &Event) {
        self.0.event(event);
    }

    fn output(&mut self, output: &Output) {
        self.0.output(output);
    }

    fn tick(&mut self, now: Nanos) {
        self.0.tick(now);
    }

    fn summary(&mut self, summary: &Summary, _extra: &Extra) {
        let hook = HookCost { name: "kfree_skb".to_owned(), runs: 1, mean_ns: 70, per_second: 1 };
        let cost = Cost { overhead: vec![hook], ..Cost::default() };
        let mut summary = summary.clone();
        summary.lost_by_place.insert("ring-buffer".to_owned(), 1);
        self.0.summary(&summary, &Extra { cost: Some(cost), accounts: Some(Accounts::default()) });
    }

    fn begin_recording(&mut self, file: &str) {
        self.0.begin_recording(file);
    }
}

/// Recordings of all releases, and those that the replay test compares.
fn recordings() -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../upstream-trace-read/tests");
    let releases = fs::read_dir(tests.join("recordings")).unwrap().map(|entry| entry.unwrap().path());
    let folders = releases.filter(|path| path.is_dir()).chain([tests.join("fixtures")]);
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|kind| kind == "zst")).collect()
}

/// The objects of one recording.
fn replayed(path: &Path) -> Vec<Value> {
    let (mut results, mut status) = (Vec::new(), Vec::new());
    let look = Look { width: 80, colour: false, status_colour: false, verbose: false };
    let json = Json::new(&mut results, &mut status, look).several(true);
    let mut sink = AsLive(json);
    sink.begin_recording("recording");
    report::replay(&mut Reader::open(path).unwrap(), &mut sink);
    objects(&results)
}

fn doctor() -> Vec<Value> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_upstream-trace")).args(["doctor", "--json"]).output().unwrap();
    objects(&output.stdout)
}

fn objects(lines: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(lines).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Paths of all fields of a value: `tries`, `tries.chain`, `tries.chain[].cause`.
fn paths(prefix: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                // The names in this object are values: those of `where`. The entries of `evidence` are looked at apart.
                if path != "lost_by_place" && path != "evidence" {
                    paths(&path, value, found);
                }
                found.insert(path);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| paths(&format!("{prefix}[]"), value, found)),
        _ => {}
    }
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// First cell, and the rest, of each row of the table below the heading that names this, without tables of values below
/// headings of their own.
fn rows(named: impl Fn(&str) -> bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    let sections = REFERENCE.split("\n## ").skip(1);
    let section = sections.filter(move |section| named(section.lines().next().unwrap_or_default()));
    let tables = section.filter_map(|section| section.split("\n### ").next());
    let rows = tables.flat_map(str::lines).filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once("` |"))
}

/// Fields that the reference has for an object.
fn documented(kind: &str) -> BTreeSet<&'static str> {
    rows(|heading| quoted(heading).any(|name| name == kind)).map(|(path, _)| path).collect()
}

/// Fields that the reference has for each kind of evidence.
fn documented_evidence() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    rows(|heading| heading == "Evidence")
        .filter_map(|(what, rest)| {
            Some((what, quoted(rest.trim_end_matches('|').rsplit_once("| ")?.1).collect()))
        })
        .collect()
}

/// Fields of evidence that are not in the reference: `dropped.hook`.
fn missing_evidence(
    entry: &Value,
    reference: &BTreeMap<&str, BTreeSet<&str>>,
    missing: &mut BTreeSet<String>,
) {
    let what = entry["what"].as_str().unwrap();
    let known = reference.get(what);
    if known.is_none() {
        missing.insert(format!("evidence {what}"));
    }
    for name in entry.as_object().unwrap().keys() {
        let known = known.is_some_and(|fields| fields.contains(name.as_str()));
        if !known && name != "what" && name != "at_ms" {
            missing.insert(format!("evidence {what}.{name}"));
        }
    }
}

#[test]
fn every_field_that_is_printed_is_documented() {
    let files = recordings();
    assert!(files.len() > 100, "{} recordings", files.len());
    let objects = files.iter().flat_map(|file| replayed(file)).chain(doctor());
    let evidence = documented_evidence();
    let (mut printed, mut missing) = (BTreeMap::<String, BTreeSet<String>>::new(), BTreeSet::new());
    for object in objects {
        paths("", &object, printed.entry(object["type"].as_str().unwrap().to_owned()).or_default());
        for entry in object["evidence"].as_array().into_iter().flatten() {
            missing_evidence(entry, &evidence, &mut missing);
        }
    }
    for kind in TYPES {
        assert!(printed.contains_key(kind), "no `{kind}` was printed");
    }
    for (kind, paths) in &printed {
        let known = documented(kind);
        missing.extend(
            paths.iter().filter(|path| !known.contains(path.as_str())).map(|path| format!("{kind}.{path}")),
        );
    }
    assert!(missing.is_empty(), "not in docs/JSON.md: {missing:#?}");
}

#[test]
fn no_field_is_documented_twice() {
    let kinds = TYPES.into_iter().chain(["map", "program", "nginx"]);
    for kind in kinds {
        let mut seen = BTreeSet::new();
        for (path, _) in rows(|heading| quoted(heading).any(|name| name == kind)) {
            assert!(seen.insert(path), "{kind}.{path}");
        }
        assert!(seen.contains("type"), "{kind}");
    }
}
