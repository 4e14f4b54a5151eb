//! The table scenario × kernel, as a page of the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::results::Outcome;

/// What became of the scenarios on one kernel.
#[derive(Debug)]
pub(super) struct Column {
    /// The kernel's release.
    pub(super) release: String,
    /// Which program it was; see [`super::results::build`].
    pub(super) build: String,
    /// Only the core of the lab was meant to run there.
    pub(super) is_core: bool,
    pub(super) outcomes: BTreeMap<String, Outcome>,
}

impl Column {
    /// For a scenario that nobody has run there with this program.
    fn not_run(&self) -> String {
        if self.is_core { "*not run: core only*" } else { "*not run: time*" }.to_owned()
    }
}

const HEAD: &str = "\
# Kernels

Made by `cargo xtask vm --write`: the fault lab on the kernels of Debian releases in emulated machines, of x86-64 and arm64,
and on the kernel of the machine that made it. Do not edit. Each column comes from one program, named by the first digits of
its SHA-256.

";

const CAUSES: &str = "
## Causes

How sure the tool was of each cause, over all scenarios in which it found it. *not seen* were run there, or some of them
were, and showed another verdict.

";

const SCENARIOS: &str = "
## Scenarios

Each cell is what the tool said: the confidence of the verdict that the scenario's name begins with, another verdict by
its name, or `unknown`. **failed** is a verdict or a detail that is not as it should be. *not here* could not be run on that
machine. A number points to the reason why less was seen there, or to what the machine lacks. *not run: core only*: of
another architecture than this machine's only the core of the lab was run. *not run: time*: an emulated kernel takes an hour or
two for all of them, and more was not to be had.

";

/// From the surest on.
const CONFIDENCES: [&str; 3] = ["proven", "likely", "possible"];

/// The whole page: a row for each of the lab's scenarios.
pub(super) fn page(columns: &[Column], scenarios: &BTreeSet<String>) -> String {
    let mut page = HEAD.to_owned();
    let seen = columns.iter().flat_map(|column| column.outcomes.keys());
    let scenarios: BTreeSet<_> = scenarios.iter().chain(seen).collect();
    head(&mut page, "", columns);
    counts(&mut page, columns, scenarios.len());
    page.push_str(CAUSES);
    head(&mut page, "cause", columns);
    causes(&mut page, columns);
    page.push_str(SCENARIOS);
    head(&mut page, "scenario", columns);
    let mut reasons: Vec<String> = Vec::new();
    for scenario in scenarios {
        let cell = |column: &Column| {
            let shown = column.outcomes.get(scenario).map(|outcome| with_reason(outcome, &mut reasons));
            shown.unwrap_or_else(|| column.not_run())
        };
        row(&mut page, scenario, columns.iter().map(cell));
    }
    page.push('\n');
    for (number, reason) in (1..).zip(&reasons) {
        let _infallible = writeln!(page, "{number}. {reason}");
    }
    page
}

fn head(page: &mut String, what: &str, columns: &[Column]) {
    row(page, what, columns.iter().map(|column| column.release.clone()));
    let _infallible = writeln!(page, "|---{}|", "|---".repeat(columns.len()));
}

fn row(page: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let _infallible = writeln!(page, "| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
}

/// Which program, and how many scenarios ended how.
fn counts(page: &mut String, columns: &[Column], all: usize) {
    row(page, "program", columns.iter().map(|column| format!("`{}`", column.build)));
    let mut counted = |name: &str, is_so: fn(&Outcome) -> bool| {
        let count = |column: &Column| column.outcomes.values().filter(|one| is_so(one)).count().to_string();
        row(page, name, columns.iter().map(count));
    };
    counted("as expected", |one| one.ran && one.passed && one.because.is_none());
    counted("less was seen, see the numbers", |one| one.ran && one.passed && one.because.is_some());
    counted("failed", |one| !one.passed);
    counted("not here", |one| !one.ran);
    row(page, "not run", columns.iter().map(|column| (all - column.outcomes.len()).to_string()));
}

fn causes(page: &mut String, columns: &[Column]) {
    // Cause, then the scenarios that showed it somewhere.
    let mut shown: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for outcome in columns.iter().flat_map(|column| column.outcomes.values()) {
        for (cause, _) in outcome.right().filter(|(cause, _)| cause != "unknown") {
            shown.entry(cause).or_default().insert(&outcome.scenario);
        }
    }
    for (cause, scenarios) in shown {
        row(page, &cause, columns.iter().map(|column| how_sure(&cause, &scenarios, column)));
    }
}

/// A cell: how sure the tool was of this cause there, or why that is not known.
fn how_sure(cause: &str, scenarios: &BTreeSet<&str>, column: &Column) -> String {
    let outcomes = &column.outcomes;
    let verdicts: BTreeSet<_> = outcomes.values().flat_map(Outcome::right).collect();
    let found = |confidence: &&str| verdicts.contains(&(cause.to_owned(), (*confidence).to_owned()));
    let sure: Vec<_> = CONFIDENCES.into_iter().filter(found).collect();
    let ran = |name: &&str| outcomes.get(*name).is_some_and(|outcome| outcome.ran);
    match sure.is_empty() {
        false => sure.join(", "),
        true if scenarios.iter().any(ran) => "*not seen*".to_owned(),
        true if scenarios.iter().all(|name| outcomes.contains_key(*name)) => "*not here*".to_owned(),
        true => column.not_run(),
    }
}

fn with_reason(outcome: &Outcome, reasons: &mut Vec<String>) -> String {
    let Some(because) = &outcome.because else { return outcome.cell() };
    let known = reasons.iter().position(|reason| reason == because);
    let number = known.unwrap_or_else(|| {
        reasons.push(because.clone());
        reasons.len() - 1
    });
    format!("{} ({})", outcome.cell(), number + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Column, page};

    fn column(release: &str, lines: &[&str]) -> Column {
        let outcomes = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        let named = outcomes.map(|outcome: super::Outcome| (outcome.scenario.clone(), outcome));
        Column {
            release: release.to_owned(),
            build: "ba7816bf8f01".to_owned(),
            is_core: false,
            outcomes: named.collect(),
        }
    }

    #[test]
    fn a_cause_that_was_not_found_says_why() {
        let line = |scenario: &str, cause: &str, ran: bool| {
            format!(
                r#"{{"scenario":"{scenario}","passed":true,"verdicts":[["{cause}","proven"]],"complaints":[],"because":null,"ran":{ran}}}"#
            )
        };
        let new =
            [line("a/x", "no-route", true), line("b/x", "dns-failure", true), line("c/x", "path-lost", true)];
        let old = [line("a/x", "unknown", true), line("b/x", "unknown", false)];
        let [old, new] = [("5.10", &old[..]), ("6.18", &new[..])]
            .map(|(release, lines)| column(release, &lines.iter().map(String::as_str).collect::<Vec<_>>()));
        let page = page(&[old, new], &BTreeSet::new());
        for line in [
            "| no-route | *not seen* | proven |",
            "| dns-failure | *not here* | proven |",
            "| path-lost | *not run: time* | proven |",
        ] {
            assert!(page.lines().any(|one| one == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn a_page_counts_what_ran_and_gives_reasons() {
        let old = column(
            "5.10",
            &[
                r#"{"scenario":"no-route/none4","passed":true,"verdicts":[["no-route","likely"]],"complaints":[],"because":"No.","ran":true}"#,
                r#"{"scenario":"software/x","passed":true,"verdicts":[],"complaints":[],"because":"Needs x.","ran":false}"#,
            ],
        );
        let mut new = column(
            "6.18",
            &[
                r#"{"scenario":"no-route/none4","passed":true,"verdicts":[["no-route","proven"]],"complaints":[],"because":null,"ran":true}"#,
                r#"{"scenario":"mixed/x","passed":false,"verdicts":[["path-lost","proven"]],"complaints":["?"],"because":null,"ran":true}"#,
            ],
        );
        (new.build, new.is_core) = ("b".to_owned(), true);
        let page = page(&[old, new], &BTreeSet::from(["rungs/x".to_owned()]));
        for line in [
            "| program | `ba7816bf8f01` | `b` |",
            "| as expected | 0 | 1 |",
            "| less was seen, see the numbers | 1 | 0 |",
            "| failed | 0 | 1 |",
            "| not here | 1 | 0 |",
            "| not run | 2 | 2 |",
            "| no-route | likely | proven |",
            "| no-route/none4 | likely (1) | proven |",
            "| rungs/x | *not run: time* | *not run: core only* |",
            "| mixed/x | *not run: time* | **failed** |",
            "| software/x | *not here* (2) | *not run: core only* |",
            "1. No.",
            "2. Needs x.",
        ] {
            assert!(page.lines().any(|one| one == line), "{line} is not in\n{page}");
        }
        // The first cell of the head of the first table has no name.
        assert!(page.lines().all(|line| line.starts_with("|  |") || !line.contains("|  |")), "{page}");
        // A verdict of a scenario that failed says nothing of its cause.
        assert!(!page.contains("| path-lost |"), "{page}");
    }
}
