//! The table of scenarios: what nginx said, and what the tool made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::Value;

const BEGIN: &str = "# Scenarios of the fault lab

Made by `cargo xtask test --table`, from a run of the fault lab; not to be edited. Each scenario provokes a real fault at
a real nginx. *nginx says* is what stands in its error.log (and all that its user has to go by); the verdict is the
tool's, with its confidence.

| scenario | nginx says | verdict | confidence |
|---|---|---|---|
";

/// What was seen in a scenario.
#[derive(Debug, Default)]
pub(crate) struct Row {
    words: BTreeSet<String>,
    verdicts: BTreeSet<(String, String)>,
}

static ROWS: Mutex<BTreeMap<String, Row>> = Mutex::new(BTreeMap::new());

/// Where the table is to be written, if it is.
fn wanted() -> Option<PathBuf> {
    env::var_os("LAB_TABLE").map(PathBuf::from)
}

impl Row {
    /// What nginx wrote.
    pub(crate) fn nginx(&mut self, log: &str) {
        self.words.extend(log.lines().filter_map(words));
    }

    /// A failure that the tool reported.
    pub(crate) fn failure(&mut self, failure: &Value) {
        let text = |field: &str| failure[field].as_str().unwrap_or_default().to_owned();
        self.verdicts.insert((text("cause"), text("confidence")));
    }

    /// The scenario passed.
    pub(crate) fn keep(self, scenario: &str) {
        if wanted().is_some() {
            ROWS.lock().unwrap_or_else(PoisonError::into_inner).insert(scenario.to_owned(), self);
        }
    }
}

/// Writes the table, in this order of scenarios, and names those that failed or were left out in this run.
pub fn write<'a>(scenarios: impl Iterator<Item = &'a str>) -> Result<()> {
    let Some(path) = wanted() else { return Ok(()) };
    let rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = BEGIN.to_owned();
    let mut without = Vec::new();
    for name in scenarios {
        match rows.get(name) {
            Some(row) => drop(writeln!(text, "{}", line(name, row))),
            None => without.push(name),
        }
    }
    if !without.is_empty() {
        let _infallible = writeln!(text, "\nFailed or left out in this run: {}.", without.join(", "));
    }
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

fn line(name: &str, row: &Row) -> String {
    let join = |parts: Vec<&str>| if parts.is_empty() { "–".to_owned() } else { parts.join("<br>") };
    let words = join(row.words.iter().map(String::as_str).collect());
    let causes = join(row.verdicts.iter().map(|(cause, _)| cause.as_str()).collect());
    let sure = join(row.verdicts.iter().map(|(_, sure)| sure.as_str()).collect());
    format!("| {name} | {words} | {causes} | {sure} |")
}

/// nginx's message in a line, without what is different in every run, safe in a table.
fn words(line: &str) -> Option<String> {
    let (level, rest) = line.get(19..)?.strip_prefix(" [")?.split_once("] ")?;
    if !matches!(level, "error" | "crit" | "alert" | "emerg") {
        return None;
    }
    let (_, message) = rest.split_once(": ")?;
    let message = match message.strip_prefix('*').and_then(|rest| rest.split_once(' ')) {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => message,
    };
    let message = message.split(", client: ").next().unwrap_or(message);
    let mut words = Vec::new();
    for word in message.split(' ') {
        words.push(match word.find("/utl-") {
            // The folder of the world has a number.
            Some(at) => {
                let path = &word[at + 1..];
                let from = word[..at].rfind([':', '"', '(']).map_or(0, |colon| colon + 1);
                format!("{}.../{}", &word[..from], path.split_once('/').map_or("", |(_, rest)| rest))
            }
            None => word.to_owned(),
        });
    }
    let mut text = words.join(" ");
    if let Some((end, _)) = text.char_indices().nth(160) {
        text.truncate(end);
        text.push_str("...");
    }
    let safe = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>();
    Some(format!("`{}`", safe.replace('`', "'").replace('|', "\\|")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_what_changes() {
        let line = "2026/11/24 15:25:37 [crit] 3783#3783: *3 connect() to unix:/tmp/utl-1-2/app.sock failed (2: No such \
                    file or directory) while connecting to upstream, client: 127.0.0.1, server: ";
        let said = "`connect() to unix:.../app.sock failed (2: No such file or directory) while connecting to upstream`";
        assert_eq!(words(line).as_deref(), Some(said));
        assert_eq!(words("2026/11/24 15:25:37 [notice] 1#1: start"), None);
        assert_eq!(words("no line"), None);
    }

    #[test]
    fn a_line_of_the_table() {
        let mut row = Row::default();
        assert_eq!(line("a/b", &row), "| a/b | – | – | – |");
        for cause in ["b", "a", "b"] {
            row.failure(&serde_json::json!({"cause": cause, "confidence": "likely"}));
        }
        assert_eq!(line("a/b", &row), "| a/b | – | a<br>b | likely<br>likely |");
    }
}
