//! When an attempt is judged, and what is said then.

pub(super) mod attempts;
pub(super) mod benign;
pub(super) mod details;
pub(super) mod ejected;
pub(super) mod notes;
pub(super) mod release;
pub(super) mod tally;
pub(super) mod verdicts;
