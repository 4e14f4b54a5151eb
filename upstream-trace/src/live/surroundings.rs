//! What surrounds a failure, looked up while it is fresh, on a thread of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use upstream_trace_core::errno::ECONNREFUSED;
use upstream_trace_core::event::{Enrichment, Event, Nanos, Upstream};

use super::context::Batch;
use super::worker::Worker;
use crate::netcontext::{Enricher, IDLE};

/// The same upstream is not looked up again for so long.
const FRESH: Nanos = 300_000_000;
/// One whose lookup did not come back is not looked up again for so long.
const HANGS: Nanos = 60_000_000_000;
/// A lookup that takes longer hangs: a search through all namespaces takes a second at worst.
const LIMIT: Duration = Duration::from_secs(5);
/// Upstreams that may wait.
const WAITING: usize = 256;
/// Upstreams remembered; beyond that they are all looked up again.
const REMEMBERED: usize = 4_096;

/// The upstream as seen from a network namespace, or from a worker if that is not known; whether it refused.
type Key = (u32, u32, Upstream, bool);

enum Question {
    Facts {
        worker: u32,
        netns: u32,
        upstream: Upstream,
        refused: bool,
        now: Nanos,
    },
    /// Sockets, with the process that holds each and the descriptor there.
    Owners(Vec<(u32, u32, i32)>),
    /// Nothing was looked up for a while: let namespaces go.
    Idle(Nanos),
}

/// Looks up the surroundings of failures.
pub(super) struct Surroundings {
    worker: Worker<Question, Option<Enrichment>>,
    /// Until when each is not looked up again.
    known: HashMap<Key, Nanos>,
    /// What is being looked up; none for what has no upstream.
    open: VecDeque<Option<Key>>,
    /// When something was looked up last; 0 if nothing was since namespaces were let go.
    looked: Nanos,
}

impl Surroundings {
    pub(super) fn new(wake: &Arc<Notify>) -> Self {
        let make = || {
            let mut enricher = Enricher::new();
            let answer = move |question| match question {
                Question::Facts { worker, netns, upstream, refused: false, now } => {
                    enricher.facts(worker, netns, &upstream, now)
                }
                Question::Facts { worker, netns, upstream, refused: true, now } => {
                    enricher.facts_of_refused(worker, netns, &upstream, now)
                }
                Question::Owners(owners) => {
                    for (inode, pid, descriptor) in owners {
                        enricher.learn(inode, pid, descriptor);
                    }
                    None
                }
                Question::Idle(now) => {
                    enricher.tidy(now);
                    None
                }
            };
            Box::new(answer) as Box<dyn FnMut(Question) -> Option<Enrichment>>
        };
        let worker = Worker::new("netcontext", make, WAITING, LIMIT, wake);
        Self { worker, known: HashMap::new(), open: VecDeque::new(), looked: 0 }
    }

    /// Begins to look up what surrounds a failure.
    pub(super) fn notice(&mut self, event: &Event, now: Nanos) {
        match event {
            Event::Trouble(attempt) | Event::End(attempt) => {
                if let Some(upstream) = &attempt.upstream {
                    let refused = attempt.connecting() && attempt.reset_at().is_some();
                    self.look_up((attempt.worker, attempt.netns), upstream, refused, now);
                }
            }
            Event::ConnectError(error) => {
                self.look_up((error.worker, error.netns), &error.upstream, error.errno == ECONNREFUSED, now);
            }
            _ => {}
        }
    }

    fn look_up(&mut self, (worker, netns): (u32, u32), upstream: &Upstream, refused: bool, now: Nanos) {
        let key = (netns, if netns == 0 { worker } else { 0 }, upstream.clone(), refused);
        if self.known.get(&key).is_some_and(|until| now < *until) {
            return;
        }
        if self.known.len() >= REMEMBERED {
            self.known.retain(|_, until| now < *until);
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let question = Question::Facts { worker, netns, upstream: upstream.clone(), refused, now };
        if self.worker.ask(question) {
            self.known.insert(key.clone(), now + FRESH);
            self.open.push_back(Some(key));
            self.looked = now;
        }
    }

    /// Takes note of who holds sockets.
    pub(super) fn learn(&mut self, owners: Vec<(u32, u32, i32)>) {
        if !owners.is_empty() && self.worker.ask(Question::Owners(owners)) {
            self.open.push_back(None);
        }
    }

    /// What was found out since the last time.
    pub(super) fn poll(&mut self, now: Nanos, to: &mut Batch) {
        while let Some(found) = self.worker.answer() {
            self.open.pop_front();
            to.events.extend(found.map(Event::Enrichment));
        }
        if self.worker.give_up().is_some() {
            if let Some(Some(key)) = self.open.pop_front() {
                let what = key.2.to_string();
                self.known.insert(key, now + HANGS);
                let text = format!(
                    "Looking up what surrounds {what} does not come back: failures there are judged without it."
                );
                to.note(now, text);
            }
            self.open.clear();
        }
        if self.looked != 0 && now.saturating_sub(self.looked) > IDLE && self.worker.ask(Question::Idle(now))
        {
            self.open.push_back(None);
            self.looked = 0;
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

    /// Upstreams that were not looked up.
    pub(super) fn lost(&self) -> u64 {
        self.worker.lost
    }
}
