//! How much of what a recording says is kept in full. A recording may be anybody's: numbers of things are no bound, since
//! each of them may be large.

use serde_json::Value;
use upstream_trace_core::verdict::{Details, Verdict};

/// Bytes of verdicts that are kept in full for one purpose.
const BYTES: usize = 8 << 20;

/// Longest text of a verdict that is kept without its evidence, bytes.
const LONGEST: usize = 1_024;

/// What is left of the bytes.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: BYTES }
    }
}

impl Budget {
    /// Takes the bytes of a verdict; whether there were as many.
    pub(super) fn take(&mut self, verdict: &Verdict) -> bool {
        let rest = self.left.checked_sub(weight(verdict));
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    /// A verdict is not kept any more.
    pub(super) fn give_back(&mut self, verdict: &Verdict) {
        self.left = self.left.saturating_add(weight(verdict)).min(BYTES);
    }

    /// The verdict in full as long as there are bytes left, then what it says in short.
    pub(super) fn fit(&mut self, verdict: &Verdict) -> Box<Verdict> {
        if self.take(verdict) {
            return Box::new(verdict.clone());
        }
        Box::new(Verdict {
            evidence: Vec::new(),
            log: None,
            details: Details::default(),
            summary: cut(&verdict.summary),
            fix: cut(&verdict.fix),
            name: verdict.name.as_deref().map(cut),
            local: None,
            alternatives: verdict.alternatives.clone(),
            because: verdict.because.clone(),
            upstream: verdict.upstream.clone(),
            ..*verdict
        })
    }
}

/// The beginning of a text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().take_while(|(at, _)| *at < LONGEST).last() {
        Some((at, c)) if at + c.len_utf8() < text.len() => format!("{}...", &text[..at]),
        _ => text.to_owned(),
    }
}

/// About so many bytes of memory.
fn weight(verdict: &Verdict) -> usize {
    const EACH: usize = 256;
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let evidence = verdict.evidence.iter().map(|evidence| {
        let details: usize =
            evidence.details.iter().map(|(name, value)| EACH + name.len() + of_value(value)).sum();
        EACH + evidence.what.len() + details
    });
    let log = verdict.log.as_ref().map_or(0, |line| {
        let texts = [
            &line.action,
            &line.client,
            &line.server,
            &line.request,
            &line.subrequest,
            &line.upstream,
            &line.host,
            &line.resolver,
        ];
        EACH + line.message.len() + line.file.len() + texts.into_iter().map(optional).sum::<usize>()
    });
    let details = &verdict.details;
    let names = details.names.iter().map(|name| EACH + name.group.len() + name.server.len());
    let passes = details.passes.iter().map(|pass| EACH + pass.len());
    let directives = details.directives.iter().map(|set| {
        EACH + set.name.len()
            + set.value.len()
            + set.places.iter().map(|place| EACH + place.len()).sum::<usize>()
    });
    let tries = details.tries.as_ref().map_or(0, |tries| tries.chain.len()) + details.ejected.len();
    [
        4 * EACH,
        verdict.summary.len(),
        verdict.fix.len(),
        optional(&verdict.name),
        log,
        tries * EACH,
        evidence.sum(),
        names.sum(),
        passes.sum(),
        directives.sum(),
    ]
    .into_iter()
    .sum()
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| 32 + of_value(item)).sum(),
        Value::Object(fields) => fields.iter().map(|(name, item)| 128 + name.len() + of_value(item)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::verdict;

    #[test]
    fn what_does_not_fit_is_kept_in_short() {
        let mut budget = Budget::default();
        let mut large = verdict();
        large.summary = "ä".repeat(1 << 20);
        let full = (0..10).filter(|_| !budget.fit(&large).evidence.is_empty()).count();
        assert_eq!(full, 3, "2 MiB each");
        let short = budget.fit(&large);
        assert!(short.summary.len() <= LONGEST + 3 && short.summary.ends_with("..."));
        assert_eq!((short.cause, short.attempt), (large.cause, large.attempt));
        budget.give_back(&large);
        assert!(budget.take(&large) && !budget.take(&large));
        assert_eq!(cut("short"), "short");
    }
}
