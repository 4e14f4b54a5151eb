//! Where it was recorded, and what nginx did meanwhile.

use super::super::model::{RecordingSummary, ReportModel};
use crate::output::number::{count, plural};
use crate::output::{escape, of_lost};
use crate::report::phrases::Times;

/// Hosts that are named in one sentence.
const NAMED: usize = 5;

/// A recording.
pub(super) struct HostView {
    pub(super) label: String,
    pub(super) facts: Vec<(&'static str, String)>,
    /// Hooks that were missing, and what that costs.
    pub(super) missing: Vec<(String, String)>,
    pub(super) notes: Vec<(String, String)>,
    pub(super) more_notes: String,
}

/// All recordings.
pub(super) fn all(model: &ReportModel, times: Times) -> Vec<HostView> {
    model.parts.iter().map(|part| view(part, times)).collect()
}

/// `web1, web2 and 3 more hosts`.
pub(super) fn named(model: &ReportModel) -> String {
    let hosts = model.hosts();
    let named = hosts.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match hosts.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {}", plural(more as u64, "more host")),
    }
}

fn view(part: &RecordingSummary, times: Times) -> HostView {
    let host = &part.host;
    let attached = host.hooks.iter().filter(|hook| hook.attached).count();
    let missing = host.hooks.iter().filter(|hook| !hook.attached).map(|hook| {
        let why = hook.why.iter().chain(&hook.costs).map(String::as_str).collect::<Vec<_>>().join(": ");
        (escape(&hook.name).into_owned(), escape(&why).into_owned())
    });
    let or_unknown =
        |text: &str| if text.is_empty() { "not known".to_owned() } else { escape(text).into_owned() };
    HostView {
        label: part.label.clone(),
        facts: vec![
            ("Recorded", format!("{} to {} UTC", times.short(part.begin), times.short(part.end))),
            ("nginx", or_unknown(&host.nginx.join(", "))),
            (
                "Processes",
                format!(
                    "{}, {}",
                    plural(host.masters.len() as u64, "master"),
                    plural(host.workers.len() as u64, "worker")
                ),
            ),
            ("Kernel", or_unknown(&host.kernel)),
            ("Hooks", format!("{attached} of {}", host.hooks.len())),
            (
                "Attempts",
                format!(
                    "{}, {} failed, {} recovered",
                    count(part.attempts),
                    count(part.failures),
                    count(part.recovered)
                ),
            ),
            ("Events lost", count(part.lost)),
            (
                "error.log",
                format!(
                    "{} about upstreams, {} matched to an attempt{}",
                    plural(part.log_lines.seen, "line"),
                    count(part.log_lines.joined),
                    of_lost(part.log_lines.lost)
                ),
            ),
            ("File", escape(&part.file).into_owned()),
            ("Recorded by", format!("upstream-trace {}", escape(&host.version))),
        ],
        missing: missing.collect(),
        notes: part.notes.iter().map(|(at, text)| (times.short(*at), text.clone())).collect(),
        more_notes: if part.more_notes > 0 {
            format!("and {} more", count(part.more_notes))
        } else {
            String::new()
        },
    }
}
