//! The table scenario × kernel, as a page of the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::results::Outcome;

/// A column: the kernel's release, and what became of the scenarios on it.
pub(super) type Column = (String, BTreeMap<String, Outcome>);

const HEAD: &str = "\
# Kernels

Made by `cargo xtask vm`: the fault lab on the kernels of Debian releases in virtual machines, and on the kernel of the
machine that made it. Do not edit.

Each cell is what the tool said: the confidence of the verdict that the scenario's name begins with, another verdict by
its name, or `unknown`. **failed** is a verdict or a detail that is not as it should be. An empty cell was not run.
A number points to the reason why that kernel cannot show all of it.

";

/// The whole page.
pub(super) fn page(columns: &[Column]) -> String {
    let mut page = HEAD.to_owned();
    let mut reasons: Vec<String> = Vec::new();
    let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let _infallible =
        writeln!(page, "| scenario | {} |\n|---{}|", names.join(" | "), "|---".repeat(names.len()));
    let scenarios: BTreeSet<_> = columns.iter().flat_map(|(_, outcomes)| outcomes.keys()).collect();
    for scenario in scenarios {
        let _infallible = write!(page, "| {scenario} |");
        for (_, outcomes) in columns {
            let cell = outcomes.get(scenario).map(|outcome| with_reason(outcome, &mut reasons));
            let _infallible = write!(page, " {} |", cell.unwrap_or_default());
        }
        page.push('\n');
    }
    page.push('\n');
    for (number, reason) in (1..).zip(&reasons) {
        let _infallible = writeln!(page, "{number}. {reason}");
    }
    page
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
