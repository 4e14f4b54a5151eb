//! What workers have to say about name servers.

use std::collections::HashMap;

use crate::engine::logjoin::logs::KEYS;
use crate::errorlog;
use crate::event::SECOND;
use crate::event::{LogLine, Nanos};

/// nginx asks for no longer than this, unless told otherwise.
const FRESH: Nanos = 60 * SECOND;

/// The latest complaint of each worker.
#[derive(Debug, Default)]
pub(in crate::engine) struct ResolverErrors {
    latest: HashMap<u32, LogLine>,
}

impl ResolverErrors {
    /// Takes note of a line if it is such a complaint.
    pub(in crate::engine) fn read(&mut self, line: &LogLine) {
        if let Some(worker) = line.worker.filter(|_| errorlog::is_resolver_error(line))
            && (self.latest.len() < KEYS || self.latest.contains_key(&worker))
        {
            self.latest.insert(worker, line.clone());
        }
    }

    /// The complaint that came before a line.
    pub(in crate::engine) fn before(&self, line: &LogLine) -> Option<&LogLine> {
        let complaint = self.latest.get(&line.worker?)?;
        (complaint.at <= line.at && line.at <= complaint.at.saturating_add(FRESH)).then_some(complaint)
    }

    pub(in crate::engine) fn forget(&mut self, worker: u32) {
        self.latest.remove(&worker);
    }
}
