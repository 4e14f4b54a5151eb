//! Names that nginx looked up in vain.
//!
//! Several requests may wait for one lookup, and nginx may look names up on its own behalf: where its lines are read,
//! each line is a failure, and a lookup without a line is none. Otherwise each lookup is one.

use crate::bounded::Bounded;
use crate::case::{BenignEnd, Case, servers};
use crate::engine::Engine;
use crate::engine::judge::verdicts::verdict;
use crate::engine::logjoin::logs::{LINE_COMES, Logs};
use crate::engine::stores::overflow::Overflow;
use crate::engine::stores::upstreams::Outcome;
use crate::event::{AttemptId, LogLine, Lookup, LookupState, MS, Nanos, Pass, SECOND, Upstream, weigh_rare};
use crate::verdict::{Confidence, Output, Resolved};

/// Lookups kept; the oldest make room.
const MAX_LOOKUPS: usize = 4_096;
/// Bytes of all lookups.
const MAX_BYTES: usize = 16 << 20;
/// How long a lookup that is over may still get lines.
const AFTER: Nanos = 2 * SECOND;
/// nginx writes its lines as soon as a lookup has failed; with another name if that stands for it (CNAME).
const AT_ONCE: Nanos = 500 * MS;

#[derive(Debug)]
struct Tracked {
    lookup: Lookup,
    /// The verdict that was reported last.
    reported: Option<(&'static str, Confidence)>,
    /// It has a line, or has been reported without.
    done: bool,
}

impl Tracked {
    fn is_over(&self) -> bool {
        matches!(self.lookup.state, LookupState::Failed(_) | LookupState::GivenUp)
    }
}

/// Lookups in trouble, oldest first.
#[derive(Debug)]
pub(in crate::engine) struct DnsLookups {
    by_id: Bounded<AttemptId, Tracked>,
    /// Lookups that made room before they were reported.
    pub(in crate::engine) lost: Overflow,
}

impl Default for DnsLookups {
    fn default() -> Self {
        let weigh = |tracked: &Tracked| weigh_rare(&tracked.lookup);
        let by_id = Bounded::with_max_bytes(MAX_LOOKUPS, MAX_BYTES, weigh);
        Self { by_id, lost: Overflow::default() }
    }
}

impl DnsLookups {
    fn keep(&mut self, lookup: Lookup) {
        let (id, at) = (lookup.id, lookup.at);
        let tracked = match self.by_id.remove(&id) {
            Some(known) => Tracked { lookup, ..known },
            None => Tracked { lookup, reported: None, done: false },
        };
        for evicted in self.by_id.insert(id, tracked, at) {
            if !evicted.value.done {
                self.lost.note(evicted.value.lookup.begun, at);
            }
        }
    }

    /// The lookup that a line is about, and whether it is the first line about it.
    pub(in crate::engine) fn of(&mut self, line: &LogLine) -> Option<(Lookup, bool)> {
        let name = line.message.split_once(" could not be resolved (")?.0;
        let worker = line.worker?;
        let timely = |found: &Tracked| match found.lookup.state {
            LookupState::Open | LookupState::GivenUp => found.lookup.begun <= line.at,
            LookupState::Failed(_) => line.at <= found.lookup.at.saturating_add(AFTER),
            LookupState::Answered => false,
        };
        let at_once = |found: &Tracked| {
            let failed = matches!(found.lookup.state, LookupState::Failed(_));
            failed && line.at.abs_diff(found.lookup.at) <= AT_ONCE && !found.done
        };
        let mine = || self.by_id.values().rev().filter(|found| found.lookup.worker == worker);
        let id = mine()
            .find(|found| found.lookup.name.eq_ignore_ascii_case(name) && timely(found))
            .or_else(|| mine().find(|found| at_once(found)))
            .map(|found| found.lookup.id)?;
        let found = self.by_id.get_mut(&id)?;
        let first = !std::mem::replace(&mut found.done, true);
        Some((found.lookup.clone(), first))
    }

    /// Lookups whose time has come without a line, and whether each had been reported.
    fn due(&mut self, now: Nanos, logs: &Logs) -> Vec<(Lookup, bool)> {
        let due = |found: &&Tracked| {
            let waits = if logs.unread(found.lookup.worker) { 0 } else { LINE_COMES };
            found.is_over() && !found.done && found.lookup.at.saturating_add(waits) <= now
        };
        let ids: Vec<_> = self.by_id.values().filter(due).map(|found| found.lookup.id).collect();
        let mut all = Vec::new();
        for id in ids {
            if let Some(found) = self.by_id.get_mut(&id) {
                found.done = true;
                all.push((found.lookup.clone(), found.reported.is_some()));
            }
        }
        all
    }

    /// Forgets what is too old, and what is over.
    fn expire(&mut self, now: Nanos) {
        self.retain(|found| {
            found.lookup.state == LookupState::Open || found.lookup.at.saturating_add(AFTER) >= now
        });
    }

    pub(in crate::engine) fn forget(&mut self, worker: u32) {
        self.retain(|found| found.lookup.worker != worker);
    }

    fn retain(&mut self, keep: impl Fn(&Tracked) -> bool) {
        let gone: Vec<_> = self.by_id.iter().filter(|(_, found)| !keep(found)).map(|(id, _)| *id).collect();
        for id in gone {
            self.by_id.remove(&id);
        }
    }

    fn reported(&self, id: AttemptId) -> Option<(&'static str, Confidence)> {
        self.by_id.get(&id)?.reported
    }

    fn report(&mut self, id: AttemptId, verdict: (&'static str, Confidence)) {
        if let Some(known) = self.by_id.get_mut(&id) {
            known.reported = Some(verdict);
        }
    }
}

impl Engine {
    pub(in crate::engine) fn on_lookup(&mut self, lookup: Lookup, out: &mut Vec<Output>) {
        if self.is_carried(&lookup) {
            return;
        }
        let waited = lookup.at.saturating_sub(lookup.begun);
        match lookup.state {
            LookupState::Open if waited >= self.slow.unwrap_or(SECOND) => {
                self.dns_lookups.keep(lookup.clone());
                self.pending_lookup(&lookup, out);
                return;
            }
            LookupState::Answered if self.dns_lookups.reported(lookup.id).is_some() => {
                out.push(resolved(&lookup, BenignEnd::Answered));
            }
            _ => {}
        }
        self.dns_lookups.keep(lookup);
    }

    /// The queries are a client's: `stream` carries datagrams to that very address, and balances name servers. nginx's
    /// own resolver asking there as well is told by its lines.
    fn is_carried(&self, lookup: &Lookup) -> bool {
        let (Some(config), Some(server)) = (self.configs.of(lookup.worker), lookup.server()) else {
            return false;
        };
        let server = Upstream::Tcp(server);
        let to_group = servers(config, &server).into_iter().any(|(group, _)| group.stream);
        let direct = |pass: &Pass| {
            pass.stream && pass.target.as_ref().is_some_and(|target| target.is(&server) == Some(true))
        };
        to_group || config.passes.iter().any(direct)
    }

    fn pending_lookup(&mut self, lookup: &Lookup, out: &mut Vec<Output>) {
        let mut case = Case::of_lookup(lookup, None);
        self.fill(&mut case);
        let verdict = verdict(&case, false);
        drop(case);
        let reported = (verdict.cause, verdict.confidence);
        if self.dns_lookups.reported(lookup.id) != Some(reported) {
            self.dns_lookups.report(lookup.id, reported);
            out.push(Output::Pending(verdict));
        }
    }

    /// Reports lookups for which no line came.
    pub(in crate::engine) fn report_lookups(&mut self, now: Nanos, out: &mut Vec<Output>) {
        for (lookup, warned) in self.dns_lookups.due(now, &self.logs) {
            // nginx would have said so: it asked on its own behalf, or its clients had left.
            if self.logs.tells(lookup.worker, now) {
                out.extend(warned.then(|| resolved(&lookup, BenignEnd::ClientGone)));
                continue;
            }
            let mut case = Case::of_lookup(&lookup, None);
            self.fill(&mut case);
            let verdict = verdict(&case, false);
            drop(case);
            self.report(verdict, Outcome::Other, out);
        }
        self.dns_lookups.expire(now);
    }
}

fn resolved(lookup: &Lookup, benign_end: BenignEnd) -> Output {
    let upstream = lookup.server().map(Upstream::Tcp);
    Output::Resolved(Resolved { attempt: lookup.id, at: lookup.at, upstream, how: benign_end.name() })
}

#[cfg(test)]
mod tests;
