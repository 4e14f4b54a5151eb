//! What an earlier release recorded is read by this one, to its end, and says what it said.
//!
//! `recordings/RELEASE` holds recordings as that release wrote them, and in `causes.json` what each said. Neither is ever
//! rewritten; a release adds a folder. The form is version 1 in all of them (`recording/mod.rs`): the ones of 0.1.0 that
//! have no `ticks` in their first line are from before that was added to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use upstream_trace_core::event::{Event, Host};
use upstream_trace_core::verdict::{Output, Summary};
use upstream_trace_read::output::{Extra, Sink};
use upstream_trace_read::recording::{Ending, Reader};
use upstream_trace_read::report;

/// Kinds of events that there were in each release.
const KINDS: [(&str, &[&str]); 1] = [(
    "0.1.0",
    &[
        "host",
        "process",
        "trouble",
        "end",
        "connect-error",
        "drop",
        "reset-sent",
        "origin-exit",
        "retry-started",
        "retry-answered",
        "answered",
        "enrichment",
        "rules",
        "config",
        "log",
        "log-followed",
        "upstream",
        "tick",
    ],
)];

#[derive(Default)]
struct Heard {
    kinds: BTreeSet<String>,
    causes: Vec<String>,
    summed: bool,
}

impl Sink for Heard {
    fn start(&mut self, _host: &Host) {}

    fn event(&mut self, event: &Event) {
        let event = serde_json::to_value(event).unwrap();
        self.kinds.insert(event["event"].as_str().unwrap().to_owned());
    }

    fn output(&mut self, output: &Output) {
        if let Output::Failure(verdict) = output {
            self.causes.push(verdict.cause.to_owned());
        }
    }

    fn summary(&mut self, _summary: &Summary, _extra: &Extra) {
        self.summed = true;
    }
}

fn folder(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(release)
}

#[test]
fn every_release_is_read() {
    for (release, kinds) in KINDS {
        let said = fs::read_to_string(folder(release).join("causes.json")).unwrap();
        let said: BTreeMap<String, Vec<String>> = serde_json::from_str(&said).unwrap();
        assert!(said.len() > 10, "{release}");
        let mut met = BTreeSet::new();
        for (name, causes) in &said {
            let path = folder(release).join(format!("{name}.zst"));
            let mut reader = Reader::open(&path).unwrap();
            let mut heard = Heard::default();
            report::replay(&mut reader, &mut heard);
            assert!(matches!(reader.ending(), Ending::Complete(_)), "{name}: {:?}", reader.ending());
            assert_eq!(reader.skipped(), None, "{name}");
            assert_eq!((&heard.causes, heard.summed), (causes, true), "{name}");
            met.extend(heard.kinds);
        }
        let kinds: BTreeSet<_> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        assert_eq!(met, kinds, "{release}: kinds of events that its recordings hold");
    }
}

#[test]
fn every_recording_is_of_its_release_and_of_the_form_that_is_known() {
    for (release, _) in KINDS {
        let files = fs::read_dir(folder(release)).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "zst")) {
            let text = zstd::decode_all(&*fs::read(&file).unwrap()).unwrap();
            let first = text.split(|byte| *byte == b'\n').next().unwrap();
            let header: Value = serde_json::from_slice(first).unwrap();
            assert_eq!(
                (&header["version"], &header["by"]),
                (&1.into(), &release.into()),
                "{}",
                file.display()
            );
        }
    }
}
