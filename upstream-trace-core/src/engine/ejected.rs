//! What ejected the peers of a group, for `no-live-upstreams`.

use std::collections::VecDeque;

use crate::case::SECOND;
use crate::event::{LogLine, Nanos};
use crate::verdict::{Phase, Verdict};

/// Failures remembered.
const KEPT: usize = 1_024;
/// nginx's own `fail_timeout`, unless told otherwise; then the longest that is looked back.
const WINDOWS: [Nanos; 2] = [10 * SECOND, 60 * SECOND];

#[derive(Debug)]
struct Failure {
    at: Nanos,
    worker: u32,
    server: Option<String>,
    cause: &'static str,
}

/// Recent failures that count against a peer.
#[derive(Debug, Default)]
pub(super) struct Ejected {
    recent: VecDeque<Failure>,
}

impl Ejected {
    pub(super) fn failed(&mut self, verdict: &Verdict) {
        let by_itself = matches!(verdict.cause, "no-live-upstreams" | "fd-limit" | "worker-connections");
        if by_itself || verdict.phase == Phase::Resolve {
            return;
        }
        let server = verdict.log.as_ref().and_then(|line| line.server.clone());
        self.recent.push_back(Failure {
            at: verdict.at,
            worker: verdict.worker,
            server,
            cause: verdict.cause,
        });
        if self.recent.len() > KEPT {
            self.recent.pop_front();
        }
    }

    /// The causes, most frequent first. The line names the group and not its peers: failures of the same server block
    /// count, else those of the same worker, else (the group may be shared) those of all.
    pub(super) fn because(&self, line: &LogLine) -> Vec<&'static str> {
        let worker = |failure: &Failure| Some(failure.worker) == line.worker;
        let server =
            |failure: &Failure| worker(failure) && failure.server.is_some() && failure.server == line.server;
        for window in WINDOWS {
            let lately = |failure: &&Failure| {
                failure.at <= line.at.saturating_add(SECOND) && failure.at.saturating_add(window) >= line.at
            };
            let scopes: [&dyn Fn(&Failure) -> bool; 3] = [&server, &worker, &|_| true];
            for scope in scopes {
                let causes = count(self.recent.iter().filter(lately).filter(|failure| scope(failure)));
                if !causes.is_empty() {
                    return causes;
                }
            }
        }
        Vec::new()
    }
}

fn count<'a>(failures: impl Iterator<Item = &'a Failure>) -> Vec<&'static str> {
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    for failure in failures {
        match counts.iter_mut().find(|(cause, _)| *cause == failure.cause) {
            Some((_, count)) => *count += 1,
            None => counts.push((failure.cause, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().map(|(cause, _)| cause).collect()
}
