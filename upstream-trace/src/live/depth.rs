//! `--depth`: when what nginx sends and receives is watched.
//!
//! The hooks on sends and receives cost more than all others together, and most of the time there is nothing to learn from
//! them. So they are attached from the first sign of trouble until it has been quiet for a while, and for short samples in
//! between, from which latencies and error statuses come.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use upstream_trace_common::flags;
use upstream_trace_core::case::http2_upstreams;
use upstream_trace_core::errorlog;
use upstream_trace_core::event::{Event, Nanos, SECOND, Upstream};

use super::context::Context;
use crate::cli::Depth as Mode;

/// Without a sign of trouble for so long, it is quiet.
const QUIET: Duration = Duration::from_secs(30);
/// From the begin of a sample to the begin of the next.
const EVERY: Duration = Duration::from_secs(30);
/// How long the first sample lasts: who starts a trace mostly has a reason.
const FIRST: Duration = Duration::from_secs(5);
/// How long a sample lasts.
const SAMPLE: Duration = Duration::from_secs(1);
/// For so long they stay away once they cost too much.
const TOO_MUCH: Duration = Duration::from_mins(1);

/// A request on a unix socket that is under way when they should go keeps them for so long: until it is answered, or is
/// stuck, which is trouble.
const LINGER: Duration = Duration::from_secs(3);

/// When they are attached.
#[derive(Debug)]
pub(super) struct Depth {
    mode: Mode,
    /// The next sample begins.
    sample: Instant,
    /// Trouble, or a sample, keeps them until then.
    until: Instant,
    /// They cost too much, and stay away until then.
    away: Option<Instant>,
    /// They cannot be attached.
    refused: bool,
    /// Upstreams to which some nginx speaks HTTP/2.
    http2: HashSet<Upstream>,
    /// How long they were attached altogether, and since when they are.
    deep: Duration,
    since: Option<Instant>,
}

impl Depth {
    /// Begins with a sample.
    pub(super) fn new(mode: Mode, now: Instant) -> Self {
        Self {
            mode,
            sample: now + EVERY,
            until: now + FIRST,
            away: None,
            refused: false,
            http2: HashSet::new(),
            deep: Duration::ZERO,
            since: (mode != Mode::Watch).then_some(now),
        }
    }

    /// A sign of trouble.
    pub(super) fn trouble(&mut self, now: Instant) {
        self.until = self.until.max(now + QUIET);
    }

    /// Whether an event is a sign of trouble.
    pub(super) fn notice(&mut self, event: &Event) {
        if let Event::Config(config) = event {
            self.http2.extend(http2_upstreams(config).cloned());
        }
        let sign = match event {
            // An idle connection of HTTP/2 on which nginx spoke last, as it answers a PING, looks like one that waits.
            Event::Trouble(attempt) if attempt.by_socket => {
                attempt.upstream.as_ref().is_none_or(|upstream| !self.http2.contains(upstream))
            }
            Event::Trouble(_) | Event::ConnectError(_) => true,
            Event::End(attempt) => !attempt.in_doubt && attempt.benign_end(SECOND).is_none(),
            Event::Log(line) => line.upstream.is_some() && errorlog::kind(line).is_some(),
            _ => false,
        };
        if sign {
            self.trouble(Instant::now());
        }
    }

    /// Attaches them or detaches them, if it is time to. True if they were detached.
    pub(super) fn poll(&mut self, now: Nanos, context: &mut Context) -> bool {
        let at = Instant::now();
        let wanted = self.wants(at);
        if wanted == self.is_deep() {
            return false;
        }
        if !wanted && at < self.until + LINGER && waits_on_unix(context) {
            return false;
        }
        if !wanted {
            // Before they go: a request that is under way would look as if it were never answered.
            context.tables.watch_io(0);
            context.kernel.detach_io();
        } else if context.kernel.attach_io(&context.layout, &context.choice) {
            context.tables.watch_io(now);
        } else {
            self.give_up(at);
            return false;
        }
        self.changed(wanted, at);
        log::debug!("what nginx sends and receives is {}watched", if wanted { "" } else { "not " });
        !wanted
    }

    /// They cost more than they may.
    pub(super) fn too_much(&mut self, now: Instant) {
        self.away = Some(now + TOO_MUCH);
    }

    /// They cannot be attached, or were given up for good.
    pub(super) fn give_up(&mut self, now: Instant) {
        self.refused = true;
        self.changed(false, now);
    }

    /// Whether they are only attached for a part of the time.
    pub(super) fn is_auto(&self) -> bool {
        self.mode == Mode::Auto && !self.refused
    }

    /// Whether they should be attached now.
    pub(super) fn wants(&mut self, now: Instant) -> bool {
        match self.mode {
            _ if self.refused => false,
            Mode::Deep => true,
            Mode::Watch => false,
            Mode::Auto => {
                if self.away.take_if(|away| *away <= now).is_none() && self.away.is_some() {
                    return false;
                }
                if now >= self.sample {
                    self.sample = now + EVERY;
                    self.until = self.until.max(now + SAMPLE);
                }
                now < self.until
            }
        }
    }

    /// Whether they are attached.
    pub(super) fn is_deep(&self) -> bool {
        self.since.is_some()
    }

    /// They were attached, or detached.
    pub(super) fn changed(&mut self, deep: bool, now: Instant) {
        self.deep += self.since.take().map_or(Duration::ZERO, |since| now - since);
        self.since = deep.then_some(now);
    }

    /// How long they were attached until now.
    pub(super) fn lasted(&self, now: Instant) -> Duration {
        self.deep + self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

/// Whether a request is under way on a unix socket. Its socket does not tell that, once nobody watches.
fn waits_on_unix(context: &Context) -> bool {
    const WAITS: u32 = flags::UNIX | flags::OUTSTANDING;
    context.tables.has_unix() && context.tables.records().any(|record| record.flags & WAITS == WAITS)
}

#[cfg(test)]
mod tests {
    use upstream_trace_core::event::{Attempt, AttemptId, Config, Pass, Target};

    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_sample_now_and_then() {
        let begin = Instant::now();
        let mut depth = Depth::new(Mode::Auto, begin);
        let deep: Vec<u32> = (0..65).filter(|second| depth.wants(begin + S * *second)).collect();
        assert_eq!(deep, [0, 1, 2, 3, 4, 30, 60]);
    }

    #[test]
    fn trouble_keeps_it_until_it_was_quiet_for_a_while() {
        let begin = Instant::now();
        let mut depth = Depth::new(Mode::Auto, begin);
        assert!(!depth.wants(begin + 5 * S));
        depth.trouble(begin + 5 * S);
        depth.trouble(begin + 20 * S);
        assert!(depth.wants(begin + 49 * S) && !depth.wants(begin + 55 * S));
    }

    #[test]
    fn what_costs_too_much_stays_away_for_a_while() {
        let begin = Instant::now();
        let mut depth = Depth::new(Mode::Auto, begin);
        depth.trouble(begin + 100 * S);
        depth.too_much(begin);
        assert!(!depth.wants(begin + 59 * S) && depth.wants(begin + 61 * S));
    }

    #[test]
    fn watch_and_deep_do_not_change() {
        let begin = Instant::now();
        let (mut watch, mut deep) = (Depth::new(Mode::Watch, begin), Depth::new(Mode::Deep, begin));
        watch.trouble(begin);
        assert!(!watch.wants(begin) && deep.wants(begin + 1000 * S));
        deep.give_up(begin);
        assert!(!deep.wants(begin));
    }

    #[test]
    fn how_long_it_was_deep() {
        let begin = Instant::now();
        let mut depth = Depth::new(Mode::Auto, begin);
        depth.changed(false, begin + S);
        depth.changed(true, begin + 30 * S);
        assert_eq!(depth.lasted(begin + 32 * S), 3 * S);
    }

    #[test]
    fn an_idle_connection_of_http2_is_no_trouble() {
        let address = Upstream::Tcp(([10, 0, 0, 2], 8080).into());
        let target = Target { addresses: vec![address.clone()], ..Target::default() };
        let pass = Pass { http2: true, target: Some(target), ..Pass::default() };
        let config = Config { passes: vec![pass], ..Config::default() };
        let attempt = Attempt::blank(AttemptId::from_kernel(1), 0, 7, Some(address));
        let attempt = Attempt { by_socket: true, ..attempt };
        let begin = Instant::now();
        let mut depth = Depth::new(Mode::Auto, begin);
        depth.notice(&Event::Config(Box::new(config)));
        depth.notice(&Event::Trouble(attempt.clone()));
        assert!(!depth.wants(begin + FIRST));
        depth.notice(&Event::Trouble(Attempt { by_socket: false, ..attempt }));
        assert!(depth.wants(begin + FIRST), "that one was watched");
    }
}
