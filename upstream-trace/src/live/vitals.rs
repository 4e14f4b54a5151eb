//! How the trace is doing, for metrics and the service manager.

use super::overhead::own_time;
use super::sources::Live;

impl Live {
    /// Tells the sinks; once a second.
    pub(super) fn tell_vitals(&mut self) {
        let hooks = self.sources.overhead.costs(&self.context.kernel);
        self.pipeline.vitals(hooks, own_time(), resident());
    }
}

/// Resident memory of this process, bytes; 0 if it cannot be read.
pub(super) fn resident() -> u64 {
    let pages =
        procfs::process::Process::myself().and_then(|me| me.statm()).map_or(0, |statm| statm.resident);
    pages * procfs::page_size()
}
