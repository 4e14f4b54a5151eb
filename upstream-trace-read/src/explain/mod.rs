//! What the causes mean: all of them in a list, or one of them at length.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use upstream_trace_core::cause::{self, CAUSES, Cause};

use crate::args;
use crate::output;
use crate::output::layout::{BOLD, CYAN, DIM, TextLayout, nbsp_commands};

/// What the reasons mean, by number; the proxy itself comes last.
const REASONS: [(u8, &str); 7] = [
    (1, "high load on the origin server"),
    (2, "the origin's service is down"),
    (3, "a firewall or access rule blocks the connection"),
    (4, "the path: DNS, routing, neighbours, loss"),
    (5, "a timeout on one side is shorter than the work on the other"),
    (6, "the application broke the exchange"),
    (0, "the nginx host or its configuration ran out or is wrong"),
];

/// Ids that an error names at most.
const NAMED: usize = 3;
/// An id that is less alike than this is no typing error.
const ALIKE: f64 = 0.8;

/// Prints the list, or the explanation of one cause.
pub fn run(args: &args::Explain) -> Result<ExitCode> {
    let page = output::page(args.color);
    let text = match &args.cause {
        None => page.list_of_causes(),
        Some(id) => page.cause(cause::find(id).ok_or_else(|| anyhow!("{}", unknown(id)))?),
    };
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who pages through it need not read to the end.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write the output"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

impl TextLayout {
    /// All causes by reason.
    fn list_of_causes(self) -> String {
        let width = CAUSES.iter().map(|cause| cause.id.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (number, means) in REASONS {
            let name = cause::category(number).unwrap_or_default();
            let head = format!("{number} {} ", self.paint(BOLD, name));
            self.wrap(&mut text, &head, 2, &self.paint(DIM, means));
            for cause in CAUSES.iter().filter(|cause| cause.reason == Some(number)) {
                self.line(&mut text, cause, width);
            }
            text.push('\n');
        }
        for cause in CAUSES.iter().filter(|cause| cause.reason.is_none()) {
            self.line(&mut text, cause, width);
        }
        text
    }

    fn line(self, text: &mut String, cause: &Cause, width: usize) {
        let id = self.paint(CYAN, cause.id);
        let gap = " ".repeat(width + 2 - cause.id.len());
        self.wrap(text, &format!("  {id}{gap}"), width + 4, cause.title);
    }

    /// One cause at length.
    fn cause(self, cause: &Cause) -> String {
        let mut text = String::new();
        self.wrap(&mut text, &format!("{}: ", self.paint(BOLD, cause.id)), 2, cause.title);
        let reason = REASONS.iter().find(|(number, _)| cause.reason == Some(*number));
        if let Some((number, means)) = reason {
            let name = cause::category(*number).unwrap_or_default();
            self.wrap(&mut text, "", 2, &format!("Reason {number}, {name}: {means}."));
        }
        for (title, what) in [
            ("What it means", cause.means),
            ("How it is told apart", cause.told_apart),
            ("What to do", cause.fix),
        ] {
            let _ = writeln!(text, "\n{}", self.paint(CYAN, title));
            self.wrap(&mut text, "  ", 2, &nbsp_commands(what));
        }
        let near = neighbours(cause);
        if !near.is_empty() {
            let _ = writeln!(text, "\n{}", self.paint(CYAN, "See also"));
            let width = near.iter().map(|near| near.id.len()).max().unwrap_or(0);
            for near in near {
                self.line(&mut text, near, width);
            }
        }
        text
    }
}

/// The causes that it is confused with, by id.
fn neighbours(cause: &Cause) -> Vec<&'static Cause> {
    let mut near: Vec<_> = cause.rivals.iter().filter_map(|id| cause::find(id)).collect();
    near.sort_by_key(|near| near.id);
    near
}

/// Says that there is no such cause, and which ones it might be.
fn unknown(id: &str) -> String {
    let names = nearest(id);
    let hint = match &names[..] {
        [] => String::new(),
        [one] => format!("perhaps {one}; "),
        [first @ .., last] => format!("perhaps {} or {last}; ", first.join(", ")),
    };
    format!("there is no cause {id:?}: {hint}`upstream-trace explain` lists them all")
}

/// Ids that are written almost like this, or contain it, the nearest first; else those of causes whose description has
/// these words, such as nginx's own.
fn nearest(text: &str) -> Vec<&'static str> {
    let near = by_id(text);
    if near.is_empty() { by_words(text) } else { near }
}

fn by_words(text: &str) -> Vec<&'static str> {
    let wanted: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 2).collect();
    let has = |text: &str| {
        let text = text.to_lowercase();
        !wanted.is_empty() && wanted.iter().all(|word| text.contains(&word.to_lowercase()))
    };
    let parts = |cause: &&Cause| [cause.title, cause.means, cause.fix].iter().position(|part| has(part));
    let mut found: Vec<_> = CAUSES.iter().filter_map(|cause| Some((parts(&cause)?, cause.id))).collect();
    found.sort_by_key(|(part, _)| *part);
    found.truncate(NAMED);
    found.into_iter().map(|(_, id)| id).collect()
}

fn by_id(text: &str) -> Vec<&'static str> {
    let wanted = text.to_lowercase().replace(['_', ' '], "-");
    let score = |id: &str| {
        let part = wanted.len() > 2 && id.contains(&wanted);
        if part { 1.0 } else { strsim::jaro_winkler(&wanted, id) }
    };
    let mut near: Vec<_> =
        CAUSES.iter().map(|cause| (score(cause.id), cause.id)).filter(|(score, _)| *score >= ALIKE).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.truncate(NAMED);
    near.into_iter().map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: TextLayout = TextLayout { width: 80, colour: false };

    #[test]
    fn the_list_has_every_cause_once_below_its_reason() {
        let text = PAGE.list_of_causes();
        for cause in CAUSES {
            let lines: Vec<_> =
                text.lines().filter(|line| line.split_whitespace().next() == Some(cause.id)).collect();
            assert_eq!(lines.len(), 1, "{}", cause.id);
        }
        for (number, _) in REASONS {
            let name = cause::category(number).expect("a reason");
            assert!(text.lines().any(|line| line.starts_with(&format!("{number} {name} "))), "{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn each_cause_is_told_in_80_columns() {
        for cause in CAUSES {
            let text = PAGE.cause(cause);
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in [cause.id, cause.title, cause.means, cause.told_apart, cause.fix] {
                assert!(words(&text).contains(&words(part)), "{}: {part}", cause.id);
            }
            assert!(cause.id == "unknown" || !neighbours(cause).is_empty(), "{}: no neighbours", cause.id);
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", cause.id);
            }
        }
    }

    #[test]
    fn colours_are_only_where_they_are_wanted() {
        let cause = cause::find("no-route").expect("a cause");
        let coloured = TextLayout { width: 80, colour: true };
        assert!(!PAGE.cause(cause).contains('\u{1b}') && !PAGE.list_of_causes().contains('\u{1b}'));
        assert!(coloured.cause(cause).contains('\u{1b}') && coloured.list_of_causes().contains('\u{1b}'));
    }

    #[test]
    fn a_slip_finds_its_cause_and_nonsense_finds_none() {
        for (slip, id) in [
            ("acept-queue-full", "accept-queue-full"),
            ("Port_Refused", "port-refused"),
            ("keepalive", "stale-keepalive"),
            ("no-rout", "no-route"),
        ] {
            assert_eq!(nearest(slip).first(), Some(&id), "{slip}");
            assert!(unknown(slip).contains(id));
        }
        assert!(nearest("firewall").len() == NAMED);
        for (words, id) in
            [("OOM", "backend-crashed"), ("somaxconn", "accept-queue-full"), ("TIME-WAIT", "ports-exhausted")]
        {
            assert!(nearest(words).contains(&id), "{words}: {:?}", nearest(words));
        }
        assert!(nearest("zzz").is_empty() && nearest("").is_empty() && nearest("a b").is_empty());
        assert!(unknown("zzz").contains("`upstream-trace explain`"));
    }
}
