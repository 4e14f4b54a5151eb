//! The table scenario × kernel, as a page of the documentation.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::column::{COUNTS, Cell, Column, Found, NOT_RUN};

const HEAD: &str = "\
# Kernels

Made by `cargo xtask vm --write`: the fault lab on the kernels of Debian releases in emulated machines, of x86-64 and arm64,
and on the kernel of the machine that made it. Do not edit. Each column comes from one program, named by the first digits of
its SHA-256; columns of kernels on which nothing ran since stay as they were.

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

/// The whole page: a row for each of the lab's scenarios, and for each of which a column tells.
pub(super) fn page(columns: &[Column], scenarios: &BTreeSet<String>, found: &Found) -> String {
    let mut page = HEAD.to_owned();
    let told = columns.iter().flat_map(|column| column.scenarios.keys());
    let scenarios: BTreeSet<_> = scenarios.iter().chain(told).collect();
    let mut reasons: Vec<String> = Vec::new();
    let mut cells = |scenario: &String| -> Vec<String> {
        let cell = |column: &Column| {
            let cell = column.scenarios.get(scenario);
            cell.map_or_else(|| column.not_run(), |cell| with_number(cell, &mut reasons))
        };
        columns.iter().map(cell).collect()
    };
    let rows: Vec<_> = scenarios.into_iter().map(|scenario| (scenario, cells(scenario))).collect();
    head(&mut page, "", columns);
    for name in COUNTS {
        let count = |column: &Column| column.counts.get(name).cloned().unwrap_or_default();
        row(&mut page, name, columns.iter().map(count));
    }
    let not_run = |index: usize| rows.iter().filter(|(_, cells)| cells[index].starts_with(NOT_RUN)).count();
    row(&mut page, "not run", (0..columns.len()).map(|index| not_run(index).to_string()));
    page.push_str(CAUSES);
    head(&mut page, "cause", columns);
    let causes: BTreeSet<_> = columns.iter().flat_map(|column| column.causes.keys()).collect();
    for cause in causes {
        row(&mut page, cause, columns.iter().map(|column| column.how_sure(cause, found)));
    }
    page.push_str(SCENARIOS);
    head(&mut page, "scenario", columns);
    for (scenario, cells) in rows {
        row(&mut page, scenario, cells.into_iter());
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

fn with_number(cell: &Cell, reasons: &mut Vec<String>) -> String {
    let Some(because) = &cell.because else { return cell.text.clone() };
    let known = reasons.iter().position(|reason| reason == because);
    let number = known.unwrap_or_else(|| {
        reasons.push(because.clone());
        reasons.len() - 1
    });
    format!("{} ({})", cell.text, number + 1)
}

#[cfg(test)]
mod tests {
    use super::super::column::Ran;
    use super::super::results::Outcome;
    use super::*;

    fn page_of(ran: &[Ran], scenarios: &[&str]) -> String {
        let mut found = Found::new();
        for ran in ran {
            ran.find(&mut found);
        }
        let columns: Vec<_> = ran.iter().map(Ran::column).collect();
        page(&columns, &scenarios.iter().map(|name| (*name).to_owned()).collect(), &found)
    }

    fn ran(release: &str, lines: &[&str]) -> Ran {
        let outcomes = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        let named = outcomes.map(|outcome: Outcome| (outcome.scenario.clone(), outcome));
        Ran {
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
            .map(|(release, lines)| ran(release, &lines.iter().map(String::as_str).collect::<Vec<_>>()));
        let page = page_of(&[old, new], &[]);
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
        let old = ran(
            "5.10",
            &[
                r#"{"scenario":"no-route/none4","passed":true,"verdicts":[["no-route","likely"]],"complaints":[],"because":"No.","ran":true}"#,
                r#"{"scenario":"software/x","passed":true,"verdicts":[],"complaints":[],"because":"Needs x.","ran":false}"#,
            ],
        );
        let mut new = ran(
            "6.18",
            &[
                r#"{"scenario":"no-route/none4","passed":true,"verdicts":[["no-route","proven"]],"complaints":[],"because":null,"ran":true}"#,
                r#"{"scenario":"mixed/x","passed":false,"verdicts":[["path-lost","proven"]],"complaints":["?"],"because":null,"ran":true}"#,
            ],
        );
        (new.build, new.is_core) = ("b".to_owned(), true);
        let page = page_of(&[old, new], &["rungs/x"]);
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
