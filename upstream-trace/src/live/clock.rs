//! The clock of the host. Events carry the monotonic one, which neither steps nor runs while the host is suspended; times
//! of day are told by what the two were at the start, and so are off once they move apart.

use nix::time::{ClockId, clock_gettime};
use upstream_trace_core::event::{Event, Nanos};

use super::context::{Batch, Context};
use super::now;

/// A difference that is not told: slower corrections (NTP) add up to it in a minute or two.
const NOT_TOLD: i64 = 50_000_000;

/// How far the two clocks were apart when that was last told, nanoseconds.
pub(super) struct Clock {
    apart: i64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { apart: apart() }
    }

    /// Says what time it is if the clock was set, or the host was suspended: the host once more, with both times.
    pub(super) fn poll(&mut self, now: Nanos, context: &Context, to: &mut Batch) {
        let Some(moved) = self.moved(apart()) else { return };
        to.event(Event::Host(context.host_now(now)));
        let seconds = moved.unsigned_abs() as f64 / 1e9;
        let way = if moved > 0 { "forward" } else { "back" };
        let text = format!(
            "The clock went {way} by {seconds:.1} s: it was set, or the host was suspended. Times from here on are the new ones."
        );
        to.note(now, text);
    }

    /// By how much, if that is worth telling.
    fn moved(&mut self, apart: i64) -> Option<i64> {
        let moved = apart.saturating_sub(self.apart);
        if moved.abs() <= NOT_TOLD {
            return None;
        }
        self.apart = apart;
        Some(moved)
    }
}

/// Time of day less monotonic time, nanoseconds.
fn apart() -> i64 {
    let day = clock_gettime(ClockId::CLOCK_REALTIME)
        .map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec());
    day.saturating_sub(i64::try_from(now()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_once_and_small_corrections_when_they_add_up() {
        let mut clock = Clock { apart: 1_000 };
        assert_eq!(clock.moved(1_000 + NOT_TOLD), None);
        assert_eq!(clock.moved(1_001 + NOT_TOLD), Some(NOT_TOLD + 1));
        assert_eq!(clock.moved(1_001 + NOT_TOLD), None);
        assert_eq!(clock.moved(1_001 - 3_600_000_000_000), Some(-3_600_000_000_000 - NOT_TOLD));
    }
}
