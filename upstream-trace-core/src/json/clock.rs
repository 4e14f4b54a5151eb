//! From the monotonic time of events to the time of day.

use jiff::Timestamp;

use crate::event::{Host, Nanos};

/// Turns the monotonic time of events into the time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    at: Nanos,
    unix_us: i64,
}

impl Clock {
    /// The clock of the run that started so.
    #[must_use]
    pub fn new(host: &Host) -> Self {
        Self { at: host.at, unix_us: host.unix_us }
    }

    /// Microseconds since 1970, UTC.
    #[must_use]
    pub fn unix_us(&self, at: Nanos) -> i64 {
        let since = (i128::from(at) - i128::from(self.at)).div_euclid(1_000);
        i64::try_from(i128::from(self.unix_us) + since).unwrap_or(self.unix_us)
    }

    /// `2026-11-20T09:12:01.123456Z`.
    #[must_use]
    pub fn iso(&self, at: Nanos) -> String {
        format!("{:.6}", Timestamp::from_microsecond(self.unix_us(at)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_the_start() {
        let clock = Clock { at: 5_000_000_000, unix_us: 1_795_165_921_123_456 };
        assert_eq!(clock.iso(5_000_000_000), "2026-11-20T09:12:01.123456Z");
        assert_eq!(clock.iso(4_000_000_000), "2026-11-20T09:12:00.123456Z");
        assert_eq!(clock.iso(5_000_000_999), "2026-11-20T09:12:01.123456Z");
        assert!(clock.iso(u64::MAX).ends_with('Z'), "times beyond the calendar do not panic");
    }
}
