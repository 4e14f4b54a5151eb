//! Names that nginx looked up in vain.
//!
//! Several requests may wait for one lookup, and nginx may look names up on its own behalf: where its lines are read,
//! each line is a failure, and a lookup without a line is none. Otherwise each lookup is one.

use std::collections::{BTreeMap, VecDeque};

use crate::case::{BenignEnd, Case};
use crate::engine::Engine;
use crate::engine::judge::verdicts::verdict;
use crate::engine::logjoin::logs::{KEYS, LINE_COMES, Logs};
use crate::engine::stores::overflow::Overflow;
use crate::engine::stores::upstreams::Outcome;
use crate::event::{AttemptId, LogLine, Lookup, LookupState, Nanos, Upstream};
use crate::event::{MS, SECOND};
use crate::verdict::{Confidence, Output, Resolved};

/// Kept per worker; the oldest make room.
const KEPT: usize = 64;
/// How long a lookup that is over may still get lines.
const AFTER: Nanos = 2 * SECOND;
/// nginx writes its lines as soon as a lookup has failed; with another name if that stands for it (CNAME).
const AT_ONCE: Nanos = 500 * MS;

#[derive(Debug)]
struct Name {
    lookup: Lookup,
    /// The verdict that was told last.
    said: Option<(&'static str, Confidence)>,
    /// It has a line, or has been told of without.
    done: bool,
}

/// Lookups in trouble, by worker, oldest first.
#[derive(Debug, Default)]
pub(in crate::engine) struct DnsLookups {
    by_worker: BTreeMap<u32, VecDeque<Name>>,
    /// Lookups that found no room, or made room before they were told.
    pub(in crate::engine) lost: Overflow,
}

impl DnsLookups {
    fn keep(&mut self, lookup: &Lookup) {
        if self.by_worker.len() >= KEYS && !self.by_worker.contains_key(&lookup.worker) {
            self.lost.note(lookup.begun, lookup.at);
            return;
        }
        let names = self.by_worker.entry(lookup.worker).or_default();
        if let Some(known) = names.iter_mut().find(|known| known.lookup.id == lookup.id) {
            known.lookup = lookup.clone();
            return;
        }
        names.push_back(Name { lookup: lookup.clone(), said: None, done: false });
        if names.len() > KEPT
            && let Some(oldest) = names.pop_front()
            && !oldest.done
        {
            self.lost.note(oldest.lookup.begun, lookup.at);
        }
    }

    /// The lookup that a line is about, and whether it is the first line about it.
    pub(in crate::engine) fn of(&mut self, line: &LogLine) -> Option<(Lookup, bool)> {
        let name = line.message.split_once(" could not be resolved (")?.0;
        let names = self.by_worker.get_mut(&line.worker?)?;
        let timely = |found: &Name| match found.lookup.state {
            LookupState::Open | LookupState::GivenUp => found.lookup.begun <= line.at,
            LookupState::Failed(_) => line.at <= found.lookup.at.saturating_add(AFTER),
            LookupState::Answered => false,
        };
        let at_once = |found: &Name| {
            let failed = matches!(found.lookup.state, LookupState::Failed(_));
            failed && line.at.abs_diff(found.lookup.at) <= AT_ONCE && !found.done
        };
        let index = names
            .iter()
            .rposition(|found| found.lookup.name.eq_ignore_ascii_case(name) && timely(found))
            .or_else(|| names.iter().rposition(at_once))?;
        let found = names.get_mut(index)?;
        let first = !std::mem::replace(&mut found.done, true);
        Some((found.lookup.clone(), first))
    }

    /// A lookup whose time has come without a line, and whether it had been told of.
    fn due(&mut self, now: Nanos, logs: &Logs) -> Option<(Lookup, bool)> {
        for (worker, names) in &mut self.by_worker {
            let waits = if logs.unread(*worker) { 0 } else { LINE_COMES };
            let due = names.iter_mut().find(|found| {
                let over = matches!(found.lookup.state, LookupState::Failed(_) | LookupState::GivenUp);
                over && !found.done && found.lookup.at.saturating_add(waits) <= now
            });
            if let Some(found) = due {
                found.done = true;
                return Some((found.lookup.clone(), found.said.is_some()));
            }
        }
        None
    }

    /// Forgets what is too old, and what is over.
    fn expire(&mut self, now: Nanos) {
        self.by_worker.retain(|_, names| {
            names.retain(|found| {
                found.lookup.state == LookupState::Open || found.lookup.at.saturating_add(AFTER) >= now
            });
            !names.is_empty()
        });
    }

    pub(in crate::engine) fn forget(&mut self, worker: u32) {
        self.by_worker.remove(&worker);
    }

    fn told(&self, id: AttemptId) -> Option<(&'static str, Confidence)> {
        self.by_worker.values().flatten().find(|known| known.lookup.id == id)?.said
    }

    fn say(&mut self, lookup: &Lookup, said: (&'static str, Confidence)) {
        let names = self.by_worker.get_mut(&lookup.worker);
        if let Some(known) =
            names.and_then(|names| names.iter_mut().find(|known| known.lookup.id == lookup.id))
        {
            known.said = Some(said);
        }
    }
}

impl Engine {
    pub(in crate::engine) fn on_lookup(&mut self, lookup: &Lookup, out: &mut Vec<Output>) {
        self.dns_lookups.keep(lookup);
        let waited = lookup.at.saturating_sub(lookup.begun);
        match lookup.state {
            LookupState::Open if waited >= self.slow.unwrap_or(SECOND) => self.pending_lookup(lookup, out),
            LookupState::Answered if self.dns_lookups.told(lookup.id).is_some() => {
                out.push(resolved(lookup, BenignEnd::Answered));
            }
            _ => {}
        }
    }

    fn pending_lookup(&mut self, lookup: &Lookup, out: &mut Vec<Output>) {
        let mut case = Case::of_lookup(lookup, None);
        self.fill(&mut case);
        let verdict = verdict(&case, false);
        drop(case);
        let said = (verdict.cause, verdict.confidence);
        if self.dns_lookups.told(lookup.id) != Some(said) {
            self.dns_lookups.say(lookup, said);
            out.push(Output::Pending(verdict));
        }
    }

    /// Tells of lookups for which no line came.
    pub(in crate::engine) fn tell_lookups(&mut self, now: Nanos, out: &mut Vec<Output>) {
        while let Some((lookup, warned)) = self.dns_lookups.due(now, &self.logs) {
            // nginx would have said so: it asked on its own behalf, or its clients had left.
            if self.logs.followed(lookup.worker) {
                out.extend(warned.then(|| resolved(&lookup, BenignEnd::ClientGone)));
                continue;
            }
            let mut case = Case::of_lookup(&lookup, None);
            self.fill(&mut case);
            let verdict = verdict(&case, false);
            drop(case);
            self.tell(verdict, Outcome::Other, out);
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
