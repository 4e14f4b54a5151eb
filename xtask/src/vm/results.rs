//! What became of each scenario on each kernel: kept beside the kernel, so that a table can be made of several runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

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
}

impl Outcome {
    /// Causes with their confidences, if they are as they should be.
    pub(super) fn right(&self) -> impl Iterator<Item = (String, String)> {
        self.verdicts.iter().filter(|_| self.passed).cloned()
    }

    /// For a cell of a table: each cause once.
    pub(super) fn cell(&self) -> String {
        if !self.ran {
            return "*not here*".to_owned();
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
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let outcomes = text.lines().filter_map(|line| serde_json::from_str::<Outcome>(line.trim()).ok());
    Ok(outcomes.map(|outcome| (outcome.scenario.clone(), outcome)).collect())
}

/// Adds the lines of a run to those of earlier runs, which had other scenarios perhaps.
pub(super) fn merge(run: &Path, all: &Path) -> Result<()> {
    let text = fs::read_to_string(run).with_context(|| format!("cannot read {}", run.display()))?;
    let whole = text.lines().map(str::trim).filter(|line| serde_json::from_str::<Outcome>(line).is_ok());
    let before = fs::read_to_string(all).unwrap_or_default();
    let lines: Vec<_> = before.lines().chain(whole).collect();
    fs::write(all, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", all.display()))
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn a_cell_says_how_sure_it_is() {
        let outcome = |scenario: &str, passed, verdicts: &[(&str, &str)]| Outcome {
            scenario: scenario.to_owned(),
            passed,
            verdicts: verdicts.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            complaints: Vec::new(),
            because: None,
            ran: true,
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
