//! A column of the table: what the tool said on one kernel, in words.

use std::collections::{BTreeMap, BTreeSet};

use super::results::Outcome;

/// What became of the scenarios on one kernel.
#[derive(Debug)]
pub(super) struct Ran {
    /// The kernel's release.
    pub(super) release: String,
    /// Which program it was; see [`super::results::build`].
    pub(super) build: String,
    /// Only the core of the lab was meant to run there.
    pub(super) is_core: bool,
    pub(super) outcomes: BTreeMap<String, Outcome>,
}

/// The same in words. Where there is no cell nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Column {
    /// The kernel's release.
    pub(super) release: String,
    /// Only the core of the lab was meant to run there.
    pub(super) is_core: bool,
    /// By their names in [`COUNTS`].
    pub(super) counts: BTreeMap<String, String>,
    /// How sure the tool was of each cause that it found.
    pub(super) causes: BTreeMap<String, String>,
    pub(super) scenarios: BTreeMap<String, Cell>,
}

/// What the tool said in a scenario, and why it was less than elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) because: Option<String>,
}

/// Scenarios in which a cause was found, on any kernel.
pub(super) type Found = BTreeMap<String, BTreeSet<String>>;

/// Which program it was, and how many scenarios ended how.
pub(super) const COUNTS: [&str; 5] =
    ["program", "as expected", "less was seen, see the numbers", "failed", "not here"];

/// For a scenario that could not be run on that machine.
pub(super) const NOT_HERE: &str = "*not here*";
/// For a scenario that nobody has run with this program.
pub(super) const NOT_RUN: &str = "*not run: ";
/// The same where only the core was meant to run.
pub(super) const CORE_ONLY: &str = "*not run: core only*";

/// From the surest on.
const CONFIDENCES: [&str; 3] = ["proven", "likely", "possible"];

impl Ran {
    /// In words.
    pub(super) fn column(&self) -> Column {
        let all = || self.outcomes.values();
        let verdicts: BTreeSet<_> = all().flat_map(Outcome::right).collect();
        let causes: BTreeSet<_> = verdicts.iter().map(|(cause, _)| cause.clone()).collect();
        let how_sure = |cause: String| {
            let is_found = |one: &&str| verdicts.contains(&(cause.clone(), (*one).to_owned()));
            let sure: Vec<_> = CONFIDENCES.into_iter().filter(is_found).collect();
            (cause, sure.join(", "))
        };
        let cell = |one: &Outcome| Cell { text: one.cell(), because: one.because.clone() };
        let count = |is_so: fn(&Outcome) -> bool| all().filter(|one| is_so(one)).count().to_string();
        let counts = [
            format!("`{}`", self.build),
            count(|one| one.ran && one.passed && one.because.is_none()),
            count(|one| one.ran && one.passed && one.because.is_some()),
            count(|one| !one.passed),
            count(|one| !one.ran),
        ];
        Column {
            release: self.release.clone(),
            is_core: self.is_core,
            counts: COUNTS.map(str::to_owned).into_iter().zip(counts).collect(),
            causes: causes.into_iter().filter(|cause| cause != "unknown").map(how_sure).collect(),
            scenarios: self.outcomes.iter().map(|(name, one)| (name.clone(), cell(one))).collect(),
        }
    }

    /// Notes what was found in which scenario.
    pub(super) fn find(&self, found: &mut Found) {
        for outcome in self.outcomes.values() {
            for (cause, _) in outcome.right() {
                found.entry(cause).or_default().insert(outcome.scenario.clone());
            }
        }
    }
}

impl Column {
    /// For a scenario that nobody has run there with this program.
    pub(super) fn not_run(&self) -> String {
        if self.is_core { CORE_ONLY.to_owned() } else { format!("{NOT_RUN}time*") }
    }

    /// Whether a scenario could run there; none if nobody has tried.
    fn ran(&self, scenario: &str) -> Option<bool> {
        self.scenarios.get(scenario).map(|cell| cell.text != NOT_HERE)
    }

    /// How sure the tool was of this cause there, or why that is not known. Where it is not known which scenarios show it, those
    /// that are called so do.
    pub(super) fn how_sure(&self, cause: &str, found: &Found) -> String {
        if let Some(sure) = self.causes.get(cause) {
            return sure.clone();
        }
        let named = || self.scenarios.keys().filter(|name| name.split('/').next() == Some(cause)).cloned();
        let scenarios = found.get(cause).cloned().unwrap_or_else(|| named().collect());
        if scenarios.iter().any(|name| self.ran(name) == Some(true)) {
            "*not seen*".to_owned()
        } else if !scenarios.is_empty() && scenarios.iter().all(|name| self.ran(name).is_some()) {
            NOT_HERE.to_owned()
        } else {
            self.not_run()
        }
    }
}
