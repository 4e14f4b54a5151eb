//! Which causes at which upstreams: the table.

use std::collections::BTreeMap;

use super::colours::Colours;
use super::problem::link;
use crate::output::number::count;
use crate::report::model::ReportModel;

/// Rows; the others are added up.
const ROWS: usize = 100;

/// The table.
pub(super) struct Matrix {
    pub(super) causes: Vec<(usize, &'static str)>,
    pub(super) rows: Vec<Row>,
    pub(super) sums: Vec<String>,
    pub(super) sum: String,
    pub(super) untold: usize,
}

/// An upstream.
pub(super) struct Row {
    pub(super) upstream: String,
    /// Count and link; none where nothing failed.
    pub(super) cells: Vec<Option<(String, String)>>,
    pub(super) sum: String,
}

impl Matrix {
    /// `None` if nothing failed.
    pub(super) fn of(model: &ReportModel, colours: &Colours) -> Option<Self> {
        let causes: Vec<_> = colours.causes.iter().map(|(cause, _)| (colours.place(cause), *cause)).collect();
        let mut rows = BTreeMap::<&str, BTreeMap<&str, u64>>::new();
        for problem in &model.problems {
            let cell = rows.entry(&problem.upstream).or_default().entry(problem.cause).or_default();
            *cell += problem.count + problem.pending;
        }
        let sum = |cells: &BTreeMap<&str, u64>| cells.values().sum::<u64>();
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by(|a, b| sum(&b.1).cmp(&sum(&a.1)).then(a.0.cmp(b.0)));
        let untold = rows.len().saturating_sub(ROWS);
        let of_cause = |cause: &str| rows.iter().filter_map(|(_, cells)| cells.get(cause)).sum::<u64>();
        let sums: Vec<_> = causes.iter().map(|(_, cause)| count(of_cause(cause))).collect();
        let all = count(rows.iter().map(|(_, cells)| sum(cells)).sum());
        let row = |(upstream, cells): &(&str, BTreeMap<&str, u64>)| Row {
            upstream: (*upstream).to_owned(),
            cells: (causes.iter())
                .map(|(_, cause)| cells.get(cause).map(|number| (count(*number), link(cause, upstream))))
                .collect(),
            sum: count(sum(cells)),
        };
        let rows: Vec<_> = rows.iter().take(ROWS).map(row).collect();
        (!rows.is_empty()).then_some(Self { causes, rows, sums, sum: all, untold })
    }
}
