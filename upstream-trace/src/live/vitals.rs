//! How the trace is doing: for metrics.

use upstream_trace_read::output::{Sink as _, Vitals};

use super::Live;
use super::overhead::own_time;

impl Live {
    /// Tells the sinks, if one of them wants to know; once a second.
    pub(super) fn tell_vitals(&mut self) {
        if !self.tells_vitals {
            return;
        }
        self.sink.vitals(&Vitals {
            log_lines: self.engine.log_lines(),
            hooks: self.overhead.costs(&self.kernel),
            cpu: own_time(),
            rss_bytes: resident(),
        });
    }
}

/// Resident memory of this process, bytes; 0 if it cannot be read.
pub(super) fn resident() -> u64 {
    let pages =
        procfs::process::Process::myself().and_then(|me| me.statm()).map_or(0, |statm| statm.resident);
    pages * procfs::page_size()
}
