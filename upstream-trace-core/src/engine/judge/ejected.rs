//! What ejected the peers of a group, for `no-live-upstreams`.

use std::collections::VecDeque;

use crate::case::servers;
use crate::errorlog;
use crate::event::SECOND;
use crate::event::{Config, LogLine, MS, Nanos, Server, Upstream};
use crate::verdict::{Ejection, Phase, Verdict};

/// Failures remembered.
const MAX_FAILURES: usize = 1_024;
/// nginx counts whole seconds, and its lines come a moment later.
const SLACK: Nanos = SECOND;
/// Peers and causes that are reported.
const MAX_REPORTED: usize = 16;

#[derive(Debug)]
struct Failure {
    at: Nanos,
    worker: u32,
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
        self.recent.push_back(Failure {
            at: verdict.at,
            worker: verdict.worker,
            upstream: verdict.upstream.clone(),
            cause: verdict.cause,
        });
        if self.recent.len() > MAX_FAILURES {
            self.recent.pop_front();
        }
    }

    /// Peers of the group that the line names, and causes, in order of time: those that ejected them as this worker counts.
    /// Nothing rather than something wrong: if the configuration does not tell which group a failure belongs to, none.
    pub(in crate::engine) fn of(&self, line: &LogLine, config: Option<&Config>) -> Vec<Ejection> {
        let Some((read, group)) = config.zip(errorlog::upstream_group(line)) else { return Vec::new() };
        let here = |failure: &&Failure| {
            Some(failure.worker) == line.worker && failure.at <= line.at.saturating_add(SLACK)
        };
        let failures: Vec<_> = self
            .recent
            .iter()
            .filter(here)
            .filter_map(|failure| Some((failure, peer(read, failure.upstream.as_ref()?, group)?)))
            .collect();
        let ejected = |(failure, server): &&(&Failure, &Server)| {
            let window = server.fail_timeout_ms.saturating_mul(MS).saturating_add(SLACK);
            let same = |(other, _): &&(&Failure, &Server)| other.upstream == failure.upstream;
            let last = failures.iter().filter(same).map(|(other, _)| other.at).max().unwrap_or(0);
            let since = line.at.saturating_sub(window.saturating_mul(u64::from(server.max_fails)));
            let fails = failures.iter().filter(same).filter(|(other, _)| other.at >= since).count();
            let enough = server.max_fails > 0 && fails >= server.max_fails as usize;
            enough && last.saturating_add(window) >= line.at && failure.at >= since
        };
        count(failures.iter().filter(ejected).map(|(failure, _)| *failure))
    }
}

/// The server of the group that is this upstream; `None` if another group has it, too.
fn peer<'a>(read: &'a Config, upstream: &Upstream, group: &str) -> Option<&'a Server> {
    let found = servers(read, upstream);
    let only = found.iter().all(|(of, _)| of.name == group);
    found.first().filter(|_| only).map(|(_, server)| *server)
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
        assert!(causes(None).is_empty());
    }

    #[test]
    fn the_same_again_is_counted_and_what_is_long_ago_is_not() {
        let found = ejected(&[("10.0.0.2:8080", "port-refused", 1), ("10.0.0.2:8080", "port-refused", 2)]);
        let read = config();
        let told = found.of(&no_live(3), Some(&read));
        assert_eq!((told.len(), told[0].count, told[0].last), (1, 2, BEGUN + 2 * SECOND));
        assert_eq!(because(&told), ["port-refused"]);
        assert!(found.of(&no_live(70), Some(&read)).is_empty());
    }

    #[test]
    fn failures_are_counted_as_nginx_counts_them() {
        let found = ejected(&[("10.0.0.2:8080", "port-refused", 1), ("10.0.0.2:8080", "port-refused", 2)]);
        for (max_fails, expected) in [(0, 0), (1, 1), (2, 1), (3, 0)] {
            let mut read = config();
            read.groups[0].servers[0].max_fails = max_fails;
            assert_eq!(found.of(&no_live(3), Some(&read)).len(), expected, "max_fails={max_fails}");
        }
        let mut other_worker = no_live(3);
        other_worker.worker = Some(1);
        assert!(found.of(&other_worker, Some(&config())).is_empty());
    }

    #[test]
    fn an_address_of_two_groups_ejects_for_neither() {
        let found = ejected(&[("10.0.0.2:8080", "port-refused", 1)]);
        let mut read = config();
        let other = crate::event::Group { name: "other".to_owned(), ..read.groups[0].clone() };
        read.groups.push(other);
        assert!(found.of(&no_live(2), Some(&read)).is_empty());
    }
}
