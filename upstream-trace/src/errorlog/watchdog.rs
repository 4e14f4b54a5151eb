//! What touches a file system that may hang.
//!
//! A server that is away, or a program behind FUSE that stopped, holds up whoever reads from its files, and nothing can
//! interrupt that. So each such step says first what it is about to touch: another thread can see that it takes too long,
//! go on without it, and leave that file system alone until the step has come back.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::file::FileId;

/// The number of a mount, as the kernel prints it in `fdinfo`; 0 if it is not known.
pub(super) type Mount = u64;

/// What outlives a thread that hangs.
#[derive(Debug, Default)]
pub(super) struct Memory {
    hanging: Mutex<HashSet<Mount>>,
    positions: Mutex<HashMap<FileId, u64>>,
}

/// The steps of one thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Watchdog {
    memory: Arc<Memory>,
    step: Arc<Mutex<Option<Step>>>,
    abandoned: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
struct Step {
    file: Arc<str>,
    mount: Mount,
    since: Instant,
}

impl Watchdog {
    /// For a thread that takes the place of this one.
    pub(super) fn successor(&self) -> Self {
        Self { memory: Arc::clone(&self.memory), ..Self::default() }
    }

    /// Does something with this file that may take for ever.
    pub(super) fn step<T>(&self, file: &Arc<str>, mount: Mount, work: impl FnOnce() -> T) -> T {
        *lock(&self.step) = Some(Step { file: Arc::clone(file), mount, since: Instant::now() });
        let done = work();
        *lock(&self.step) = None;
        if self.abandoned.swap(false, Ordering::Relaxed) {
            lock(&self.memory.hanging).remove(&mount);
        }
        done
    }

    /// The file whose step takes longer than `limit`. Its thread is given up: the mount counts as hanging until the step
    /// comes back.
    pub(super) fn give_up(&self, limit: Duration) -> Option<Arc<str>> {
        let step = lock(&self.step);
        let step = step.as_ref().filter(|step| step.since.elapsed() >= limit)?;
        self.abandoned.store(true, Ordering::Relaxed);
        lock(&self.memory.hanging).insert(step.mount);
        Some(Arc::clone(&step.file))
    }

    /// Nothing on this mount may be touched.
    pub(super) fn hangs(&self, mount: Mount) -> bool {
        lock(&self.memory.hanging).contains(&mount)
    }

    /// How many mounts may not be touched.
    pub(super) fn hanging(&self) -> usize {
        lock(&self.memory.hanging).len()
    }

    /// Up to where lines were handed on, for a thread that takes over.
    pub(super) fn remember(&self, positions: impl Iterator<Item = (FileId, u64)>) {
        let mut known = lock(&self.memory.positions);
        // Those of files that hang stay, beside what is read now.
        if known.len() > MOST {
            known.clear();
        }
        known.extend(positions);
    }

    /// Up to where the thread before has handed lines on.
    pub(super) fn position(&self, file: FileId) -> Option<u64> {
        lock(&self.memory.positions).get(&file).copied()
    }
}

/// Positions remembered.
const MOST: usize = 2_048;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn a_step_that_hangs_is_given_up_until_it_comes_back() {
        let watchdog = Watchdog::default();
        let (of_thread, (release, wait), (start, started)) = (watchdog.clone(), channel::<()>(), channel());
        let thread = thread::spawn(move || {
            of_thread.step(&"error.log".into(), 7, || {
                start.send(()).unwrap();
                wait.recv().unwrap();
            });
        });
        started.recv().unwrap();
        assert_eq!(watchdog.give_up(Duration::from_mins(1)), None, "it may still come back");
        assert_eq!(watchdog.give_up(Duration::ZERO).as_deref(), Some("error.log"));
        let next = watchdog.successor();
        assert!(next.hangs(7) && !next.hangs(8));
        assert_eq!(next.give_up(Duration::ZERO), None, "the next one does nothing so far");
        release.send(()).unwrap();
        thread.join().unwrap();
        assert!(!next.hangs(7));
    }
}
