//! From the process id that a line prints to the process: in a container it is another number there.

use std::collections::HashMap;

use procfs::process::Process;
use upstream_trace_core::event::Nanos;

/// A process that ended is remembered for so long: its last lines are read after its end.
pub(super) const REMEMBERED: Nanos = 5_000_000_000;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    pid: u32,
    gone: Option<Nanos>,
}

/// Processes by the id that they have in their own pid namespace.
#[derive(Debug, Default)]
pub(super) struct Pids {
    printed: HashMap<u32, Vec<Known>>,
}

impl Pids {
    /// A process is there.
    pub(super) fn add(&mut self, pid: u32) {
        self.insert(printed_by(pid), pid);
    }

    fn insert(&mut self, printed: u32, pid: u32) {
        let known = self.printed.entry(printed).or_default();
        known.retain(|known| known.pid != pid);
        known.push(Known { pid, gone: None });
    }

    /// A process is gone.
    pub(super) fn end(&mut self, pid: u32, now: Nanos) {
        for known in self.printed.values_mut().flatten().filter(|known| known.pid == pid) {
            known.gone.get_or_insert(now);
        }
    }

    /// Forgets those that are gone for long.
    pub(super) fn forget(&mut self, now: Nanos) {
        let kept = |known: &Known| known.gone.is_none_or(|at| now.saturating_sub(at) < REMEMBERED);
        self.printed.retain(|_, known| {
            known.retain(kept);
            !known.is_empty()
        });
    }

    /// A process prints this number.
    pub(super) fn with(&self, printed: u32) -> impl Iterator<Item = u32> + '_ {
        self.printed.get(&printed).into_iter().flatten().map(|known| known.pid)
    }

    /// The process that printed this number into a file that `holds` says it has open: nobody else may speak for it.
    /// `None` if there is none, or if it may be one of several; those that are gone stand back.
    pub(super) fn find(&self, printed: u32, holds: impl Fn(u32) -> bool) -> Option<u32> {
        let holding: Vec<Known> =
            self.printed.get(&printed)?.iter().copied().filter(|known| holds(known.pid)).collect();
        if let [only] = holding[..] {
            return Some(only.pid);
        }
        let mut alive = holding.iter().filter(|known| known.gone.is_none());
        alive.next().filter(|_| alive.next().is_none()).map(|known| known.pid)
    }
}

/// The number that the process itself knows as its own.
fn printed_by(pid: u32) -> u32 {
    let inner = || {
        let status = Process::new(i32::try_from(pid).ok()?).ok()?.status().ok()?;
        u32::try_from(*status.nspid?.last()?).ok()
    };
    inner().unwrap_or(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: fn(u32) -> bool = |_| true;

    #[test]
    fn a_process_outside_a_container_prints_its_own_number() {
        let mut pids = Pids::default();
        pids.add(std::process::id());
        assert_eq!(printed_by(u32::MAX), u32::MAX);
        assert_eq!(pids.find(printed_by(std::process::id()), ANY), Some(std::process::id()));
        assert_eq!(pids.find(u32::MAX, ANY), None);
        assert_eq!(pids.find(printed_by(std::process::id()), |_| false), None, "a file of another process");
    }

    #[test]
    fn the_same_number_in_two_containers_is_told_apart_by_the_file() {
        let mut pids = Pids::default();
        pids.insert(7, 1007);
        pids.insert(7, 2007);
        assert_eq!(pids.find(7, |pid| pid == 2007), Some(2007));
        assert_eq!(pids.find(7, |_| false), None, "a file of neither");
        assert_eq!(pids.find(7, ANY), None);
        pids.end(1007, 1);
        assert_eq!(pids.find(7, ANY), Some(2007));
    }

    #[test]
    fn the_last_lines_of_a_worker_that_died() {
        let mut pids = Pids::default();
        pids.insert(7, 1007);
        pids.end(1007, 1);
        pids.forget(REMEMBERED);
        assert_eq!(pids.find(7, ANY), Some(1007));
        pids.forget(REMEMBERED + 1);
        assert_eq!(pids.find(7, ANY), None);
    }
}
