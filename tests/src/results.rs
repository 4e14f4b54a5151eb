//! What became of each scenario, for a table over several kernels: a line of JSON each, in the file that `LAB_RESULTS`
//! names.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::{Value, json};

/// Notes a scenario: what the tool said in it, and whether that is as it should be.
pub fn note(scenario: &str, said: &[Value], complaints: &[String], because: Option<&str>) {
    write(&json!({
        "scenario": scenario,
        "verdicts": said.iter().map(|value| json!([value["cause"], value["confidence"]])).collect::<Vec<_>>(),
        "passed": complaints.is_empty(),
        "complaints": complaints,
        "because": because,
        "ran": true,
    }));
}

/// Notes a scenario that cannot run on this machine, for want of a program or of something else.
pub fn not_run(scenario: &str, needed: &str) {
    write(&json!({
        "scenario": scenario,
        "verdicts": [],
        "passed": true,
        "complaints": [],
        "because": format!("Not run there: it needs {needed}."),
        "ran": false,
    }));
}

fn write(line: &Value) {
    let Some(path) = env::var_os("LAB_RESULTS") else { return };
    let file = OpenOptions::new().append(true).create(true).open(&path);
    let written = file.and_then(|mut file| writeln!(file, "{line}"));
    if let Err(error) = written {
        eprintln!("cannot write {}: {error}", path.display());
    }
}
