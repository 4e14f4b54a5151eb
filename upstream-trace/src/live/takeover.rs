//! Connections that were open before the program started: handed to the kernel side, and told of at once if stuck.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use upstream_trace_common::{Seed, SeedKey};
use upstream_trace_core::event::{Attempt, AttemptId, Nanos};

use crate::kernel::tables::Tables;
use crate::nginx::{self, OpenSocket};

/// Connections whose socket the kernel side has not met yet.
#[derive(Debug, Default)]
pub struct Takeover {
    seeds: HashMap<SeedKey, AttemptId>,
}

impl Takeover {
    /// Which upstream connections these workers have open. To be called before the hooks are attached.
    pub fn before(workers: &[u32]) -> HashSet<SeedKey> {
        let open = nginx::open_sockets_of(workers).unwrap_or_default();
        nginx::seeds(&open, 1).into_iter().map(|(key, _)| key).collect()
    }

    /// Hands those of them that are still open over, as they are now that the hooks are attached. What is not among
    /// them was born before the hooks' eyes.
    pub fn begin(
        &mut self,
        before: &HashSet<SeedKey>,
        workers: &[u32],
        now: Nanos,
        tables: &mut Tables,
    ) -> Result<Vec<OpenSocket>> {
        let open = nginx::open_sockets_of(workers).unwrap_or_default();
        let mut seeds = nginx::seeds(&open, now);
        seeds.retain(|(key, _)| before.contains(key));
        for (index, (key, seed)) in seeds.iter_mut().enumerate() {
            seed.id = number(now, index);
            self.seeds.insert(*key, seed.id);
        }
        tables.seed(&seeds)?;
        Ok(open)
    }

    /// What of it is stuck; the kernel side will tell when that is over.
    pub fn stuck(&self, open: &[OpenSocket], now: Nanos, slow: Nanos, tables: &mut Tables) -> Vec<Attempt> {
        let mut stuck = nginx::stuck(open, now, slow, |socket| {
            let id = key_of(socket).and_then(|key| Some((key, *self.seeds.get(&key)?)));
            id.map_or(0, |(key, id)| {
                tables.announce_seed(&key);
                id
            })
        });
        stuck.retain(|attempt| attempt.id != 0);
        stuck
    }

    /// About once a second: which of them are stuck by now. Forgets those that the kernel side has met, or that are
    /// gone.
    pub fn tick(&mut self, workers: &[u32], now: Nanos, slow: Nanos, tables: &mut Tables) -> Vec<Attempt> {
        if self.seeds.is_empty() {
            return Vec::new();
        }
        let open = nginx::open_sockets_of(workers).unwrap_or_default();
        let alive: HashMap<SeedKey, Seed> = nginx::seeds(&open, now).into_iter().collect();
        let left = tables.prune_seeds(|key| alive.contains_key(key)).unwrap_or_default();
        self.seeds.retain(|key, _| left.contains(key));
        self.stuck(&open, now, slow, tables)
    }
}

fn key_of(socket: &OpenSocket) -> Option<SeedKey> {
    nginx::seeds(std::slice::from_ref(socket), 1).pop().map(|(key, _)| key)
}

/// Numbers for connections that the kernel side did not see being born: its own end in the number of the CPU, which
/// is below 63 on all but the largest hosts.
fn number(now: Nanos, index: usize) -> AttemptId {
    (now + index as u64) << 6 | 63
}
