//! Connections that were open before the program started: handed to the kernel side, and told of at once if stuck.

use std::collections::HashMap;

use anyhow::Result;
use upstream_trace_common::{Seed, SeedKey};
use upstream_trace_core::event::{Attempt, AttemptId, Nanos};

use crate::kernel::tables::Tables;
use crate::nginx::{self, OpenSocket};

/// Connections whose socket the kernel side has not met yet.
#[derive(Debug, Default)]
pub struct Takeover {
    ids: HashMap<(u32, i32), AttemptId>,
    done: bool,
}

impl Takeover {
    /// Hands the open upstream connections of these workers over. To be called before the hooks are attached.
    pub fn begin(&mut self, workers: &[u32], now: Nanos, tables: &mut Tables) -> Result<Vec<OpenSocket>> {
        let open = nginx::open_sockets_of(workers).unwrap_or_default();
        let mut seeds = nginx::seeds(&open, now);
        for (index, (_, seed)) in seeds.iter_mut().enumerate() {
            seed.id = number(now, index);
        }
        self.done = seeds.is_empty();
        self.remember(&open, &seeds);
        tables.seed(&seeds)?;
        Ok(open)
    }

    fn remember(&mut self, open: &[OpenSocket], seeds: &[(SeedKey, Seed)]) {
        let ids: HashMap<SeedKey, AttemptId> = seeds.iter().map(|(key, seed)| (*key, seed.id)).collect();
        for socket in open {
            for (key, _) in nginx::seeds(std::slice::from_ref(socket), 1) {
                if let Some(id) = ids.get(&key) {
                    self.ids.insert((socket.worker, socket.fd), *id);
                }
            }
        }
    }

    /// What of it is stuck.
    pub fn stuck(&self, open: &[OpenSocket], now: Nanos, slow: Nanos) -> Vec<Attempt> {
        let mut stuck = nginx::stuck(open, now, slow, |socket| {
            self.ids.get(&(socket.worker, socket.fd)).copied().unwrap_or(0)
        });
        stuck.retain(|attempt| attempt.id != 0);
        stuck
    }

    /// About once a second: which of them are stuck by now. Forgets those that are gone.
    pub fn tick(&mut self, workers: &[u32], now: Nanos, slow: Nanos, tables: &mut Tables) -> Vec<Attempt> {
        if self.done {
            return Vec::new();
        }
        let open = nginx::open_sockets_of(workers).unwrap_or_default();
        let alive: HashMap<SeedKey, Seed> = nginx::seeds(&open, now).into_iter().collect();
        self.done = tables.prune_seeds(|key| alive.contains_key(key)).unwrap_or(true);
        self.stuck(&open, now, slow)
    }
}

/// Numbers for connections that the kernel side did not see being born: its own end in the number of the CPU, which
/// is below 63 on all but the largest hosts.
fn number(now: Nanos, index: usize) -> AttemptId {
    (now + index as u64) << 6 | 63
}
