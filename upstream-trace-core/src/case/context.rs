//! Facts that were looked up, and how other attempts fared.

use std::net::SocketAddr;

use super::Case;
use crate::event::{Conntrack, Enrichment, Fact, Listener, Nanos, Neighbour, Route, UnixTarget, Workload};
use crate::tables::{NeighbourState, neighbour_state};
use crate::text::sentence;

/// Another port of the upstream's address that gave a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherPort {
    /// Which.
    pub port: u16,
    /// A connection was established; otherwise it was refused by RST.
    pub established: bool,
    /// When.
    pub at: Nanos,
}

/// How other attempts fared in the last 60 s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Siblings {
    /// When another connection to the same upstream was last established.
    pub established: Option<Nanos>,
    /// When the same upstream last began an answer.
    pub answered: Option<Nanos>,
    /// Others at the same upstream that are connected and wait for an answer, as far as they were reported.
    pub waiting: u32,
    /// Those of them that were connected after this one.
    pub later: u32,
    /// Others at the same upstream that got no answer to their SYN.
    pub silent: u32,
    /// Others at the same upstream that were refused or reset.
    pub refused: u32,
    /// A SYN-ACK that came from there after nginx had given the connection up: when, and how long after `connect()`.
    pub late: Option<(Nanos, Nanos)>,
    /// Other ports of the same address.
    pub other_ports: Vec<OtherPort>,
    /// Nothing of this is known: there was no room to count this upstream by itself.
    pub uncounted: bool,
}

impl Case<'_> {
    fn fact<T>(&self, pick: impl Fn(&Fact) -> Option<T>) -> Option<T> {
        self.enrichment.and_then(|found| found.facts.iter().find_map(pick))
    }

    /// What the routing table says.
    #[must_use]
    pub fn route(&self) -> Option<Route> {
        self.fact(|fact| match fact {
            Fact::Route(route) => Some(route.clone()),
            _ => None,
        })
    }

    /// errno of the routing table, if it refuses.
    #[must_use]
    pub fn route_refused(&self) -> Option<i32> {
        match self.route() {
            Some(Route::Refused { errno }) => Some(errno.saturating_abs()),
            _ => None,
        }
    }

    /// The routing table has a way.
    #[must_use]
    pub fn route_found(&self) -> bool {
        matches!(self.route(), Some(Route::Found { .. }))
    }

    /// What the neighbour table says.
    #[must_use]
    pub fn neighbour(&self) -> Option<Neighbour> {
        self.fact(|fact| match fact {
            Fact::Neighbour(neighbour) => Some(neighbour.clone()),
            _ => None,
        })
    }

    /// The neighbour did not answer ARP or NDP.
    #[must_use]
    pub fn neighbour_failed(&self) -> bool {
        self.neighbour().and_then(|found| neighbour_state(&found.state)) == Some(NeighbourState::Silent)
    }

    /// The listener on this host.
    #[must_use]
    pub fn listener(&self) -> Option<Listener> {
        self.fact(|fact| match fact {
            Fact::Listener(listener) => Some(listener.clone()),
            _ => None,
        })
    }

    /// The listener on this host when its queue was seen to overflow, if it was while the attempt ran or right after.
    #[must_use]
    pub fn full_listener(&self) -> Option<Listener> {
        let full = |found: &Enrichment| {
            found.facts.iter().find_map(|fact| match fact {
                Fact::Listener(listener) if listener.overflows() && !listener.may_be_translated => {
                    Some(listener.clone())
                }
                _ => None,
            })
        };
        self.enrichment.and_then(full).or_else(|| self.full.and_then(full))
    }

    /// The listener on this host had more waiting connections than it may.
    #[must_use]
    pub fn queue_overflows(&self) -> bool {
        self.full_listener().is_some()
    }

    /// The address is this host's and nobody listens on the port.
    #[must_use]
    pub fn nobody_listens(&self) -> bool {
        self.fact(|fact| matches!(fact, Fact::NoListener).then_some(())).is_some()
    }

    /// Who listens on that port of another address of this host, and on which.
    #[must_use]
    pub fn listens_elsewhere(&self) -> Option<(SocketAddr, Option<String>)> {
        self.fact(|fact| match fact {
            Fact::ListensElsewhere { address, process } => Some((*address, process.clone())),
            _ => None,
        })
    }

    /// The container on this host whose address the upstream's is, and what is listened on there.
    #[must_use]
    pub fn container(&self) -> Option<(Workload, Vec<SocketAddr>)> {
        self.fact(|fact| match fact {
            Fact::ContainerAddress { home, listens } => Some((home.clone(), listens.clone())),
            _ => None,
        })
    }

    /// Where the upstream runs, if it is on this host and somebody told: the listener, a process of it that ended, or the
    /// container that has its address.
    #[must_use]
    pub fn origin_runs_in(&self) -> Option<Workload> {
        let listener = self.listener().and_then(|listener| listener.home);
        let ended = || self.exits.last().copied().or(self.gone).and_then(|exit| exit.home.clone());
        let closed = || self.closed_by.and_then(|closed| closed.home.clone());
        listener.or_else(closed).or_else(ended).or_else(|| self.container().map(|(home, _)| home))
    }

    /// Until when, at least, this very connection waited to be accepted, and the listener as it was then.
    #[must_use]
    pub fn waited_until(&self) -> Option<(Nanos, Listener)> {
        let local = self.attempt.local?;
        let waits = |found: &Enrichment| {
            let listener = found.facts.iter().find_map(|fact| match fact {
                Fact::Listener(listener) => Some(listener),
                _ => None,
            })?;
            let here = listener.unaccepted.as_ref().is_some_and(|ends| ends.contains(&local));
            here.then(|| (found.at.min(self.attempt.seen), listener.clone()))
        };
        self.enrichment.and_then(waits).or_else(|| self.waiting.and_then(waits))
    }

    /// Whether the application has accepted this very connection; `None` if that was not seen. Of one that waited for most
    /// of the time it does not matter that it was accepted as nginx gave up.
    #[must_use]
    pub fn accepted(&self) -> Option<bool> {
        if let Some((until, _)) = self.waited_until()
            && until.saturating_sub(self.since()) * 2 >= self.duration()
        {
            return Some(false);
        }
        let (listener, local) = (self.listener()?, self.attempt.local?);
        if listener.queue == 0 && listener.unaccepted.is_none() && !listener.may_be_translated {
            return Some(true);
        }
        let waits = listener.unaccepted?;
        // A translation gives them other addresses: then nothing follows from the list.
        let comparable = waits.iter().any(|end| end.ip() == local.ip());
        if waits.contains(&local) { Some(false) } else { comparable.then_some(true) }
    }

    /// The process that ended the connection, or else that listens for the upstream on this host, for sentences: ` (app[7], app.service)`.
    #[must_use]
    pub fn served_by(&self) -> String {
        let (process, home) = match (self.closed_by, self.listener()) {
            (Some(closed), _) => (Some(format!("{}[{}]", closed.name, closed.pid)), closed.home.clone()),
            (None, Some(listener)) => {
                let stopped = if listener.stopped { ", which is stopped" } else { "" };
                (listener.process.map(|process| format!("{process}{stopped}")), listener.home)
            }
            (None, None) => return String::new(),
        };
        let known: Vec<_> = process.into_iter().chain(home.map(|home| home.to_string())).collect();
        if known.is_empty() { String::new() } else { format!(" ({})", sentence(&known.join(", "))) }
    }

    /// Usage of the connection-tracking table.
    #[must_use]
    pub fn conntrack(&self) -> Option<Conntrack> {
        self.fact(|fact| match fact {
            Fact::Conntrack(conntrack) => Some(conntrack.clone()),
            _ => None,
        })
    }

    /// What is at the socket path.
    #[must_use]
    pub fn unix_target(&self) -> Option<UnixTarget> {
        self.fact(|fact| match fact {
            Fact::UnixPath { target } => Some(*target),
            _ => None,
        })
    }

    /// Another connection to this upstream was established while this one tried.
    #[must_use]
    pub fn sibling_connected_meanwhile(&self) -> bool {
        self.siblings.established.is_some_and(|at| at >= self.attempt.begun)
    }

    /// Connections to this upstream are established and wait for an answer.
    #[must_use]
    pub fn siblings_wait(&self) -> bool {
        let unanswered = match (self.siblings.established, self.siblings.answered) {
            (Some(established), Some(answered)) => established > answered,
            (Some(_), None) => true,
            _ => false,
        };
        self.siblings.waiting > 0 || unanswered
    }

    /// Something proves that the upstream's host is up: another port answered, or its neighbour entry is good.
    #[must_use]
    pub fn host_alive(&self) -> bool {
        let on_link = self.neighbour().is_some_and(|found| {
            Some(found.address) == self.ip() && neighbour_state(&found.state) == Some(NeighbourState::Answers)
        });
        on_link || !self.siblings.other_ports.is_empty()
    }
}
