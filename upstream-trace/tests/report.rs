//! `upstream-trace report` as people call it. Needs no root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/port-refused-tcp4.zst");

/// A file with this in it, removed in the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("upstream-trace-{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _already_gone = fs::remove_file(&self.0);
    }
}

fn report(file: &Path, args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_upstream-trace");
    Command::new(program).arg("report").arg(file).args(args).output().unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_whole_recording() {
    let output = report(Path::new(FIXTURE), &["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let objects = objects(&output);
    let types: Vec<_> = objects.iter().map(|object| object["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["start", "failure", "summary"]);
    assert_eq!(objects[1]["cause"], "port-refused");
    assert_eq!(objects[2]["attempts"], 1);
    for field in ["overhead", "startup_ms", "rss_bytes"] {
        assert!(objects[2].get(field).is_none(), "{field} is not known from a recording");
    }
    assert!(!stderr(&output).contains("warning:"), "{}", stderr(&output));
    let people = report(Path::new(FIXTURE), &[]);
    assert!(String::from_utf8(people.stdout).unwrap().contains("port-refused"));
}

#[test]
fn plain_lines_and_a_cut() {
    let plain = zstd::decode_all(&*fs::read(FIXTURE).unwrap()).unwrap();
    let whole = Temporary::new("plain", &plain);
    assert_eq!(report(&whole.0, &["--json"]).stdout, report(Path::new(FIXTURE), &["--json"]).stdout);
    // Without its last line.
    let end = plain[..plain.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let line = plain[..end].split(|byte| *byte == b'\n').count();
    let cut = Temporary::new("cut", &plain[..end]);
    let output = report(&cut.0, &["--json"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(objects(&output)[1]["cause"], "port-refused");
    assert!(stderr(&output).contains(&format!("cut off at line {line}")), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_reported() {
    let newer = b"{\"recording\":\"upstream-trace\",\"version\":9,\"by\":\"9.0.0\"}\n";
    for (name, bytes, says) in [
        ("garbage", &b"no recording"[..], "it is no recording"),
        ("newer", newer, "9.0.0"),
        ("empty", b"", "it is empty"),
    ] {
        let file = Temporary::new(name, bytes);
        let output = report(&file.0, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{name}");
        let said = stderr(&output);
        assert!(said.contains(says) && said.contains(name) && said.lines().count() == 1, "{said}");
    }
    assert_eq!(report(Path::new("/no/such/file"), &[]).status.code(), Some(1));
}
