//! Replays recordings of real faults and compares the verdicts with `fixtures/expected.json`. Needs no root.
//!
//! - `UPDATE_FIXTURES=1` rewrites the expectations; look at what changed before you commit it.
//! - `FIXTURES_FROM=FOLDER` takes the recordings anew from a run of the fault lab with `LAB_RECORD=FOLDER`, without
//!   what is particular to the host. To add one, `touch` it in `fixtures/` first, named as in that folder.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use upstream_trace_core::event::{Host, Upstream};
use upstream_trace_core::verdict::{Output, Summary, Verdict};
use upstream_trace_read::output::{Extra, Sink};
use upstream_trace_read::recording::{Ending, Reader};
use upstream_trace_read::report;

/// Largest recording, bytes.
const LARGEST: u64 = 20_000;
/// All of them together.
const LARGEST_SUM: u64 = 500_000;

/// What every host is called in these recordings.
const HOSTNAME: &str = "lab";

/// What each recording is expected to say, by its name.
type Expectations = BTreeMap<String, Vec<Value>>;

/// Keeps what is said, as far as it is compared.
#[derive(Default)]
struct Said {
    objects: Vec<Value>,
    kernel: String,
    hostname: String,
    failures: u64,
    summed: Option<u64>,
}

impl Sink for Said {
    fn start(&mut self, host: &Host) {
        self.kernel.clone_from(&host.kernel);
        self.hostname.clone_from(&host.hostname);
    }

    fn output(&mut self, output: &Output) {
        self.failures += u64::from(matches!(output, Output::Failure(_)));
        self.objects.push(object(output));
    }

    fn summary(&mut self, summary: &Summary, _extra: &Extra) {
        self.summed = Some(summary.failures);
    }
}

fn object(output: &Output) -> Value {
    match output {
        Output::Failure(verdict) => {
            let mut object = of_verdict("failure", verdict);
            object["recovered"] = verdict.recovered.into();
            object
        }
        Output::Pending(verdict) => of_verdict("pending", verdict),
        Output::Resolved(resolved) => {
            json!({"type": "resolved", "how": resolved.how, "upstream": text(resolved.upstream.as_ref())})
        }
        Output::Lost(lost) => json!({"type": "lost", "count": lost.count}),
        Output::Note(note) => json!({"type": "note", "text": note.text}),
    }
}

fn of_verdict(kind: &str, verdict: &Verdict) -> Value {
    let mut object = json!({
        "type": kind,
        "cause": verdict.cause,
        "confidence": verdict.confidence,
        "upstream": text(verdict.upstream.as_ref()),
        "phase": verdict.phase,
    });
    let details = &verdict.details;
    let groups: Vec<_> = details.names.iter().map(|name| name.group.as_str()).collect();
    let directives: Vec<_> =
        details.directives.iter().map(|set| format!("{} {}", set.name, set.value)).collect();
    for (name, all) in [("groups", json!(groups)), ("directives", json!(directives))] {
        if all != json!([]) {
            object[name] = all;
        }
    }
    if let Some(tries) = &details.tries {
        object["try"] = format!("{} of {}", tries.this + 1, tries.chain.len()).into();
    }
    object
}

fn text(upstream: Option<&Upstream>) -> Option<String> {
    upstream.map(Upstream::to_string)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Names of all recordings.
fn names() -> Vec<String> {
    let files =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.filter_map(|file| file.strip_suffix(".zst").map(str::to_owned)).collect();
    names.sort();
    names
}

fn path(name: &str) -> PathBuf {
    folder().join(format!("{name}.zst"))
}

#[test]
fn every_recording_says_what_is_expected() {
    if let Some(from) = env::var_os("FIXTURES_FROM") {
        take_anew(Path::new(&from));
    }
    let mut wrong = String::new();
    let mut found = Expectations::new();
    for name in names() {
        let mut said = Said::default();
        let mut reader = Reader::open(&path(&name)).unwrap();
        report::replay(&mut reader, &mut said);
        let complain = |wrong: &mut String, what: &str| writeln!(wrong, "{name}: {what}").unwrap();
        if !matches!(reader.ending(), Ending::Complete(_)) || reader.skipped().is_some() {
            complain(
                &mut wrong,
                &format!("not read to its end: {:?}, {:?}", reader.ending(), reader.skipped()),
            );
        }
        if said.summed != Some(said.failures) {
            complain(
                &mut wrong,
                &format!("{} failures, the summary counts {:?}", said.failures, said.summed),
            );
        }
        if !["", HOSTNAME].contains(&said.hostname.as_str()) {
            complain(&mut wrong, &format!("the name of a host, {}, is in it", said.hostname));
        }
        if !said.kernel.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            complain(&mut wrong, &format!("the name of a host's own kernel, {}, is in it", said.kernel));
        }
        found.insert(name, said.objects);
    }
    assert!(!found.is_empty(), "there are no recordings in {}", folder().display());
    if env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(folder().join("expected.json"), written(&found)).unwrap();
    } else {
        compare(&expectations(), &found, &mut wrong);
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn expectations() -> Expectations {
    let text = fs::read_to_string(folder().join("expected.json")).unwrap_or_else(|_| "{}".to_owned());
    serde_json::from_str(&text).unwrap()
}

fn compare(expected: &Expectations, found: &Expectations, wrong: &mut String) {
    for (name, found) in found {
        let Some(expected) = expected.get(name) else {
            writeln!(wrong, "{name}: nothing is expected of it; see the head of this test").unwrap();
            continue;
        };
        for index in 0..expected.len().max(found.len()) {
            let (expected, found) = (expected.get(index), found.get(index));
            if expected != found {
                let line = |object: Option<&Value>| object.map_or("nothing".to_owned(), Value::to_string);
                writeln!(
                    wrong,
                    "{name}: {index}:\n  expected {}\n  says     {}",
                    line(expected),
                    line(found)
                )
                .unwrap();
            }
        }
    }
    for name in expected.keys().filter(|name| !found.contains_key(*name)) {
        writeln!(wrong, "{name}: expected, and there is no such recording").unwrap();
    }
}

/// JSON with one object a line, for differences that can be read.
fn written(found: &Expectations) -> String {
    let list = |(name, objects): (&String, &Vec<Value>)| {
        let lines: Vec<_> = objects.iter().map(|object| format!("\n    {object}")).collect();
        let end = if lines.is_empty() { "]" } else { "\n  ]" };
        format!("  {}: [{}{end}", Value::from(name.as_str()), lines.join(","))
    };
    format!("{{\n{}\n}}\n", found.iter().map(list).collect::<Vec<_>>().join(",\n"))
}

#[test]
fn recordings_are_small() {
    let sizes: Vec<_> = names().iter().map(|name| fs::metadata(path(name)).unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size < LARGEST), "{sizes:?}");
    assert!(sizes.iter().sum::<u64>() < LARGEST_SUM, "{sizes:?}");
}

/// Takes every recording that has one of the same name there, without what is particular to the host.
fn take_anew(from: &Path) {
    for name in names() {
        let Ok(recording) = fs::read(from.join(format!("{name}.zst"))) else { continue };
        let text = String::from_utf8(zstd::decode_all(&*recording).unwrap()).unwrap();
        let lines: String = text.lines().map(|line| plain(line) + "\n").collect();
        fs::write(path(&name), zstd::encode_all(lines.as_bytes(), 19).unwrap()).unwrap();
    }
}

fn plain(line: &str) -> String {
    let line = without_control_group(&without_folder(line));
    let mut object: Map<String, Value> = serde_json::from_str(&line).unwrap();
    let Some(kernel) = object.get_mut("kernel").filter(|_| line.starts_with("{\"event\":\"host\"")) else {
        return line;
    };
    let number = kernel.as_str().unwrap_or_default().split(['-', '+']).next().unwrap_or_default();
    let version: Vec<_> = number.split('.').take(2).collect();
    *kernel = format!("{}.0", version.join(".")).into();
    object.insert("hostname".to_owned(), HOSTNAME.into());
    Value::Object(object).to_string()
}

/// Writes `/lab` for the path of a control group.
fn without_control_group(line: &str) -> String {
    const BEGIN: &str = r#"{"kind":"cgroup","name":""#;
    let mut parts = line.split(BEGIN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(BEGIN);
        text.push_str("/lab");
        text.push_str(part.trim_start_matches(|c| c != '"'));
    }
    text
}

/// Writes `/tmp/lab` for the folder of a world of the lab.
fn without_folder(line: &str) -> String {
    let begin = env::temp_dir().join("utl-").display().to_string();
    let mut parts = line.split(&begin);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("/tmp/lab");
        text.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-'));
    }
    text
}
