//! The report for people who would rather look than read: one HTML file that needs nothing else.
//!
//! The templates escape whatever is put into them. What comes from outside goes through [`escape`](crate::output::escape)
//! before, so that nothing hides or turns text either. A policy in the page lets run only the program and the style that
//! are built in.

mod attempt;
mod bars;
mod colours;
mod evidence;
mod hosts;
mod lines;
mod matrix;
mod policy;
mod problem;
mod upstream;

use anyhow::Result;
use askama::Template;

use super::model::ReportModel;
use super::phrases::{self, Times};
use crate::output::number::{count, plural};

use attempt::AttemptView;
use bars::Bars;
use colours::Colours;
use hosts::HostView;
use matrix::Matrix;
use problem::ProblemView;
use upstream::UpstreamView;

const STYLE: &str = include_str!("../../../templates/report/style.css");
const SCRIPT: &str = include_str!("../../../templates/report/script.js");

/// Problems that are told at once; the others unfold.
const PROBLEMS: usize = 5;
/// Problems that are told at all; the table has the others.
const MOST_PROBLEMS: usize = 50;

#[derive(Template)]
#[template(path = "report/page.html", whitespace = "minimize")]
struct TextLayout {
    policy: String,
    style: &'static str,
    script: &'static str,
    headline: String,
    lead: String,
    hosts_named: String,
    span: String,
    circumstances: Vec<String>,
    warnings: Vec<String>,
    problems: Vec<ProblemView>,
    more_problems: Vec<ProblemView>,
    bars: Option<Bars>,
    upstreams: Vec<UpstreamView>,
    upstreams_untold: String,
    matrix: Option<Matrix>,
    attempts: Vec<AttemptView>,
    listed: String,
    choices: Choices,
    hosts: Vec<HostView>,
    version: &'static str,
}

/// What the list of attempts can be filtered by.
struct Choices {
    causes: Vec<String>,
    upstreams: Vec<String>,
    hosts: Vec<String>,
}

/// The whole page.
pub(super) fn of(model: &ReportModel) -> Result<String> {
    let times = Times::of(model);
    let colours = Colours::of(model);
    let mut problems: Vec<_> = (model.problems.iter().take(MOST_PROBLEMS))
        .map(|problem| ProblemView::of(model, times, &colours, problem))
        .collect();
    let more_problems = problems.split_off(problems.len().min(PROBLEMS));
    let (upstreams, upstreams_untold) = upstream::all(model, times);
    let page = TextLayout {
        policy: policy::of(STYLE, SCRIPT),
        style: STYLE,
        script: SCRIPT,
        headline: phrases::headline(model),
        lead: phrases::lead(model),
        hosts_named: hosts::named(model),
        span: times.span(),
        circumstances: phrases::circumstances(model),
        warnings: warnings(model),
        problems,
        more_problems,
        bars: Bars::of(model, times, &colours),
        upstreams,
        upstreams_untold,
        matrix: Matrix::of(model, &colours),
        attempts: model.shown.iter().map(|shown| AttemptView::of(shown, times, &colours)).collect(),
        listed: listed(model),
        choices: Choices::of(model),
        hosts: hosts::all(model, times),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(page.render()?)
}

fn warnings(model: &ReportModel) -> Vec<String> {
    let several = model.parts.len() > 1;
    let named = |part: &super::model::RecordingSummary, warning: &String| {
        if several { format!("{}: {warning}", part.label) } else { warning.clone() }
    };
    model
        .parts
        .iter()
        .flat_map(|part| part.warnings.iter().map(move |warning| named(part, warning)))
        .collect()
}

/// How many of all attempts are listed.
fn listed(model: &ReportModel) -> String {
    let all: u64 = model.problems.iter().map(|problem| problem.count + problem.pending).sum();
    let shown = model.shown.len() as u64;
    if shown == all {
        format!("{}, each with all that was seen of it.", plural(all, "attempt"))
    } else {
        format!(
            "{} of {} are listed: of each cause at each upstream the first and the last ones.",
            count(shown),
            plural(all, "attempt")
        )
    }
}

impl Choices {
    fn of(model: &ReportModel) -> Self {
        let distinct = |pick: fn(&super::model::SampledAttempt) -> &str| {
            let mut all: Vec<_> = model.shown.iter().map(|shown| pick(shown).to_owned()).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        Self {
            causes: distinct(|shown| shown.verdict.cause),
            upstreams: distinct(|shown| &shown.upstream),
            hosts: distinct(|shown| &shown.host),
        }
    }
}

#[cfg(test)]
mod tests;
