//! What failed, why, since when, and what to do: one card for each cause at each upstream.

use std::fmt::Write;

use upstream_trace_core::cause;

use super::colours::Colours;
use crate::output::about;
use crate::output::block::confidence;
use crate::output::escape;
use crate::report::model::{Problem, ReportModel};
use crate::report::phrases::{self, Times};

/// A text in parts; commands are set apart.
pub(super) type Rich = Vec<(bool, String)>;

/// A card.
pub(super) struct ProblemView {
    pub(super) colour: usize,
    pub(super) cause: &'static str,
    pub(super) upstream: String,
    /// What the cause says in general.
    pub(super) title: &'static str,
    pub(super) means: &'static str,
    pub(super) told_apart: &'static str,
    pub(super) confidence: &'static str,
    pub(super) how_often: String,
    pub(super) when: String,
    pub(super) status: String,
    pub(super) hosts: String,
    pub(super) summary: Rich,
    pub(super) fix: Rich,
    pub(super) runs_in: String,
    pub(super) follows: String,
    pub(super) alternatives: String,
    pub(super) link: String,
}

impl ProblemView {
    pub(super) fn of(model: &ReportModel, times: Times, colours: &Colours, problem: &Problem) -> Self {
        let example = &problem.example;
        let general = cause::find(problem.cause);
        let several = model.hosts().len() > 1;
        let hosts = problem.hosts.iter().filter(|_| several).map(|(host, count)| format!("{host} ({count})"));
        Self {
            colour: colours.place(problem.cause),
            cause: problem.cause,
            upstream: problem.upstream.clone(),
            title: general.map_or("", |cause| cause.title),
            means: general.map_or("", |cause| cause.means),
            told_apart: general.map_or("", |cause| cause.told_apart),
            confidence: confidence(problem.confidence),
            how_often: phrases::how_often(problem),
            when: times.when(problem),
            status: statuses(problem),
            hosts: hosts.collect::<Vec<_>>().join(", "),
            summary: rich(&example.summary),
            fix: rich(&example.fix),
            runs_in: about::runs_in(&example.details),
            follows: if problem.follows() { example.because.join(", ") } else { String::new() },
            alternatives: example.alternatives.join(", "),
            link: link(problem.cause, &problem.upstream),
        }
    }
}

/// What nginx answered, if anything.
fn statuses(problem: &Problem) -> String {
    problem.statuses.keys().map(u16::to_string).collect::<Vec<_>>().join(" or ")
}

/// A text with its commands set apart.
pub(super) fn rich(text: &str) -> Rich {
    phrases::parts(&escape(text)).into_iter().map(|(command, part)| (command, part.to_owned())).collect()
}

/// Leads to the list of attempts, filtered.
pub(super) fn link(cause: &str, upstream: &str) -> String {
    let mut link = format!("#cause={}", encoded(cause));
    if !upstream.is_empty() {
        link.extend(["&upstream=", &encoded(upstream)]);
    }
    link
}

/// Percent-encoded as far as a part of an address needs it.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_encoded() {
        assert_eq!(
            link("port-refused", "unix:/run/a b&c.sock"),
            "#cause=port-refused&upstream=unix:/run/a%20b%26c.sock"
        );
        assert_eq!(link("no-route", "[fd00::1]:80"), "#cause=no-route&upstream=%5Bfd00::1%5D:80");
        assert_eq!(link("no-route", ""), "#cause=no-route");
    }
}
