//! What was lost on the way, by place.

use std::collections::HashMap;

use upstream_trace_common::stats;
use upstream_trace_core::event::{Event, LossPlace, Lost, Nanos};

use super::context::{Batch, Context};

/// Where the kernel side loses something.
const OF_KERNEL: [(LossPlace, u32); 7] = [
    (LossPlace::RingBuffer, stats::LOST_RING),
    (LossPlace::ConnectionMap, stats::LOST_MAP),
    (LossPlace::Events, stats::LOST_EVENTS),
    (LossPlace::PacketReports, stats::LOST_PACKETS),
    (LossPlace::UpstreamTable, stats::LOST_SLOTS),
    (LossPlace::OriginTable, stats::LOST_ORIGINS),
    (LossPlace::ProcessTable, stats::LOST_WORKERS),
];

/// What was lost until now.
pub(super) struct Losses {
    /// Something came since this was last looked at.
    pub(super) heard: bool,
    looked: Nanos,
    lost: HashMap<LossPlace, u64>,
}

impl Losses {
    pub(super) fn new(now: Nanos) -> Self {
        Self { heard: false, looked: now, lost: HashMap::new() }
    }

    /// Says what was lost since the last time: in the kernel, and `here`.
    pub(super) fn poll(&mut self, now: Nanos, context: &Context, here: &[(LossPlace, u64)], to: &mut Batch) {
        let since = std::mem::replace(&mut self.looked, now);
        self.heard = false;
        let sums = context.tables.sums().ok();
        let of_kernel = OF_KERNEL.iter().filter_map(|(place, index)| Some((*place, sums?[*index as usize])));
        for (place, count) in self.news(of_kernel.chain(here.iter().copied())) {
            to.event(Event::Lost(Lost::new(place, count, since, now)));
        }
    }

    /// By how much the sum of each place has grown.
    fn news(&mut self, all: impl Iterator<Item = (LossPlace, u64)>) -> Vec<(LossPlace, u64)> {
        let mut sums: Vec<(LossPlace, u64)> = Vec::new();
        for (place, count) in all {
            match sums.iter_mut().find(|(known, _)| *known == place) {
                Some((_, sum)) => *sum += count,
                None => sums.push((place, count)),
            }
        }
        let grown = sums.into_iter().map(|(place, total)| {
            let before = self.lost.insert(place, total).unwrap_or(0);
            (place, total.saturating_sub(before))
        });
        grown.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_with_two_counters_is_one_and_only_news_are_told() {
        let mut losses = Losses::new(1);
        let mut news = |all: &[(LossPlace, u64)]| losses.news(all.iter().copied());
        let (table, log) = (LossPlace::OriginTable, LossPlace::ErrorLog);
        assert_eq!(news(&[(table, 1), (log, 0), (table, 2)]), [(table, 3)]);
        assert_eq!(news(&[(table, 1), (log, 0), (table, 2)]), []);
        assert_eq!(news(&[(table, 1), (log, 5), (table, 3)]), [(table, 1), (log, 5)]);
    }
}
