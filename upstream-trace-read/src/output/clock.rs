//! From the tracing host's monotonic clock to the time of day.

use jiff::Timestamp;
use upstream_trace_core::event::{Host, Nanos};
use upstream_trace_core::json;

/// Times of day for people.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock(json::Clock);

impl Clock {
    pub(super) fn new(host: &Host) -> Self {
        Self(json::Clock::new(host))
    }

    fn timestamp(self, at: Nanos) -> Timestamp {
        Timestamp::from_microsecond(self.0.unix_us(at)).unwrap_or_default()
    }

    /// `2026-11-20 09:12:01Z`.
    pub(super) fn iso(self, at: Nanos) -> String {
        self.timestamp(at).strftime("%Y-%m-%d %H:%M:%SZ").to_string()
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
    fn clock() -> Clock {
        let host = Host { at: 5_000_000_000, unix_us: 1_795_165_920_000_000, ..Host::default() };
        Clock::new(&host)
    }

    #[test]
    fn the_day_is_shown_when_it_matters() {
        assert_eq!(clock().time(6_123_456_999), "09:12:01.123Z");
        assert_eq!(clock().short(6_000_000_000, 60_000_000_000), "09:12:01");
        assert_eq!(clock().short(6_000_000_000, 90_000_000_000_000), "11-20 09:12");
    }

    #[test]
    fn times_beyond_the_calendar_do_not_panic() {
        assert!(clock().time(u64::MAX).ends_with('Z'));
    }
}
