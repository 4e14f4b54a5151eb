//! How upstreams stats: their counters, and what became of other attempts in the last minute.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use crate::case::{Case, OtherPort, Siblings};
use crate::engine::percentiles::percentiles;
use crate::event::{Attempt, AttemptId, Nanos, PacketTuple, ResetSent, SECOND, Upstream, UpstreamSample};
use crate::verdict::UpstreamSummary;

/// The window in which others count.
const WINDOW: Nanos = 60 * SECOND;
/// Upstreams kept; further ones are counted together, as the kernel side does.
const MAX_UPSTREAMS: usize = 4_096;
/// Failures remembered per upstream.
const MAX_RECENT: usize = 64;
/// Other ports named per verdict.
const MAX_PORTS: usize = 4;

/// How an attempt to connect failed, as far as others learn from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Outcome {
    Silent,
    Refused,
    Other,
}

impl Outcome {
    pub(in crate::engine) fn of(case: &Case<'_>) -> Self {
        match (case.connecting(), case.reset_at().is_some()) {
            (true, true) => Self::Refused,
            (true, false) if case.silent() => Self::Silent,
            _ => Self::Other,
        }
    }
}

#[derive(Debug, Default)]
struct UpstreamStats {
    sample: Option<UpstreamSample>,
    recent: VecDeque<(Nanos, AttemptId, Outcome)>,
    failures: u64,
    seen: u64,
    /// Connections that got no answer while nginx waited: nginx's end, and when they began.
    silent: VecDeque<(SocketAddr, Nanos)>,
    /// See [`Siblings::late`].
    late: Option<(Nanos, Nanos)>,
}

/// All upstreams.
#[derive(Debug, Default)]
pub(in crate::engine) struct Upstreams {
    stats: HashMap<Option<Upstream>, UpstreamStats>,
    /// Ports of `stats` by address.
    ports: HashMap<IpAddr, BTreeSet<SocketAddr>>,
}

impl Upstreams {
    fn stats_of(&mut self, upstream: Option<&Upstream>) -> &mut UpstreamStats {
        let key = upstream.cloned();
        let known = self.stats.contains_key(&key);
        let key = if known || self.stats.len() < MAX_UPSTREAMS { key } else { None };
        if let Some(Upstream::Tcp(address)) = key.as_ref().filter(|_| !known) {
            self.ports.entry(address.ip()).or_default().insert(*address);
        }
        self.stats.entry(key).or_default()
    }

    pub(in crate::engine) fn sample(&mut self, sample: UpstreamSample) {
        let stats = self.stats_of(sample.upstream.as_ref());
        stats.sample = Some(sample);
    }

    /// Counts an attempt of which an event told.
    pub(in crate::engine) fn seen(&mut self, upstream: Option<&Upstream>) {
        self.stats_of(upstream).seen += 1;
    }

    pub(in crate::engine) fn failed(
        &mut self,
        upstream: Option<&Upstream>,
        id: AttemptId,
        at: Nanos,
        outcome: Outcome,
    ) {
        let stats = self.stats_of(upstream);
        stats.failures += 1;
        stats.recent.push_back((at, id, outcome));
        if stats.recent.len() > MAX_RECENT {
            stats.recent.pop_front();
        }
    }

    /// Remembers whose SYN got no answer: it may come later, or has come so long after `connect()`.
    pub(in crate::engine) fn unanswered(&mut self, attempt: &Attempt, late: Option<Nanos>) {
        let Some(local) = attempt.local else { return };
        let stats = self.stats_of(attempt.upstream.as_ref());
        if let Some(took) = late {
            stats.late = Some((attempt.begun + took, took));
            return;
        }
        stats.silent.push_back((local, attempt.begun));
        if stats.silent.len() > MAX_RECENT {
            stats.silent.pop_front();
        }
    }

    /// This host reset a packet; a SYN-ACK for one of those, if it comes from an upstream.
    pub(in crate::engine) fn reset_sent(&mut self, reset: &ResetSent) {
        let PacketTuple { src, dst } = reset.tuple;
        let Some(stats) = self.stats.get_mut(&Some(Upstream::Tcp(src))) else { return };
        if let Some((_, begun)) = stats.silent.iter().rev().find(|(local, _)| *local == dst) {
            stats.late = Some((reset.at, reset.at.saturating_sub(*begun)));
        }
    }

    /// How others fared that an attempt may be compared with; `waiting` is counted by the caller.
    pub(in crate::engine) fn siblings(
        &self,
        upstream: Option<&Upstream>,
        id: AttemptId,
        now: Nanos,
    ) -> Siblings {
        let Some(upstream) = upstream else { return Siblings::default() };
        let mut siblings = Siblings::default();
        if let Some(stats) = self.stats.get(&Some(upstream.clone())) {
            (siblings.established, siblings.answered) = stats.lately(now);
            siblings.late = stats.late.filter(|(at, _)| at.saturating_add(WINDOW) >= now);
            for (_, _, outcome) in
                stats.recent.iter().filter(|(at, other, _)| *other != id && at.saturating_add(WINDOW) >= now)
            {
                match outcome {
                    Outcome::Silent => siblings.silent += 1,
                    Outcome::Refused => siblings.refused += 1,
                    Outcome::Other => {}
                }
            }
        }
        siblings.other_ports = self.other_ports(upstream, now);
        siblings
    }

    /// How others fared at this upstream is not known: it found no room in a table, here or on the kernel side.
    pub(in crate::engine) fn uncounted(&self, upstream: Option<&Upstream>, counters_lost: bool) -> bool {
        let Some(upstream) = upstream.filter(|_| counters_lost || self.stats.len() >= MAX_UPSTREAMS) else {
            return false;
        };
        self.stats.get(&Some(upstream.clone())).is_none_or(|stats| counters_lost && stats.sample.is_none())
    }

    fn other_ports(&self, upstream: &Upstream, now: Nanos) -> Vec<OtherPort> {
        let Upstream::Tcp(own) = upstream else { return Vec::new() };
        let ports = self.ports.get(&own.ip()).into_iter().flatten().filter(|other| *other != own);
        let alive = |other: &SocketAddr| {
            self.stats.get(&Some(Upstream::Tcp(*other)))?.sign_of_life(other.port(), now)
        };
        ports.filter_map(alive).take(MAX_PORTS).collect()
    }

    /// Connections begun: the kernel's counters if there are any, else those that events told of.
    pub(in crate::engine) fn attempts(&self) -> u64 {
        let samples = self.stats.values().filter_map(|stats| stats.sample.as_ref());
        let counted = samples.fold(0_u64, |sum, sample| sum.saturating_add(sample.attempts));
        if counted > 0 { counted } else { self.stats.values().map(|stats| stats.seen).sum() }
    }

    pub(in crate::engine) fn summaries(&self) -> Vec<UpstreamSummary> {
        let mut all: Vec<_> =
            self.stats.iter().map(|(upstream, stats)| stats.summary(upstream.clone())).collect();
        all.sort_by(|a, b| {
            (b.failures, b.requests).cmp(&(a.failures, a.requests)).then_with(|| a.upstream.cmp(&b.upstream))
        });
        all
    }
}

impl UpstreamStats {
    fn lately(&self, now: Nanos) -> (Option<Nanos>, Option<Nanos>) {
        let fresh = |at: Nanos| (at != 0 && at.saturating_add(WINDOW) >= now).then_some(at);
        self.sample
            .as_ref()
            .map_or((None, None), |sample| (fresh(sample.last_established), fresh(sample.last_answer)))
    }

    fn sign_of_life(&self, port: u16, now: Nanos) -> Option<OtherPort> {
        if let Some(at) = self.lately(now).0 {
            return Some(OtherPort { port, established: true, at });
        }
        let refused = self
            .recent
            .iter()
            .rev()
            .find(|(at, _, how)| *how == Outcome::Refused && at.saturating_add(WINDOW) >= now);
        refused.map(|(at, ..)| OtherPort { port, established: false, at: *at })
    }

    fn summary(&self, upstream: Option<Upstream>) -> UpstreamSummary {
        let sample = self.sample.as_ref();
        let count = |pick: fn(&UpstreamSample) -> u64| sample.map_or(0, pick);
        UpstreamSummary {
            upstream,
            group: None,
            attempts: sample.map_or(self.seen, |sample| sample.attempts),
            established: count(|sample| sample.established),
            failures: self.failures,
            requests: count(|sample| sample.requests),
            connect: sample.and_then(|sample| percentiles(&sample.connect, sample.sub_bits)),
            first_byte: sample.and_then(|sample| percentiles(&sample.first_byte, sample.sub_bits)),
        }
    }
}
