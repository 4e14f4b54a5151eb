//! What is looked up on a thread of its own: who listens, and who holds the listeners.

use std::collections::{BTreeMap, HashSet};

use upstream_trace_core::event::{Nanos, Upstream, Workload};

use crate::netcontext::{self, Enricher, SocketOwnerScan, Sockets};

/// An upstream, seen from a network namespace.
pub(super) type Key = (u32, Upstream);

/// What is asked.
pub(super) enum Question {
    /// Which sockets listen for connections to these upstreams, from such a worker?
    Listeners(Vec<(Key, u32)>, Nanos),
    /// Which processes hold these sockets?
    Holders(HashSet<u32>),
}

/// What was found.
pub(super) enum Answer {
    Listeners(Vec<(Key, Vec<u32>)>),
    Holders(BTreeMap<u32, Holder>),
}

/// A process that holds listeners of upstreams.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) sockets: Sockets,
    pub(super) command: Option<String>,
    pub(super) home: Option<Workload>,
}

/// Answers on the thread.
pub(super) fn searcher() -> Box<dyn FnMut(Question) -> Answer> {
    let mut enricher = Enricher::new();
    Box::new(move |question| answer(&mut enricher, question))
}

fn answer(enricher: &mut Enricher, question: Question) -> Answer {
    match question {
        Question::Listeners(upstreams, now) => {
            let listening = |((netns, upstream), worker): (Key, u32)| {
                let mut listeners = enricher.listening(worker, netns, &upstream, now);
                listeners.sort_unstable();
                ((netns, upstream), listeners)
            };
            Answer::Listeners(upstreams.into_iter().map(listening).collect())
        }
        Question::Holders(wanted) => {
            let mut scan = SocketOwnerScan::of(wanted);
            let found = loop {
                if let Some(found) = scan.step() {
                    break found;
                }
            };
            let holder = |(pid, sockets)| {
                (pid, Holder { sockets, command: netcontext::command(pid), home: netcontext::home(pid) })
            };
            Answer::Holders(found.into_iter().map(holder).collect())
        }
    }
}
