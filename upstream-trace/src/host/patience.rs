//! Work that may take for ever, since it reads files that others control: on a thread of its own, which is not waited for
//! any longer than this.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// Threads that may hang at a time; with so many nothing more is tried.
const MOST: usize = 4;

const FINISHED: u8 = 1;
const LATE: u8 = 2;

/// Threads that take longer than they may, until they come back.
static HANGING: AtomicUsize = AtomicUsize::new(0);

/// What the work brings; `None` if it takes longer, or if too much of that kind hangs already.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if HANGING.load(Ordering::Relaxed) >= MOST {
        return None;
    }
    let (send, receive) = channel();
    let state = Arc::new(AtomicU8::new(0));
    let of_thread = Arc::clone(&state);
    let thread = thread::Builder::new().name("container".to_owned());
    let started = thread.spawn(move || {
        let _nobody_waits = send.send(work());
        if of_thread.swap(FINISHED, Ordering::AcqRel) == LATE {
            HANGING.fetch_sub(1, Ordering::Relaxed);
        }
    });
    started.ok()?;
    if let Ok(done) = receive.recv_timeout(limit) {
        return Some(done);
    }
    HANGING.fetch_add(1, Ordering::Relaxed);
    if state.swap(LATE, Ordering::AcqRel) == FINISHED {
        HANGING.fetch_sub(1, Ordering::Relaxed);
        return receive.try_recv().ok();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_hangs_is_not_waited_for_and_not_tried_for_ever() {
        let releases: Vec<_> = (0..MOST)
            .map(|_| {
                let (release, wait) = channel::<()>();
                assert_eq!(within(Duration::ZERO, move || wait.recv().is_ok()), None);
                release
            })
            .collect();
        let tried = Instant::now();
        assert_eq!(within(Duration::from_hours(1), || 7), None, "{:?}", tried.elapsed());
        for release in releases {
            release.send(()).unwrap();
        }
        while HANGING.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        assert_eq!(within(Duration::from_hours(1), || 7), Some(7));
    }
}
