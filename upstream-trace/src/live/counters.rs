//! The kernel side's counters of each upstream.

use std::collections::{HashMap, HashSet};

use upstream_trace_common::{Addr, UPSTREAMS, UpstreamCounters};
use upstream_trace_core::event::{Event, Nanos, SECOND, Upstream, UpstreamSample};

use super::context::{Batch, Context};
use crate::kernel::decode;

/// Counters of one upstream are read at most this often because of a failure there.
const FRESH: Nanos = 50_000_000;
/// An upstream that something happened at in this time stays.
const IDLE: Nanos = 60 * SECOND;
/// Looking for room takes a look at all connections: not more often than that.
const BETWEEN: Nanos = 10 * SECOND;
/// Upstreams whose earlier counts are kept here; with more, no further ones make room.
const MAX_EARLIER: usize = 4 * UPSTREAMS as usize;

/// What was read last.
#[derive(Default)]
pub(super) struct Counters {
    sampled: HashMap<Upstream, UpstreamSample>,
    idle: Idle,
    /// What was counted for upstreams before they made room.
    earlier: HashMap<Upstream, UpstreamCounters>,
}

impl Counters {
    /// Counters of the upstream where something failed.
    pub(super) fn notice(&mut self, event: &Event, context: &Context, now: Nanos, to: &mut Batch) {
        let upstream = match event {
            Event::Trouble(attempt) | Event::End(attempt) => attempt.upstream.as_ref(),
            Event::ConnectError(error) => Some(&error.upstream),
            _ => None,
        };
        let Some(upstream @ Upstream::Tcp(address)) = upstream else { return };
        if self.sampled.get(upstream).is_none_or(|last| now.saturating_sub(last.at) > FRESH)
            && let Some(counters) = context.tables.upstream(&decode::key(*address))
        {
            self.sample(now, upstream.clone(), counters, to);
        }
    }

    /// Counters of all upstreams where something happened; once a second.
    pub(super) fn poll(&mut self, now: Nanos, context: &mut Context, to: &mut Batch) {
        let counters: Vec<_> = context.tables.upstreams().collect();
        for (address, counters) in &counters {
            self.idle.note(*address, counters, now);
            if let Some(upstream) = context.upstream(address) {
                self.sample(now, upstream, *counters, to);
            }
        }
        let surplus = surplus(counters.len(), context.tables.upstream_room());
        if surplus > 0 && self.idle.may_look(now) {
            self.make_room(surplus, now, context);
        }
    }

    /// The kernel's table has no room of its own making.
    fn make_room(&mut self, surplus: usize, now: Nanos, context: &mut Context) {
        let in_use = context.tables.upstreams_in_use();
        for address in self.idle.longest(now, surplus, &in_use) {
            let Some(upstream) = context.upstream(&address) else { continue };
            if self.earlier.len() >= MAX_EARLIER && !self.earlier.contains_key(&upstream) {
                return;
            }
            if let Some(counted) = context.tables.upstream(&address) {
                self.earlier.entry(upstream).or_insert(UpstreamCounters::ZERO).add(&counted);
            }
            context.tables.forget_upstream(&address);
            self.idle.last.remove(&address);
        }
    }

    fn sample(&mut self, now: Nanos, upstream: Upstream, mut counters: UpstreamCounters, to: &mut Batch) {
        if upstream.is_journal() {
            return;
        }
        if let Some(earlier) = self.earlier.get(&upstream) {
            counters.add(earlier);
        }
        let sample = decode::sample(now, Some(upstream.clone()), &counters);
        let before = self.sampled.insert(upstream, sample.clone());
        if before.is_none_or(|before| UpstreamSample { at: now, ..before } != sample) {
            to.event(Event::Upstream(sample));
        }
    }
}

/// How many make room, those that have been idle longest: where three quarters of the places are taken, all beyond half.
fn surplus(taken: usize, room: usize) -> usize {
    if taken > room / 4 * 3 { taken - room / 2 } else { 0 }
}

/// Since when nothing was counted for an upstream.
#[derive(Default)]
struct Idle {
    last: HashMap<Addr, (u64, Nanos)>,
    looked: Nanos,
}

impl Idle {
    fn note(&mut self, address: Addr, counters: &UpstreamCounters, now: Nanos) {
        let counts = [counters.attempts, counters.established, counters.requests, counters.answers];
        let sum = counts.iter().fold(0u64, |sum, count| sum.wrapping_add(*count));
        let last = self.last.entry(address).or_insert((sum, now));
        if last.0 != sum {
            *last = (sum, now);
        }
    }

    fn may_look(&mut self, now: Nanos) -> bool {
        let may = now.saturating_sub(self.looked) >= BETWEEN;
        if may {
            self.looked = now;
        }
        may
    }

    /// Those that have been idle longest, so many at most.
    fn longest(&self, now: Nanos, most: usize, in_use: &HashSet<Addr>) -> Vec<Addr> {
        let is_idle = |(address, (_, at)): &(&Addr, &(u64, Nanos))| {
            now.saturating_sub(*at) >= IDLE && !in_use.contains(*address)
        };
        let mut idle: Vec<_> =
            self.last.iter().filter(is_idle).map(|(address, (_, at))| (*at, *address)).collect();
        idle.sort_unstable_by_key(|(at, _)| *at);
        idle.into_iter().map(|(_, address)| address).take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(attempts: u64) -> UpstreamCounters {
        UpstreamCounters { attempts, ..UpstreamCounters::ZERO }
    }

    #[test]
    fn those_make_room_that_have_been_idle_longest_and_have_no_connection() {
        let mut idle = Idle::default();
        let all: Vec<Addr> = (1..6).map(Addr::of_path).collect();
        for (at, address) in (0..).zip(&all) {
            idle.note(*address, &counted(1), at * SECOND);
        }
        // The first one is used again, the second has a connection that waits.
        idle.note(all[0], &counted(2), 50 * SECOND);
        idle.note(all[2], &counted(1), 50 * SECOND);
        let in_use = HashSet::from([all[1]]);
        let found = idle.longest(63 * SECOND, 10, &in_use);
        assert_eq!(found, [all[2], all[3]]);
        assert_eq!(idle.longest(63 * SECOND, 1, &in_use), [all[2]]);
    }

    #[test]
    fn room_is_made_before_there_is_none() {
        assert_eq!(
            [(768, 1024), (769, 1024), (97, 128), (96, 128)].map(|(taken, room)| surplus(taken, room)),
            [0, 257, 33, 0]
        );
    }

    #[test]
    fn looking_for_room_rests() {
        let mut idle = Idle::default();
        assert!(idle.may_look(BETWEEN) && !idle.may_look(BETWEEN + SECOND) && idle.may_look(2 * BETWEEN));
    }
}
