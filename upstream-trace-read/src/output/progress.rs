//! The line at the bottom of a terminal that says how a recording goes. Whatever else is written goes above it.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use terminal_size::{Width, terminal_size_of};
use textwrap::core::display_width;
use upstream_trace_core::event::Nanos;
use upstream_trace_core::verdict::{Output, Verdict};

use super::number::{count, plural};
use super::stream;

/// Causes that are named.
const NAMED: usize = 3;

/// To the begin of the line, and nothing on it.
const WIPE: &str = "\r\x1b[2K";

/// A process has one terminal, and that one line at its bottom; the trace, the writer of the recording and the log all
/// write to it.
static LINE: Mutex<Line> = Mutex::new(Line { text: String::new(), shown: false });

struct Line {
    text: String,
    shown: bool,
}

/// How a recording goes.
#[derive(Debug)]
pub struct Progress {
    begun: Nanos,
    failures: BTreeMap<&'static str, u64>,
    lost: u64,
}

impl Progress {
    /// For a terminal that can wipe a line; none otherwise.
    #[must_use]
    pub fn on_terminal(begun: Nanos) -> Option<Self> {
        let able = io::stderr().is_terminal() && env::var_os("TERM").is_some_and(|name| name != "dumb");
        able.then(|| Self::new(begun))
    }

    fn new(begun: Nanos) -> Self {
        Self { begun, failures: BTreeMap::new(), lost: 0 }
    }

    /// Counts what was said.
    pub fn count(&mut self, output: &Output) {
        match output {
            Output::Failure(Verdict { cause, .. }) => *self.failures.entry(cause).or_default() += 1,
            Output::Lost(lost) => self.lost += lost.count,
            _ => {}
        }
    }

    /// Shows the numbers as they are now. `written` counts bytes; none if the recording has ended before the trace.
    pub fn show(&self, now: Nanos, attempts: u64, written: Option<u64>) {
        let width = terminal_size_of(io::stderr()).map_or(80, |(Width(columns), _)| usize::from(columns));
        let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
        line.text = self.text(now, attempts, written, width.saturating_sub(1));
        line.draw();
    }

    /// `recording 0:42 · 1,234 attempts · 37 failed: port-refused 30, slow-response 7 · 0 lost · 12 kB`, as much of it
    /// as fits.
    fn text(&self, now: Nanos, attempts: u64, written: Option<u64>, width: usize) -> String {
        let seconds = now.saturating_sub(self.begun) / 1_000_000_000;
        let what = if written.is_some() { "recording" } else { "NOT recording any more" };
        let mut parts = vec![
            format!("{what} {}:{:02}", seconds / 60, seconds % 60),
            plural(attempts, "attempt"),
            self.failed(),
            format!("{} lost", count(self.lost)),
        ];
        parts.extend(written.map(size));
        // The middle says most, but what does not fit would break the line in two.
        while display_width(&parts.join(" · ")) > width && parts.len() > 1 {
            parts.pop();
        }
        parts.join(" · ")
    }

    fn failed(&self) -> String {
        let total = count(self.failures.values().sum());
        let mut causes: Vec<_> = self.failures.iter().collect();
        causes.sort_by_key(|(cause, count)| (std::cmp::Reverse(**count), **cause));
        let mut named: Vec<_> =
            causes.iter().take(NAMED).map(|(cause, number)| format!("{cause} {}", count(**number))).collect();
        let others = causes.len().saturating_sub(NAMED);
        if others > 0 {
            named.push(plural(others as u64, "more kind"));
        }
        if named.is_empty() {
            format!("{total} failed")
        } else {
            format!("{total} failed: {}", named.join(", "))
        }
    }
}

/// `812 B`, `12 kB`, `3.4 MB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

impl Line {
    fn draw(&mut self) {
        // Whoever looks may have gone.
        let _closed = write!(stream::stderr(), "{WIPE}{}", self.text);
        self.shown = true;
    }
}

/// Takes the line away: something else is about to be written.
pub fn clear() {
    let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    if line.shown {
        let _closed = write!(stream::stderr(), "{WIPE}");
        line.shown = false;
    }
}

/// Shows the line again, if it was taken away.
pub fn show_again() {
    let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    if !line.shown && !line.text.is_empty() {
        line.draw();
    }
}

/// Takes the line away for good.
pub fn end() {
    clear();
    LINE.lock().unwrap_or_else(PoisonError::into_inner).text.clear();
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BEGIN, SECOND, verdict};
    use super::*;

    fn progress() -> Progress {
        let mut progress = Progress::new(BEGIN);
        for cause in ["port-refused", "port-refused", "no-route", "slow-body", "slow-response"] {
            progress.count(&Output::Failure(Verdict { cause, ..verdict() }));
        }
        progress.count(&Output::Pending(verdict()));
        progress
    }

    #[test]
    fn what_it_says() {
        let text = |width| progress().text(BEGIN + 62 * SECOND, 1_234, Some(12_345), width);
        assert_eq!(
            text(200),
            "recording 1:02 · 1,234 attempts · 5 failed: port-refused 2, no-route 1, slow-body 1, 1 more kind · 0 lost · 12 kB"
        );
        assert_eq!(text(60), "recording 1:02 · 1,234 attempts");
        assert_eq!(text(5), "recording 1:02");
        let ended = progress().text(BEGIN, 0, None, 40);
        assert_eq!(ended, "NOT recording any more 0:00 · 0 attempts");
    }

    #[test]
    fn sizes() {
        assert_eq!([size(812), size(12_345), size(3_456_789)], ["812 B", "12 kB", "3.4 MB"]);
    }
}
