//! The kernel side's counters of each upstream.

use std::collections::HashMap;

use upstream_trace_common::UpstreamCounters;
use upstream_trace_core::event::{Event, Nanos, Upstream, UpstreamSample};

use super::context::{Batch, Context};
use crate::kernel::decode;

/// Counters of one upstream are read at most this often because of a failure there.
const FRESH: Nanos = 50_000_000;

/// What was read last.
#[derive(Default)]
pub(super) struct Counters {
    sampled: HashMap<Upstream, UpstreamSample>,
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
            self.sample(now, upstream.clone(), &counters, to);
        }
    }

    /// Counters of all upstreams where something happened; once a second.
    pub(super) fn poll(&mut self, now: Nanos, context: &mut Context, to: &mut Batch) {
        let counters: Vec<_> = context.tables.upstreams().collect();
        for (address, counters) in counters {
            if let Some(upstream) = context.upstream(&address) {
                self.sample(now, upstream, &counters, to);
            }
        }
    }

    fn sample(&mut self, now: Nanos, upstream: Upstream, counters: &UpstreamCounters, to: &mut Batch) {
        let sample = decode::sample(now, Some(upstream.clone()), counters);
        let before = self.sampled.insert(upstream, sample.clone());
        if before.is_none_or(|before| UpstreamSample { at: now, ..before } != sample) {
            to.event(Event::Upstream(sample));
        }
    }
}
