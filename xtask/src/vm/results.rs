//! What became of each scenario on each kernel: kept beside the kernel, so that a table can be made of several runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

use super::column::NOT_HERE;
use crate::sha256;

/// What became of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub(super) struct Outcome {
    pub(super) scenario: String,
    /// Whether it was as it should be, on that kernel.
    pub(super) passed: bool,
    /// Cause and confidence of each failure that the tool told of.
    verdicts: Vec<(String, String)>,
    /// What was not as it should be.
    pub(super) complaints: Vec<String>,
    /// Why this kernel cannot show all of it.
    pub(super) because: Option<String>,
    /// Whether it could run there at all.
    pub(super) ran: bool,
    /// Which program it was; none is one from before programs were noted.
    #[serde(default)]
    build: String,
}

impl Outcome {
    /// Causes with their confidences, if they are as they should be.
    pub(super) fn right(&self) -> impl Iterator<Item = (String, String)> {
        self.verdicts.iter().filter(|_| self.passed).cloned()
    }

    /// For a cell of a table: each cause once.
    pub(super) fn cell(&self) -> String {
        if !self.ran {
            return NOT_HERE.to_owned();
        }
        if !self.passed {
            return "**failed**".to_owned();
        }
        let cause = self.scenario.split('/').next().unwrap_or_default();
        let mut words: Vec<String> = Vec::new();
        for (verdict, confidence) in &self.verdicts {
            // The scenario's name says the cause; only another one is worth a word.
            let word = match verdict.as_str() {
                "unknown" => "unknown".to_owned(),
                verdict if verdict == cause => confidence.clone(),
                verdict => format!("{verdict} {confidence}"),
            };
            if !words.contains(&word) {
                words.push(word);
            }
        }
        if words.is_empty() { "nothing reported".to_owned() } else { words.join(", ") }
    }
}

/// Reads the lines that the lab wrote; of a scenario that was tried twice the second counts.
pub(super) fn read(file: &Path) -> Result<BTreeMap<String, Outcome>> {
    outcomes(file, |_| true)
}

/// The same of one build of the program alone.
pub(super) fn of_build(file: &Path, build: &str) -> Result<BTreeMap<String, Outcome>> {
    outcomes(file, |outcome| outcome.build == build)
}

fn outcomes(file: &Path, counts: impl Fn(&Outcome) -> bool) -> Result<BTreeMap<String, Outcome>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let whole = text.lines().filter_map(|line| serde_json::from_str::<Outcome>(line.trim()).ok());
    Ok(whole.filter(counts).map(|outcome| (outcome.scenario.clone(), outcome)).collect())
}

/// Names a program by its bytes: the first digits of their SHA-256.
pub(super) fn build(program: &Path) -> Result<String> {
    const DIGITS: usize = 12;
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    Ok(sha256::hex(&bytes).chars().take(DIGITS).collect())
}

/// Adds the lines of a run with this build to those of earlier runs, which had other scenarios perhaps.
pub(super) fn merge(run: &Path, all: &Path, build: &str) -> Result<()> {
    let text = fs::read_to_string(run).with_context(|| format!("cannot read {}", run.display()))?;
    let before = fs::read_to_string(all).unwrap_or_default();
    let named = text.lines().filter_map(|line| named(line.trim(), build));
    let lines: Vec<_> = before.lines().map(str::to_owned).chain(named).collect();
    fs::write(all, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", all.display()))
}

/// The line with the build in it; none if it is not whole.
fn named(line: &str, build: &str) -> Option<String> {
    serde_json::from_str::<Outcome>(line).ok()?;
    let mut object: Map<String, Value> = serde_json::from_str(line).ok()?;
    object.insert("build".to_owned(), build.into());
    serde_json::to_string(&object).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Outcome, build, merge, of_build};

    #[test]
    fn outcomes_of_another_build_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (run, all) = (folder.path().join("run"), folder.path().join("all"));
        let line = |scenario: &str| {
            format!(
                r#"{{"scenario":"{scenario}","passed":true,"verdicts":[],"complaints":[],"because":null,"ran":true}}"#
            )
        };
        // From before builds were noted.
        fs::write(&all, line("old/x") + "\n").unwrap();
        for (name, scenarios) in [("one", ["a/x", "b/x"]), ("two", ["b/x", "c/x"])] {
            let [first, second] = scenarios.map(line);
            fs::write(&run, format!("{first}\r\n{second}\n{{\"scenario\":\"cut")).unwrap();
            merge(&run, &all, name).unwrap();
        }
        let of = |build| of_build(&all, build).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(of("two"), ["b/x", "c/x"]);
        assert_eq!(of("one"), ["a/x", "b/x"]);
        assert_eq!(of("three"), [""; 0]);
    }

    #[test]
    fn programs_are_told_apart_by_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let name = |content: &str| {
            let file = folder.path().join("program");
            fs::write(&file, content).unwrap();
            build(&file).unwrap()
        };
        assert_eq!(name("abc"), "ba7816bf8f01");
        assert_ne!(name("abd"), name("abc"));
    }

    #[test]
    fn a_cell_says_how_sure_it_is() {
        let outcome = |scenario: &str, passed, verdicts: &[(&str, &str)]| Outcome {
            scenario: scenario.to_owned(),
            passed,
            verdicts: verdicts.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            complaints: Vec::new(),
            because: None,
            ran: true,
            build: String::new(),
        };
        let refused = ("port-refused", "proven");
        assert_eq!(outcome("port-refused/tcp4", true, &[refused, refused]).cell(), "proven");
        assert_eq!(outcome("log/refused", true, &[refused]).cell(), "port-refused proven");
        assert_eq!(outcome("path-lost/x", true, &[("unknown", "possible")]).cell(), "unknown");
        assert_eq!(outcome("healthy/x", true, &[]).cell(), "nothing reported");
        assert_eq!(outcome("port-refused/tcp4", false, &[refused]).cell(), "**failed**");
        let not_run = Outcome { ran: false, ..outcome("software/x", true, &[]) };
        assert_eq!(not_run.cell(), "*not here*");
    }
}
