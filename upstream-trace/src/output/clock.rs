//! From the tracing host's monotonic clock to the time of day.

use jiff::Timestamp;
use upstream_trace_core::event::{Host, Nanos};

/// Turns `CLOCK_MONOTONIC` into UTC, by the two readings that the run began with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    at: Nanos,
    unix_us: i64,
}

impl Clock {
    pub(super) fn new(host: &Host) -> Self {
        Self { at: host.at, unix_us: host.unix_us }
    }

    fn timestamp(self, at: Nanos) -> Timestamp {
        let (after, before) = (at.saturating_sub(self.at), self.at.saturating_sub(at));
        let offset_us = (after / 1000).cast_signed() - before.div_ceil(1000).cast_signed();
        Timestamp::from_microsecond(self.unix_us.saturating_add(offset_us)).unwrap_or_default()
    }

    /// `2026-11-20T09:12:01.123456Z`.
    pub(super) fn iso(self, at: Nanos) -> String {
        format!("{:.6}", self.timestamp(at))
    }

    /// `09:12:01.123Z`.
    pub(super) fn time(self, at: Nanos) -> String {
        self.timestamp(at).strftime("%H:%M:%S%.3fZ").to_string()
    }

    /// `09:12:01`, or `11-20 09:12` for a run that lasted longer than a day.
    pub(super) fn short(self, at: Nanos, duration: Nanos) -> String {
        const DAY: Nanos = 24 * 3600 * 1_000_000_000;
        let format = if duration < DAY { "%H:%M:%S" } else { "%m-%d %H:%M" };
        self.timestamp(at).strftime(format).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2026-11-20T09:12:00Z
    const CLOCK: Clock = Clock { at: 5_000_000_000, unix_us: 1_795_165_920_000_000 };

    #[test]
    fn after_and_before_the_start() {
        assert_eq!(CLOCK.iso(6_123_456_999), "2026-11-20T09:12:01.123456Z");
        assert_eq!(CLOCK.iso(5_000_000_000), "2026-11-20T09:12:00.000000Z");
        assert_eq!(CLOCK.iso(4_999_999_999), "2026-11-20T09:11:59.999999Z");
        assert_eq!(CLOCK.time(6_123_456_999), "09:12:01.123Z");
    }

    #[test]
    fn the_day_is_shown_when_it_matters() {
        assert_eq!(CLOCK.short(6_000_000_000, 60_000_000_000), "09:12:01");
        assert_eq!(CLOCK.short(6_000_000_000, 90_000_000_000_000), "11-20 09:12");
    }

    #[test]
    fn times_beyond_the_calendar_do_not_panic() {
        assert!(CLOCK.iso(u64::MAX).ends_with('Z'));
        let broken = Clock { at: 0, unix_us: i64::MAX };
        assert!(broken.iso(u64::MAX).ends_with('Z'));
    }
}
