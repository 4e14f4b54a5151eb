//! What one or several recordings tell, for reports that look at all of it together. Times are microseconds since 1970:
//! the clocks of several hosts have nothing else in common.

mod budget;
mod collect;
mod problem;
mod recording_summary;
mod sampler;
mod timeline;
mod traffic;

#[cfg(test)]
pub(in crate::report) mod tests;

pub use collect::Collector;
pub use problem::{Problem, Problems};
pub use recording_summary::RecordingSummary;
pub use sampler::SampledAttempt;
pub use timeline::Timeline;
pub use traffic::{Point, Series, Traffic};

/// Microseconds since 1970, UTC.
pub type Micros = i64;

/// One second.
pub const SECOND: Micros = 1_000_000;

/// All of it.
#[derive(Debug)]
pub struct ReportModel {
    /// The recordings, in the order in which they were given.
    pub parts: Vec<RecordingSummary>,
    /// What failed, by cause and upstream; what is to be mended first comes first.
    pub problems: Vec<Problem>,
    /// Failures over time.
    pub timeline: Timeline,
    /// Upstreams over time.
    pub traffic: Traffic,
    /// Failures and pending attempts that are told in full, in order of time.
    pub shown: Vec<SampledAttempt>,
}

impl ReportModel {
    /// When the first recording began.
    #[must_use]
    pub fn begin(&self) -> Micros {
        self.parts.iter().map(|part| part.begin).min().unwrap_or_default()
    }

    /// When the last one ended.
    #[must_use]
    pub fn end(&self) -> Micros {
        self.parts.iter().map(|part| part.end).max().unwrap_or_default()
    }

    /// The sum of a number over all recordings.
    #[must_use]
    pub fn sum(&self, number: impl Fn(&RecordingSummary) -> u64) -> u64 {
        self.parts.iter().map(number).fold(0, u64::saturating_add)
    }

    /// Attempts that were in trouble and not over when their recording ended.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.problems.iter().map(|problem| problem.pending).sum()
    }

    /// Names of the hosts, each once.
    #[must_use]
    pub fn hosts(&self) -> Vec<&str> {
        let mut hosts: Vec<_> = self.parts.iter().map(|part| part.label.as_str()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}
