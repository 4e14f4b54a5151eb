//! What a recogniser found.

use crate::verdict::Confidence;

/// What a recogniser found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How sure.
    pub confidence: Confidence,
    /// Causes that fit as well; ids of [`super::CONTRACT`].
    pub alternatives: Vec<&'static str>,
    /// What happened, in one or two sentences.
    pub summary: String,
    /// What to do in this case; `None` if the cause's own text says it best.
    pub fix: Option<String>,
}

impl Finding {
    fn new(confidence: Confidence, summary: impl Into<String>) -> Self {
        Self { confidence, alternatives: Vec::new(), summary: summary.into(), fix: None }
    }

    /// The kernel saw the cause itself.
    pub(crate) fn proven(summary: impl Into<String>) -> Self {
        Self::new(Confidence::Proven, summary)
    }

    /// One explanation fits, rivals would have left other traces.
    pub(crate) fn likely(summary: impl Into<String>) -> Self {
        Self::new(Confidence::Likely, summary)
    }

    /// Rivals fit as well.
    pub(crate) fn possible(summary: impl Into<String>) -> Self {
        Self::new(Confidence::Possible, summary)
    }

    /// Names the rivals that fit as well.
    #[must_use]
    pub(crate) fn or(mut self, alternatives: &[&'static str]) -> Self {
        self.alternatives.extend(alternatives);
        self
    }

    /// What to do in this case.
    #[must_use]
    pub(crate) fn fix(mut self, text: impl Into<String>) -> Self {
        self.fix = Some(text.into());
        self
    }
}
