//! Reads the page of the table back, so that a kernel on which nothing was run since keeps its column.

use std::collections::BTreeMap;

use super::column::{CORE_ONLY, COUNTS, Cell, Column, NOT_RUN};

/// The columns of the page, as far as it can be understood.
pub(super) fn read(page: &str) -> Vec<Column> {
    let reasons = reasons(page);
    let mut columns: Vec<Column> = Vec::new();
    let mut table = "";
    for row in page.lines().filter_map(cells) {
        let [name, cells @ ..] = row.as_slice() else { continue };
        match *name {
            "" | "cause" | "scenario" => {
                table = name;
                if columns.is_empty() {
                    let named =
                        |release: &&str| Column { release: (*release).to_owned(), ..Column::default() };
                    columns = cells.iter().map(named).collect();
                }
            }
            name => {
                for (column, cell) in columns.iter_mut().zip(cells) {
                    keep(column, table, name, cell, &reasons);
                }
            }
        }
    }
    columns
}

/// What a cell says; what it says because nothing is known is found again when the page is made.
fn keep(column: &mut Column, table: &str, name: &str, cell: &str, reasons: &BTreeMap<usize, String>) {
    match table {
        "" if COUNTS.contains(&name) => {
            column.counts.insert(name.to_owned(), cell.to_owned());
        }
        "cause" if !cell.starts_with('*') => {
            column.causes.insert(name.to_owned(), cell.to_owned());
        }
        "scenario" if cell.starts_with(NOT_RUN) => column.is_core |= cell == CORE_ONLY,
        "scenario" => {
            column.scenarios.insert(name.to_owned(), with_reason(cell, reasons));
        }
        _ => {}
    }
}

/// The name of a row and what stands in it; none of another line.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    (!inner.starts_with('-')).then(|| inner.split('|').map(str::trim).collect())
}

/// `N. text` by N.
fn reasons(page: &str) -> BTreeMap<usize, String> {
    let reason = |line: &str| {
        let (number, text) = line.split_once(". ")?;
        Some((number.parse().ok()?, text.to_owned()))
    };
    page.lines().filter_map(reason).collect()
}

/// `text (N)`.
fn with_reason(cell: &str, reasons: &BTreeMap<usize, String>) -> Cell {
    let numbered = || {
        let (text, number) = cell.strip_suffix(')')?.rsplit_once(" (")?;
        let because = reasons.get(&number.parse().ok()?)?.clone();
        Some(Cell { text: text.to_owned(), because: Some(because) })
    };
    numbered().unwrap_or_else(|| Cell { text: cell.to_owned(), because: None })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::column::Found;
    use super::super::table::page;
    use super::*;

    #[test]
    fn what_is_read_back_gives_the_same_page() {
        let cell = |text: &str, because: Option<&str>| Cell {
            text: text.to_owned(),
            because: because.map(str::to_owned),
        };
        let text = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        let old = Column {
            release: "5.10.0-cloud-amd64".to_owned(),
            is_core: false,
            counts: COUNTS.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect(),
            causes: [("no-route", "proven, likely"), ("path-lost", "possible")].map(text).into(),
            scenarios: [
                ("no-route/a", cell("proven (of two)", Some("No."))),
                ("no-route/b", cell("*not here*", Some("Needs x."))),
                ("path-lost/a", cell("**failed**", None)),
            ]
            .map(|(name, cell)| (name.to_owned(), cell))
            .into(),
        };
        let mut new = old.clone();
        (new.release, new.is_core) = ("6.1.0-cloud-arm64".to_owned(), true);
        new.causes.remove("path-lost");
        new.scenarios.remove("path-lost/a");
        let columns = [old, new];
        let written = page(&columns, &BTreeSet::from(["rungs/x".to_owned()]), &Found::new());
        let again = read(&written);
        assert_eq!(again, columns);
        assert_eq!(page(&again, &BTreeSet::from(["rungs/x".to_owned()]), &Found::new()), written);
        assert!(written.contains("| path-lost | possible | *not run: core only* |"), "{written}");
    }

    #[test]
    fn another_file_has_no_columns() {
        for text in ["", "# Kernels\n\ntext | text\n", "|---|---|\n"] {
            assert_eq!(read(text), [], "{text}");
        }
    }
}
