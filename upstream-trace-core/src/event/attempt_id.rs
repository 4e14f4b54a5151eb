//! Numbers of attempts, and who gives them out.

use serde::{Deserialize, Serialize};

use super::Nanos;

/// The kernel side ends its numbers in that of the CPU, in this many bits.
const CPU_BITS: u32 = 6;
/// In place of a CPU: a connection that was open before the hooks were attached.
const TAKEN_OVER: u64 = 63;
/// In place of a CPU: an error of `connect()` of which only a line of error.log tells.
const CONNECT_LINE: u64 = 62;
/// Numbers of DNS lookups start here.
const LOOKUPS: u64 = 1 << 62;
/// Numbers of failures that only a line of error.log tells of start here.
const LOG_LINES: u64 = 1 << 63;

/// Number of an attempt, a DNS lookup, or a failure known from error.log alone; unique within one run of the program.
///
/// Five places give out numbers. Their ranges do not meet, since each has its constructor here:
///
/// | who | number |
/// |---|---|
/// | kernel side, when a connection is born | time of birth (ns since boot) << 6, and the CPU |
/// | takeover of connections that were open at the start | time << 6, and 63 |
/// | errors of `connect()` that only error.log tells of | time << 6, and 62 |
/// | DNS lookups | 2^62 and a count |
/// | lines of error.log without an attempt | 2^63 and a count |
///
/// A time fits below 2^62 for two years and a quarter after boot; the kernel's own numbers end in 62 or 63 only on
/// hosts with so many CPUs. Recorded as a plain integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(u64);

impl AttemptId {
    /// The number of no attempt, and the least of all: what the kernel side has in place of one.
    pub const NONE: Self = Self(0);

    /// The number that the kernel side gave a connection at its birth.
    #[must_use]
    pub const fn from_kernel(id: u64) -> Self {
        Self(id)
    }

    /// A connection that the kernel side did not see being born: the `index`th of those found open at `now`.
    #[must_use]
    pub fn taken_over(now: Nanos, index: u64) -> Self {
        Self::in_place_of_cpu(now, index, TAKEN_OVER)
    }

    /// An error of `connect()` that only a line tells of: the `count`th of the run, read at `at`.
    #[must_use]
    pub fn connect_line(at: Nanos, count: u64) -> Self {
        Self::in_place_of_cpu(at, count, CONNECT_LINE)
    }

    /// The `count`th DNS lookup of the run.
    #[must_use]
    pub const fn lookup(count: u64) -> Self {
        Self(LOOKUPS | count)
    }

    /// The `count`th failure of the run that only a line of error.log tells of.
    #[must_use]
    pub const fn log_line(count: u64) -> Self {
        Self(LOG_LINES | count)
    }

    /// Only a line of error.log tells of it.
    #[must_use]
    pub const fn is_log_line(self) -> bool {
        self.0 >= LOG_LINES
    }

    /// The number as the kernel side knows it.
    #[must_use]
    pub const fn to_kernel(self) -> u64 {
        self.0
    }

    fn in_place_of_cpu(at: Nanos, count: u64, cpu: u64) -> Self {
        Self(at.wrapping_add(count) << CPU_BITS | cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SECOND;

    #[test]
    fn no_two_allocators_give_the_same_number() {
        let at = 400 * 86_400 * SECOND;
        let born = AttemptId::from_kernel(at << CPU_BITS | 3);
        let all = [
            born,
            AttemptId::taken_over(at, 0),
            AttemptId::taken_over(at, 1),
            AttemptId::connect_line(at, 0),
            AttemptId::connect_line(at, 1),
            AttemptId::lookup(1),
            AttemptId::log_line(1),
        ];
        let different: std::collections::BTreeSet<_> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(
            all[..5].iter().all(|id| id.0 < LOOKUPS) && AttemptId::lookup(u64::from(u32::MAX)).0 < LOG_LINES
        );
        assert!(all.iter().filter(|id| id.is_log_line()).eq([&AttemptId::log_line(1)]));
    }

    #[test]
    fn it_is_recorded_as_a_plain_number() {
        let id = AttemptId::lookup(7);
        let json = serde_json::to_string(&id).expect("JSON");
        assert_eq!(json, (LOOKUPS + 7).to_string());
        assert_eq!(serde_json::from_str::<AttemptId>(&json).expect("a number"), id);
    }
}
