//! What ejected the peers of a group, for `no-live-upstreams`.

use std::collections::VecDeque;

use crate::case::servers;
use crate::errorlog;
use crate::event::SECOND;
use crate::event::{Config, LogLine, Nanos, Upstream};
use crate::verdict::{Ejection, Phase, Verdict};

/// Failures remembered.
const MAX_FAILURES: usize = 1_024;
/// nginx's own `fail_timeout`, unless told otherwise; then the longest that is looked back.
const WINDOWS: [Nanos; 2] = [10 * SECOND, 60 * SECOND];
/// Peers and causes that are reported.
const MAX_REPORTED: usize = 16;

#[derive(Debug)]
struct Failure {
    at: Nanos,
    worker: u32,
    server: Option<String>,
    upstream: Option<Upstream>,
    cause: &'static str,
}

/// Recent failures that count against a peer.
#[derive(Debug, Default)]
pub(in crate::engine) struct Ejected {
    recent: VecDeque<Failure>,
}

impl Ejected {
    pub(in crate::engine) fn failed(&mut self, verdict: &Verdict) {
        if verdict.phase == Phase::Resolve {
            return;
        }
        let server = verdict.log.as_ref().and_then(|line| line.server.clone());
        self.recent.push_back(Failure {
            at: verdict.at,
            worker: verdict.worker,
            server,
            upstream: verdict.upstream.clone(),
            cause: verdict.cause,
        });
        if self.recent.len() > MAX_FAILURES {
            self.recent.pop_front();
        }
    }

    /// Peers and causes, in order of time. The line names the group: failures of its peers count, if the configuration
    /// tells which these are; else those of the same server block, else those of the same worker, else (the group may
    /// be shared) those of all.
    pub(in crate::engine) fn of(&self, line: &LogLine, config: Option<&Config>) -> Vec<Ejection> {
        let group = errorlog::upstream_group(line);
        let peer = |failure: &Failure| {
            let found = failure.upstream.as_ref().zip(config).map(|(upstream, read)| servers(read, upstream));
            found.is_some_and(|found| found.iter().any(|(of, _)| Some(of.name.as_str()) == group))
        };
        let worker = |failure: &Failure| Some(failure.worker) == line.worker;
        let peer_here = |failure: &Failure| worker(failure) && peer(failure);
        let server =
            |failure: &Failure| worker(failure) && failure.server.is_some() && failure.server == line.server;
        for window in WINDOWS {
            let lately = |failure: &&Failure| {
                failure.at <= line.at.saturating_add(SECOND) && failure.at.saturating_add(window) >= line.at
            };
            let scopes: [&dyn Fn(&Failure) -> bool; 5] = [&peer_here, &peer, &server, &worker, &|_| true];
            for scope in scopes {
                let found = count(self.recent.iter().filter(lately).filter(|failure| scope(failure)));
                if !found.is_empty() {
                    return found;
                }
            }
        }
        Vec::new()
    }
}

/// The causes, most frequent first.
pub(in crate::engine) fn because(ejected: &[Ejection]) -> Vec<&'static str> {
    let mut counts: Vec<(&'static str, u32)> = Vec::new();
    for ejection in ejected {
        match counts.iter_mut().find(|(cause, _)| *cause == ejection.cause) {
            Some((_, count)) => *count += ejection.count,
            None => counts.push((ejection.cause, ejection.count)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().map(|(cause, _)| cause).collect()
}

fn count<'a>(failures: impl Iterator<Item = &'a Failure>) -> Vec<Ejection> {
    let mut found: Vec<Ejection> = Vec::new();
    for failure in failures {
        let same = |one: &Ejection| one.cause == failure.cause && one.upstream == failure.upstream;
        match found.iter().position(same) {
            Some(known) => {
                found[known].count = found[known].count.saturating_add(1);
                found[known].last = found[known].last.max(failure.at);
            }
            None if found.len() < MAX_REPORTED => found.push(Ejection {
                upstream: failure.upstream.clone(),
                cause: failure.cause,
                count: 1,
                last: failure.at,
            }),
            None => {}
        }
    }
    found.sort_by_key(|one| one.last);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{BEGUN, config, line};

    fn ejected(failures: &[(&str, &'static str, u64)]) -> Ejected {
        let failure = |(upstream, cause, at): &(&str, &'static str, u64)| Failure {
            at: BEGUN + at * SECOND,
            worker: 1713,
            server: Some("lab".to_owned()),
            upstream: Some(Upstream::Tcp(upstream.parse().expect("an address"))),
            cause,
        };
        Ejected { recent: failures.iter().map(failure).collect() }
    }

    fn no_live(at: u64) -> LogLine {
        let mut line = line("no live upstreams while connecting to upstream");
        (line.upstream, line.at) = (Some("http://backend/".to_owned()), BEGUN + at * SECOND);
        line
    }

    #[test]
    fn peers_of_the_group_count_if_it_is_known() {
        let found = ejected(&[
            ("10.0.0.3:8080", "slow-response", 1),
            ("10.0.0.2:8080", "port-refused", 2),
            ("10.9.9.9:1", "premature-close", 3),
        ]);
        let read = config();
        let causes = |config| found.of(&no_live(4), config).iter().map(|one| one.cause).collect::<Vec<_>>();
        assert_eq!(causes(Some(&read)), ["slow-response", "port-refused"]);
        assert_eq!(causes(None).len(), 3);
    }

    #[test]
    fn the_same_again_is_counted_and_what_is_long_ago_is_not() {
        let found = ejected(&[("10.0.0.2:8080", "port-refused", 1), ("10.0.0.2:8080", "port-refused", 2)]);
        let told = found.of(&no_live(3), None);
        assert_eq!((told.len(), told[0].count, told[0].last), (1, 2, BEGUN + 2 * SECOND));
        assert_eq!(because(&told), ["port-refused"]);
        assert!(found.of(&no_live(70), None).is_empty());
    }
}
