//! One recording among others.

use upstream_trace_core::event::Host;
use upstream_trace_core::verdict::LogLines;

use super::Micros;

/// Remarks about nginx that are kept of one recording.
const NOTES: usize = 200;

/// What is known of one recording as a whole.
#[derive(Clone, Debug, Default)]
pub struct RecordingSummary {
    /// Name of the host, else of the file.
    pub label: String,
    /// Name of the file, without its folder.
    pub file: String,
    /// The host and the run.
    pub host: Host,
    /// When it began.
    pub begin: Micros,
    /// When it ended.
    pub end: Micros,
    /// Attempts seen.
    pub attempts: u64,
    /// Of these, failed.
    pub failures: u64,
    /// Of these, retried with success.
    pub recovered: u64,
    /// Events that did not arrive.
    pub lost: u64,
    /// Lines of error.log.
    pub log_lines: LogLines,
    /// What nginx did meanwhile: when, and what.
    pub notes: Vec<(Micros, String)>,
    /// Notes that are not in the list.
    pub more_notes: u64,
    /// What is wrong with the recording.
    pub warnings: Vec<String>,
}

impl RecordingSummary {
    /// Keeps a remark, if there is room.
    pub(super) fn note(&mut self, at: Micros, text: String) {
        if self.notes.len() < NOTES {
            self.notes.push((at, text));
        } else {
            self.more_notes += 1;
        }
    }
}
