//! The last lines of a report of several recordings: each host in a row.

use super::model::ReportModel;
use crate::output::layout::TextLayout;
use crate::output::number::count;
use crate::output::table::{left, right};

/// Text for people.
pub(super) fn of(model: &ReportModel, page: TextLayout) -> String {
    let mut rows = Vec::new();
    for host in model.hosts() {
        let parts: Vec<_> = model.parts.iter().filter(|part| part.label == host).collect();
        let sum = |number: fn(&super::model::RecordingSummary) -> u64| {
            parts.iter().map(|part| number(part)).sum::<u64>()
        };
        let of_host = |problem: &&super::model::Problem| problem.hosts.get(host).copied().unwrap_or(0);
        let most = model.problems.iter().max_by_key(of_host).filter(|problem| of_host(problem) > 0);
        rows.push([
            count(sum(|part| part.attempts)),
            count(sum(|part| part.failures)),
            count(sum(|part| part.lost)),
            most.map_or_else(|| "-".to_owned(), |most| format!("{} at {}", most.cause, most.upstream)),
            host.to_owned(),
        ]);
    }
    let mut text = "\n".to_owned();
    let columns =
        [right("", "attempts"), right("", "failed"), right("", "lost"), left("mostly"), left("host")];
    page.table(&mut text, columns, &rows);
    text
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{story_of, two_hosts};
    use super::*;

    #[test]
    fn every_host_has_a_row() {
        let text = of(&story_of(&two_hosts()), TextLayout { width: 100, colour: false });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[2].contains("port-refused at 10.0.0.2:8080") && lines[2].ends_with("web1"), "{text}");
        assert!(lines[3].ends_with("web2"), "{text}");
    }
}
