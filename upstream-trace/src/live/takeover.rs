//! Connections that were open before the program started: handed to the kernel side, and told of once they are stuck.
//!
//! Whatever happens on such a connection makes the kernel side take it over. So only time can get those into trouble
//! that are left, and no list of all sockets is needed after the start: there may be a hundred thousand.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use upstream_trace_common::{AdoptKey, AdoptState};
use upstream_trace_core::event::{Attempt, AttemptId, Event, Nanos};

use super::context::{Batch, Context};
use crate::host::netns;
use crate::kernel::decode;
use crate::kernel::tables::Tables;
use crate::netlink::diag::{Diag, TcpSocket};
use crate::nginx::{self, OpenSocket, SocketKind, SocketRole};

/// A stuck connection is looked at again after this time.
const AGAIN: Nanos = 1_000_000_000;

/// Stuck connections that are looked at in one pass.
const MOST: usize = 256;

/// A pass must not take more than this part of the time.
const SHARE: u32 = 100;

/// Between two counts of those that are left.
const COUNT: Nanos = 60_000_000_000;

/// Upstream connections that these workers have open; a number for each. To be looked up before the hooks are attached.
#[derive(Debug)]
pub struct Open {
    seeds: HashMap<AdoptKey, AdoptState>,
}

impl Open {
    /// Looks them up.
    pub fn look(workers: &[u32], now: Nanos) -> Self {
        let open = nginx::open_sockets_of(workers).unwrap_or_default();
        let seeds = nginx::seeds(&open, now).into_iter().enumerate();
        Self {
            seeds: seeds
                .map(|(index, (key, seed))| {
                    (key, AdoptState { id: AttemptId::taken_over(now, index as u64).to_kernel(), ..seed })
                })
                .collect(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.seeds.len()).unwrap_or(u32::MAX)
    }

    /// Hands them to the kernel side, which does not look at them yet.
    pub fn hand_over(&self, tables: &mut Tables) {
        tables.seed(&self.seeds);
    }
}

/// Connections whose socket the kernel side has not met yet.
#[derive(Debug)]
pub struct Takeover {
    /// When the next pass is due; none if no connection waits for anything.
    due: Option<Nanos>,
    /// When those that are left are counted.
    count: Nanos,
    /// When a stuck connection was last looked at.
    looked: HashMap<AttemptId, Nanos>,
}

impl Takeover {
    /// Has the kernel side take them over from now on, the hooks being attached; returns those that are stuck. What
    /// ends from here on, it sees; what is gone by now ended before, and is forgotten. What is not among them was born
    /// before the hooks' eyes.
    pub fn begin(
        mut before: Open,
        workers: &[u32],
        now: Nanos,
        slow: Nanos,
        tables: &mut Tables,
    ) -> Result<(Self, Vec<Attempt>)> {
        tables.take_over(before.count())?;
        let open = nginx::open_sockets_of(workers).unwrap_or_default();
        let mut due = None::<Nanos>;
        for (key, seed) in nginx::seeds(&open, now) {
            let Some(known) = before.seeds.remove(&key) else { continue };
            tables.renew_seed(&key, &AdoptState { id: known.id, ..seed });
            if let Some(since) = waits_since(&seed) {
                due = Some(due.map_or(since.saturating_add(slow), |due| due.min(since.saturating_add(slow))));
            }
        }
        for key in before.seeds.keys() {
            tables.forget_seed(key);
        }
        tables.count_seeds();
        let mut stuck = nginx::stuck(&open, now, slow, |socket| {
            key_of(socket)
                .and_then(|key| tables.announce_seed(&key))
                .map_or(AttemptId::NONE, |seed| AttemptId::from_kernel(seed.id))
        });
        stuck.retain(|attempt| attempt.id != AttemptId::NONE);
        let looked = stuck.iter().map(|attempt| (attempt.id, now)).collect();
        Ok((Self { due, count: now + COUNT, looked }, stuck))
    }

    /// About once a second: which of them are stuck by now.
    pub(super) fn poll(&mut self, now: Nanos, context: &mut Context, to: &mut Batch) {
        let (slow, tables) = (context.slow, &mut context.tables);
        if now >= self.count {
            self.count = now + COUNT;
            tables.count_seeds();
        }
        if self.due.is_some_and(|due| due <= now) {
            to.events.extend(self.pass(now, slow, tables).into_iter().map(Event::Trouble));
        }
    }

    /// Looks for those that have been waiting for too long.
    fn pass(&mut self, now: Nanos, slow: Nanos, tables: &mut Tables) -> Vec<Attempt> {
        let (begun, mut sockets) = (Instant::now(), Sockets::default());
        let (mut next, mut waiting, mut left) = (None::<Nanos>, Vec::new(), HashMap::new());
        for (key, seed) in tables.seeds() {
            let Some(due) = waits_since(&seed).map(|since| since.saturating_add(slow)) else { continue };
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
                continue;
            }
            let id = AttemptId::from_kernel(seed.id);
            let looked = self.looked.get(&id).copied();
            left.extend(looked.map(|at| (id, at)));
            let due = looked.map_or(0, |at| at + AGAIN);
            if due <= now {
                waiting.push((due, key, seed));
            }
            next = Some(now + AGAIN);
        }
        self.looked = left;
        // First those that were not looked at for longest.
        waiting.sort_unstable_by_key(|(due, ..)| *due);
        waiting.truncate(MOST);
        let mut stuck = Vec::new();
        for (_, key, seed) in waiting {
            let id = AttemptId::from_kernel(seed.id);
            self.looked.insert(id, now);
            match sockets.find(&key, &seed) {
                Ok(Some(socket)) => stuck.extend(nginx::stuck(&[socket], now, slow, |_| id)),
                // It has just ended.
                Ok(None) => {}
                Err(error) => log::debug!("a connection that was open before cannot be looked up: {error:#}"),
            }
            if stuck.last().is_some_and(|attempt: &Attempt| attempt.id == id) {
                tables.announce_seed(&key);
            }
        }
        let pause = Nanos::try_from((begun.elapsed() * SHARE).as_nanos()).unwrap_or(Nanos::MAX);
        self.due = next.map(|next| next.max(now.saturating_add(pause)));
        stuck
    }
}

/// Since when a connection has been waiting for its peer, as far as it was known when it was handed over.
fn waits_since(seed: &AdoptState) -> Option<Nanos> {
    let silent = seed.received == 0 && seed.written <= 1;
    if seed.request_ns != 0 { Some(seed.request_ns) } else { silent.then_some(seed.born_ns) }
}

/// Looks single sockets up, in their network namespaces.
#[derive(Default)]
struct Sockets {
    namespaces: HashMap<u32, Option<Diag>>,
}

impl Sockets {
    /// The connection, unless it is gone; an error if that cannot be told.
    fn find(&mut self, key: &AdoptKey, seed: &AdoptState) -> Result<Option<OpenSocket>> {
        let open = || netns::run_in(seed.tgid, Diag::open).and_then(|diag| diag).ok();
        let diag = self.namespaces.entry(key.netns).or_insert_with(open).as_mut();
        let diag = diag.context("its network namespace cannot be entered")?;
        let address = |of| decode::socket_addr(of).context("it has no address");
        let found = diag.tcp_socket(address(&key.local)?, address(&key.remote)?)?;
        let live = |socket: &TcpSocket| socket.is_connecting() || socket.is_established();
        Ok(found.filter(live).map(|socket| OpenSocket {
            worker: seed.tgid,
            netns: key.netns,
            fd: -1,
            role: SocketRole::Upstream,
            kind: SocketKind::Tcp(socket),
        }))
    }
}

fn key_of(socket: &OpenSocket) -> Option<AdoptKey> {
    nginx::seeds(std::slice::from_ref(socket), 1).pop().map(|(key, _)| key)
}
