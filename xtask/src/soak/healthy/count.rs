//! What nginx itself says of the requests: its access log, counted by kind, and the bad lines of its error log.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::kinds::RENAMED;

/// The client left.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// Levels of the error log that a healthy world does not reach.
const BAD: [&str; 4] = ["[error]", "[crit]", "[alert]", "[emerg]"];

/// A bad line that is none: nobody waits any more for the name, because the client left.
const HARMLESS: &str = "unexpected DNS response for ";

/// Requests of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) answered: u64,
    pub(super) left: u64,
    /// With an error status, of nginx or of an origin.
    pub(super) wrong: u64,
}

/// An access log that is read while it grows.
pub(super) struct Count {
    log: BufReader<File>,
    /// The begin of a line whose end is not written yet.
    rest: String,
    pub(super) kinds: BTreeMap<String, Tally>,
}

impl Count {
    /// Of this file.
    pub(super) fn of(file: &Path) -> Result<Self> {
        let log = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self { log: BufReader::new(log), rest: String::new(), kinds: BTreeMap::new() })
    }

    /// Reads what was added.
    pub(super) fn read(&mut self) -> Result<()> {
        while self.log.read_line(&mut self.rest)? > 0 {
            if self.rest.ends_with('\n') {
                self.add();
                self.rest.clear();
            }
        }
        Ok(())
    }

    /// Kind and parameters, status, statuses of the upstreams.
    fn add(&mut self) {
        let mut words = self.rest.split_whitespace();
        let uri = words.next().unwrap_or_default().trim_start_matches('/');
        let kind = uri.split('/').next().unwrap_or_default();
        let kind = RENAMED.iter().find(|(other, _)| *other == kind).map_or(kind, |(_, name)| name);
        let statuses: Vec<u16> = words.filter_map(|word| word.trim_end_matches(',').parse().ok()).collect();
        let tally = self.kinds.entry(kind.to_owned()).or_default();
        match statuses.first() {
            _ if statuses.iter().any(|status| *status >= 500) => tally.wrong += 1,
            Some(&CLIENT_CLOSED_REQUEST) => tally.left += 1,
            _ => tally.answered += 1,
        }
    }

    /// Those of this kind.
    pub(super) fn kind(&self, name: &str) -> Tally {
        self.kinds.get(name).copied().unwrap_or_default()
    }
}

/// Lines of an error log that say that something is wrong.
pub(super) fn complaints(log: &Path) -> Vec<String> {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let is_bad = |line: &&str| BAD.iter().any(|level| line.contains(level)) && !line.contains(HARMLESS);
    text.lines().filter(is_bad).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::sandbox::Files;

    #[test]
    fn lines_are_counted_by_kind() {
        let files = Files::new("ut-healthy-count-test").unwrap();
        let path = files.0.join("access.log");
        let mut log = File::create(&path).unwrap();
        let mut count = Count::of(&path).unwrap();
        log.write_all(b"/kept 200 200\n/redirected/1 200 200\n/kept 499 -\n/kept 200 502, 200\n/ke").unwrap();
        count.read().unwrap();
        assert_eq!(count.kind("kept"), Tally { answered: 1, left: 1, wrong: 1 });
        assert_eq!(count.kind("accel"), Tally { answered: 1, left: 0, wrong: 0 });
        log.write_all(b"pt 504 504\n").unwrap();
        count.read().unwrap();
        assert_eq!(count.kind("kept"), Tally { answered: 1, left: 1, wrong: 2 });
        assert_eq!(count.kind("other"), Tally::default());
    }

    #[test]
    fn bad_lines() {
        let files = Files::new("ut-healthy-complaints-test").unwrap();
        let path = files.0.join("error.log");
        fs::write(&path, "1 [info] a client left\n2 [error] upstream\n3 [warn] buffered\n4 [error] unexpected DNS response for x\n").unwrap();
        assert_eq!(complaints(&path), ["2 [error] upstream"]);
    }
}
