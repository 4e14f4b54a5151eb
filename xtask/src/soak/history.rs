//! All that was seen in a run, and what was disturbed when: kept in a file, so that it can be drawn again.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::looks::Look;
use super::schedule::{Part, Step};

/// Of one run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct History {
    pub(super) looks: Vec<Look>,
    pub(super) disturbances: Vec<Disturbance>,
    /// The tracer's last line; `null` until it ended.
    pub(super) summary: Value,
    /// The first failure of each cause and upstream that it told, to see whether it was right.
    #[serde(default)]
    pub(super) firsts: Vec<Value>,
    /// The first failures whose cause is none that the upstream has.
    #[serde(default)]
    pub(super) wrong: Vec<Value>,
}

/// From one moment to another something was not as it is else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Disturbance {
    pub(super) what: String,
    /// Since the traffic began, seconds.
    pub(super) from: f64,
    /// The same as `from` for what takes no time; `null` while it lasts.
    pub(super) to: Option<f64>,
}

impl History {
    /// Notes what was done.
    pub(super) fn note(&mut self, step: Step, seconds: f64) {
        let begins = |what: &str, to| Disturbance { what: what.to_owned(), from: seconds, to };
        match step {
            Step::Rotate { .. } => self.disturbances.push(begins("log rotation", Some(seconds))),
            Step::Away(part) => self.disturbances.push(begins(name(part), None)),
            Step::Back(part) => {
                let lasts = |one: &&mut Disturbance| one.what == name(part) && one.to.is_none();
                if let Some(one) = self.disturbances.iter_mut().rev().find(lasts) {
                    one.to = Some(seconds);
                }
            }
        }
    }

    /// Writes it.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_vec(self)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Reads it back.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no history of a soak", file.display()))
    }
}

/// Of a row of the plot.
fn name(part: Part) -> &'static str {
    match part {
        Part::FarOrigins => "far origins away",
        Part::NearOrigin => "near origin away",
        Part::NameServer => "name server away",
        Part::Scraper => "scraper away",
        Part::Receiver(_) => "receiver ill",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Receives;

    #[test]
    fn what_was_seen_is_read_back() {
        let mut history = History::default();
        history.looks.push(Look { seconds: 10.0, resident: 1 << 20, ..Look::default() });
        history.note(Step::Away(Part::Receiver(Receives::Busy)), 1.0);
        history.note(Step::Away(Part::Scraper), 2.0);
        history.note(Step::Rotate { copied: false }, 3.0);
        history.note(Step::Back(Part::Receiver(Receives::Busy)), 4.0);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("soak.json");
        history.write(&file).unwrap();
        let read = History::read(&file).unwrap();
        assert_eq!(read.disturbances, history.disturbances);
        let times: Vec<_> = read.disturbances.iter().map(|one| (one.from, one.to)).collect();
        assert_eq!(times, [(1.0, Some(4.0)), (2.0, None), (3.0, Some(3.0))]);
        assert_eq!((read.looks.len(), read.looks[0].resident), (1, 1 << 20));
        fs::write(&file, "{").unwrap();
        assert!(History::read(&file).is_err());
    }
}
