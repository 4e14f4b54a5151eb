//! What workers have to say about name servers.

use crate::bounded::Bounded;
use crate::errorlog;
use crate::event::{LogLine, Nanos, SECOND, Weigh};

/// nginx asks for no longer than this, unless told otherwise.
const FRESH: Nanos = 60 * SECOND;
/// Workers remembered; the one that complained longest ago makes room.
const MAX_WORKERS: usize = 1_024;
/// Bytes of all lines.
const MAX_BYTES: usize = 4 << 20;

/// The latest line of each worker about a name server.
#[derive(Debug)]
pub(in crate::engine) struct ResolverErrors {
    latest: Bounded<u32, LogLine>,
}

impl Default for ResolverErrors {
    fn default() -> Self {
        Self { latest: Bounded::with_max_bytes(MAX_WORKERS, MAX_BYTES, Weigh::weigh) }
    }
}

impl ResolverErrors {
    /// Takes note of a line if it is such a complaint.
    pub(in crate::engine) fn read(&mut self, line: LogLine) {
        if let Some(worker) = line.worker.filter(|_| errorlog::is_resolver_error(&line)) {
            let at = line.at;
            self.latest.insert(worker, line, at);
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
