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
    reports(&[file], args)
}

fn reports(files: &[&Path], args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_upstream-trace-read");
    Command::new(program).arg("report").args(files).args(args).output().unwrap()
}

/// The recording of another fault.
fn fixture(name: &str) -> PathBuf {
    Path::new(FIXTURE).with_file_name(format!("{name}.zst"))
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
    for field in ["overhead", "startup_ms", "rss_bytes", "accounts"] {
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
        ("garbage", &b"no recording"[..], "not a recording"),
        ("newer", newer, "9.0.0"),
        ("empty", b"", "empty"),
    ] {
        let file = Temporary::new(name, bytes);
        let output = report(&file.0, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{name}");
        let said = stderr(&output);
        assert!(said.contains(says) && said.contains(name) && said.lines().count() == 1, "{said}");
    }
    assert_eq!(report(Path::new("/no/such/file"), &[]).status.code(), Some(1));
}

#[test]
fn several_recordings_by_host() {
    let (one, two) = (fixture("port-refused-tcp4"), fixture("slow-response-tcp4"));
    let objects = objects(&reports(&[&one, &two], &["--json"]));
    let of = |kind: &str| objects.iter().filter(|object| object["type"] == kind).collect::<Vec<_>>();
    assert_eq!((of("start").len(), of("failure").len(), of("summary").len()), (2, 2, 2));
    // Recorded before recordings had the name of the host: then the file names it.
    assert_eq!(of("failure")[0]["host"], "port-refused-tcp4.zst");
    assert_eq!(of("summary")[1]["host"], "slow-response-tcp4.zst");
    let text = String::from_utf8(reports(&[&one, &two], &[]).stdout).unwrap();
    assert!(text.starts_with("== port-refused-tcp4.zst"), "{text}");
    assert!(text.trim_end().lines().last().is_some_and(|line| line.contains("slow-response")), "{text}");
    // Half a report helps nobody.
    let output = reports(&[&one, Path::new("/no/such/file")], &["--json"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn a_summary_to_paste() {
    let output = reports(&[&fixture("firewall-drop-local-output4")], &["--markdown"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("**1 of 1 attempt to reach an upstream failed** on "), "{text}");
    assert!(text.contains("1. **firewall-drop-local** at `10.99.0.2:8081` (once, proven)"), "{text}");
    assert!(text.lines().count() < 12, "{text}");
}

#[test]
fn a_page_is_written_beside_or_instead_of_lines() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report.html");
    let html = out.to_str().unwrap();
    let output = report(Path::new(FIXTURE), &["--html", html]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    assert!(stderr(&output).contains(&format!("wrote {html}")));
    let page = fs::read_to_string(&out).unwrap();
    assert!(page.contains("port-refused") && page.contains("</html>"));
    let output = report(Path::new(FIXTURE), &["--html", html, "--json"]);
    assert_eq!(objects(&output).len(), 3);
    assert_eq!(fs::read_to_string(&out).unwrap(), page, "the same recording, the same page");
    fs::write(&out, "precious").unwrap();
    let output = report(Path::new(FIXTURE), &["--html", html]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("no HTML report"));
    assert_eq!(fs::read_to_string(&out).unwrap(), "precious");
}

/// Whoever has the recording reads the same, whatever the machine.
#[test]
fn every_report_is_the_same_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let said = |file: &Path, args: &[&str], variables: [(&str, &str); 4]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_upstream-trace-read"));
        command.arg("report").arg(file).args(args).envs(variables).current_dir(folder.path());
        command.output().unwrap().stdout
    };
    let files =
        fs::read_dir(Path::new(FIXTURE).parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "zst")) {
        for args in [&["--json"][..], &["--markdown"]] {
            let here = [("TZ", "UTC"), ("LANG", "C"), ("COLUMNS", "80"), ("NO_COLOR", "1")];
            let there =
                [("TZ", "Asia/Tokyo"), ("LANG", "tr_TR.UTF-8"), ("COLUMNS", "40"), ("CLICOLOR_FORCE", "1")];
            let (here, there) = (said(&file, args, here), said(&file, args, there));
            assert!(!here.is_empty() && here == there, "{} {args:?}", file.display());
        }
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_reader_that_left_is_none() {
    let program = env!("CARGO_BIN_EXE_upstream-trace-read");
    for args in [&[][..], &["--json"], &["--markdown"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output =
            Command::new(program).arg("report").arg(FIXTURE).args(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(
            stderr(&output).contains("upstream-trace: cannot write the output: No space"),
            "{}",
            stderr(&output)
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output =
            Command::new(program).arg("report").arg(FIXTURE).args(args).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    }
}

/// All fixtures.
fn fixtures() -> Vec<PathBuf> {
    let files =
        fs::read_dir(Path::new(FIXTURE).parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|kind| kind == "zst")).collect()
}

/// Without what redaction may change: nginx's words, names of its configuration, and what tells of either.
fn bare(mut object: Value) -> Value {
    let Some(fields) = object.as_object_mut() else { return object };
    // Advice may name a group, the place where a timeout is set, and what could not be resolved.
    for field in ["fix", "log", "name", "summary", "hostname", "group", "groups", "peer", "passes"] {
        fields.remove(field);
    }
    for list in ["by_cause", "upstreams", "directives"] {
        let rows = fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for row in rows.filter_map(Value::as_object_mut) {
            row.retain(|field, _| field != "group" && field != "places");
        }
    }
    if let Some(evidence) = fields.get_mut("evidence").and_then(Value::as_array_mut) {
        for seen in evidence.iter_mut().filter_map(Value::as_object_mut) {
            seen.retain(|field, _| {
                !["message", "name", "head", "command", "runs_in"].contains(&field.as_str())
            });
        }
    }
    object
}

#[test]
fn redaction_changes_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    for file in fixtures() {
        let plain = objects(&report(&file, &["--json"]));
        let redacted = report(&file, &["--json", "--redact"]);
        let both = plain.into_iter().zip(objects(&redacted)).filter(|(a, _)| a["type"] != "note");
        for (plain, redacted) in both {
            assert_eq!(bare(plain), bare(redacted), "{}", file.display());
        }
        let copy = folder.path().join(file.file_name().unwrap());
        let program = env!("CARGO_BIN_EXE_upstream-trace-read");
        let output = Command::new(program).arg("redact").args([&file, &copy]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(report(&copy, &["--json"]).stdout, redacted.stdout, "{}", file.display());
        let again = Command::new(program).arg("redact").args([&file, &copy]).output().unwrap();
        assert_eq!(again.status.code(), Some(1), "what is there is not overwritten");
    }
}
