//! One attempt in full: the verdict, what was seen in order of time, nginx's own words.

use upstream_trace_core::verdict::Verdict;

use super::colours::Colours;
use super::evidence::{self, Moment};
use super::problem::{Rich, rich};
use crate::output::about;
use crate::output::block::{circumstances, confidence};
use crate::output::escape;
use crate::report::model::SampledAttempt;
use crate::report::phrases::{Times, timestamp};

/// A card.
pub(super) struct AttemptView {
    pub(super) colour: usize,
    pub(super) time: String,
    pub(super) iso: String,
    pub(super) cause: &'static str,
    pub(super) upstream: String,
    pub(super) host: String,
    pub(super) confidence: &'static str,
    /// `pending`, `recovered`, or the status that nginx answers.
    pub(super) outcome: String,
    pub(super) pending: bool,
    pub(super) summary: Rich,
    pub(super) circumstances: String,
    pub(super) moments: Vec<Moment>,
    pub(super) strip: evidence::Strip,
    pub(super) log: Vec<(&'static str, String)>,
    pub(super) alternatives: String,
    pub(super) because: String,
    pub(super) fix: Rich,
}

impl AttemptView {
    pub(super) fn of(shown: &SampledAttempt, times: Times, colours: &Colours) -> Self {
        let verdict = &shown.verdict;
        let at = timestamp(shown.at);
        Self {
            colour: colours.place(verdict.cause),
            time: format!("{}{}", times.short(shown.at), at.strftime("%.3f")),
            iso: format!("{at:.6}"),
            cause: verdict.cause,
            upstream: shown.upstream.clone(),
            host: shown.host.clone(),
            confidence: confidence(verdict.confidence),
            outcome: outcome(shown),
            pending: shown.pending,
            summary: rich(&verdict.summary),
            circumstances: in_words(verdict),
            moments: evidence::moments(&verdict.evidence),
            strip: evidence::strip(&verdict.evidence),
            log: log(shown),
            alternatives: verdict.alternatives.join(", "),
            because: verdict.because.join(", "),
            fix: rich(&verdict.fix),
        }
    }
}

/// Where and when it failed, what nginx's configuration says of it, and the other attempts for the same request.
fn in_words(verdict: &Verdict) -> String {
    let more = about::lines(verdict).into_iter().map(|(name, text)| format!("{name} {text}"));
    let all: Vec<_> = std::iter::once(circumstances(verdict)).chain(more).collect();
    all.join("; ").replace('\u{a0}', " ")
}

fn outcome(shown: &SampledAttempt) -> String {
    match (shown.pending, shown.verdict.recovered, shown.verdict.status) {
        (true, ..) => "pending".to_owned(),
        (_, true, _) => "recovered".to_owned(),
        (_, _, Some(status)) => format!("status {status}"),
        _ => "failed".to_owned(),
    }
}

/// nginx's line, in parts.
fn log(shown: &SampledAttempt) -> Vec<(&'static str, String)> {
    let Some(line) = &shown.verdict.log else { return Vec::new() };
    let own = |text: &Option<String>| text.as_deref().map(|text| escape(text).into_owned());
    let parts = [
        ("message", Some(escape(&line.message).into_owned())),
        ("request", own(&line.request)),
        ("client", own(&line.client)),
        ("server", own(&line.server)),
        ("host", own(&line.host)),
        ("connection", line.connection.map(|number| format!("*{number}"))),
        ("time in the log", Some(escape(&line.time).into_owned()).filter(|time| !time.is_empty())),
        ("file", Some(escape(&line.file).into_owned()).filter(|file| !file.is_empty())),
    ];
    parts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
