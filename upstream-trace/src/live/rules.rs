//! Which rule of a firewall dropped a packet: read and searched on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use upstream_trace_core::event::{Dweller, Event, Fact, Nanos, PacketDrop, Route, Rules, Upstream};

use super::context::{Batch, Context};
use super::worker::Worker;
use crate::firewall::Rulesets;
use crate::host::netns::{self, Namespace, Way};
use crate::host::workload;
use crate::netcontext::Enricher;

/// Packets that may wait.
const WAITING: usize = 256;
/// Of packets that belong to no attempt, so many a second are looked at: a flood of strangers' packets must not keep those
/// of nginx waiting.
const STRANGERS: u32 = 64;
/// Listing a large ruleset takes up to 15 s, three programs with 5 s each.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at whether a ruleset that took long has been read.
const LOOK: Nanos = 100_000_000;
/// So long after a packet there may be an answer.
const COMES: Nanos = 60_000_000_000;
/// So long after a packet all that was kept of namespaces and rulesets is old enough to be let go.
const LET_GO: Nanos = 2 * COMES;

enum Question {
    Dropped(Box<PacketDrop>, Vec<u32>, Nanos),
    Late(Nanos),
}

/// Looks up the rules that dropped packets.
pub(super) struct FirewallRules {
    worker: Worker<Question, Vec<Rules>>,
    /// When a packet was last dropped; 0 if none was.
    dropped: Nanos,
    looked: Nanos,
    /// The second of that, and strangers' packets in it.
    second: (Nanos, u32),
    left_out: u64,
}

impl FirewallRules {
    pub(super) fn new(wake: &Arc<Notify>) -> Self {
        let make = || {
            let (mut rulesets, mut enricher) = (Rulesets::new(), Enricher::new());
            let mut workers = Vec::new();
            let answer = move |question| {
                let mut found = match question {
                    Question::Dropped(packet, pids, now) => {
                        workers = pids;
                        look_up(&mut rulesets, &mut enricher, &packet, &workers, now)
                    }
                    Question::Late(now) => {
                        enricher.tidy(now);
                        rulesets.poll(now)
                    }
                };
                for rules in &mut found {
                    rules.dweller = dweller(rules.netns, &workers);
                }
                found
            };
            Box::new(answer) as Box<dyn FnMut(Question) -> Vec<Rules>>
        };
        let worker = Worker::new("firewall", make, WAITING, LIMIT, wake);
        Self { worker, dropped: 0, looked: 0, second: (0, 0), left_out: 0 }
    }

    /// Begins to look up the rules that may have dropped this packet.
    pub(super) fn notice(&mut self, event: &Event, context: &Context, now: Nanos) {
        let Event::Drop(packet) = event else { return };
        if packet.netfilter.is_none() {
            return;
        }
        if packet.attempt.is_none() {
            let second = now / 1_000_000_000;
            let count = if self.second.0 == second { self.second.1 + 1 } else { 1 };
            self.second = (second, count);
            if count > STRANGERS {
                self.left_out += 1;
                return;
            }
        }
        self.dropped = now;
        self.worker.ask(Question::Dropped(Box::new(packet.clone()), context.nginx.worker_pids(), now));
    }

    /// What was found since the last time.
    pub(super) fn poll(&mut self, now: Nanos, to: &mut Batch) {
        while let Some(rules) = self.worker.answer() {
            to.events.extend(rules.into_iter().map(Event::Rules));
        }
        if self.worker.give_up().is_some() {
            to.note(now, "Reading the firewall's rules does not come back: they are not named.".to_owned());
        }
        if self.dropped == 0 {
            return;
        }
        let age = now.saturating_sub(self.dropped);
        let (expected, over) = (age < COMES, age > LET_GO);
        let idle = self.worker.asked() == self.worker.answered();
        if (expected || over) && idle && now.saturating_sub(self.looked) >= LOOK {
            (self.looked, self.dropped) = (now, if over { 0 } else { self.dropped });
            self.worker.ask(Question::Late(now));
        }
    }

    /// Up to which question answers have to come before what was asked for is judged.
    pub(super) fn asked(&self) -> u64 {
        self.worker.asked()
    }

    /// Up to which question they have come.
    pub(super) fn answered(&self) -> u64 {
        self.worker.answered()
    }

    /// Packets that were not looked at.
    pub(super) fn lost(&self) -> u64 {
        self.worker.lost + self.left_out
    }
}

fn look_up(
    rulesets: &mut Rulesets,
    enricher: &mut Enricher,
    packet: &PacketDrop,
    workers: &[u32],
    now: Nanos,
) -> Vec<Rules> {
    let own = std::process::id();
    let near = |inode: u32| {
        let mut pids = workers.iter().copied().chain([own]);
        pids.find(|pid| inode == 0 || netns::inode_of(*pid) == Some(inode))
    };
    let open = |inode: u32| Namespace::open(inode, near(inode).map(Way::Process).as_ref());
    let device = |to| {
        let facts =
            enricher.facts(near(packet.netns).unwrap_or(0), packet.netns, &Upstream::Tcp(to), now)?.facts;
        facts.into_iter().find_map(|fact| match fact {
            Fact::Route(Route::Found { local: true, .. }) => Some("lo".to_owned()),
            Fact::Route(Route::Found { interface, .. }) => interface,
            _ => None,
        })
    };
    rulesets.dropped(packet, now, open, device)
}

/// Who lives in a network namespace that is not nginx's.
fn dweller(inode: u32, workers: &[u32]) -> Option<Dweller> {
    /// Of the host, if this program is not in a container.
    const INIT: u32 = 1;
    if inode == 0 || workers.iter().any(|pid| netns::inode_of(*pid) == Some(inode)) {
        return None;
    }
    let host = netns::inode_of(INIT) == Some(inode);
    Some(match Way::find(inode)? {
        Way::Process(pid) => Dweller { pid, name: None, host, home: workload(pid).filter(|_| !host) },
        Way::Named(name) => Dweller { pid: 0, name: Some(name), host, home: None },
    })
}
