//! A bounded queue to a thread that may be slow: what does not fit, or cannot be delivered, is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Between two looks at whether the thread has ended.
const LOOK: Duration = Duration::from_millis(2);

/// What both ends count.
#[derive(Debug, Default)]
struct Counts {
    lost: AtomicU64,
    /// Handed over, and neither delivered nor lost.
    open: AtomicU64,
}

/// The end at which the event loop hands things over; it never waits.
#[derive(Debug)]
pub(super) struct Handoff<T> {
    to: Option<(SyncSender<T>, Sender<()>)>,
    thread: JoinHandle<()>,
    counts: Arc<Counts>,
}

/// The end of the thread.
#[derive(Debug)]
pub(super) struct Intake<T> {
    queue: Receiver<T>,
    end: Receiver<()>,
    counts: Arc<Counts>,
}

impl<T: Send + 'static> Handoff<T> {
    /// Starts the thread, with a queue of that many places.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start(
        name: &str,
        places: usize,
        run: impl FnOnce(Intake<T>) + Send + 'static,
    ) -> Result<Self> {
        let (to, queue) = sync_channel(places);
        let (ending, end) = channel();
        let counts = Arc::<Counts>::default();
        let intake = Intake { queue, end, counts: Arc::clone(&counts) };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(intake));
        let thread = thread.with_context(|| format!("cannot start a thread for {name}"))?;
        Ok(Self { to: Some((to, ending)), thread, counts })
    }

    /// Hands it over; it is lost if the queue is full.
    pub(super) fn push(&self, one: T) {
        let Some((to, _)) = &self.to else { return };
        self.counts.open.fetch_add(1, Ordering::Relaxed);
        if to.try_send(one).is_err() {
            self.counts.lose(1);
        }
    }

    /// What was lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// Asks the thread to end and waits that long for it. How much it has not delivered by then.
    pub(super) fn finish(&mut self, patience: Duration) -> u64 {
        self.to = None;
        let until = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < until {
            thread::sleep(LOOK);
        }
        self.counts.open.load(Ordering::Relaxed)
    }
}

impl Counts {
    fn lose(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        self.open.fetch_sub(count, Ordering::Relaxed);
    }
}

impl<T> Intake<T> {
    /// The next one; `None` at the end.
    pub(super) fn next(&self) -> Option<T> {
        self.queue.recv().ok()
    }

    /// Up to so many, as they come within that time; waits for the first one. Nothing at the end.
    pub(super) fn batch(&self, most: usize, within: Duration) -> Vec<T> {
        let mut batch: Vec<T> = self.next().into_iter().collect();
        let until = Instant::now() + within;
        while !batch.is_empty() && batch.len() < most {
            match self.queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(one) => batch.push(one),
                Err(_) => break,
            }
        }
        batch
    }

    /// So many were delivered.
    pub(super) fn delivered(&self, count: u64) {
        self.counts.open.fetch_sub(count, Ordering::Relaxed);
    }

    /// So many will not be delivered.
    pub(super) fn lose(&self, count: u64) {
        self.counts.lose(count);
    }

    /// Waits; false if the end has come.
    pub(super) fn pause(&self, time: Duration) -> bool {
        self.end.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_lost_and_what_is_left_is_told() {
        let (go, gone) = channel::<()>();
        let mut handoff = Handoff::start("test", 3, move |intake: Intake<u32>| {
            let first = intake.batch(1, Duration::ZERO);
            assert!(gone.recv().is_err());
            intake.delivered(first.len() as u64);
            while intake.next().is_some() {
                intake.lose(1);
            }
        })
        .unwrap();
        handoff.push(0);
        while handoff.counts.open.load(Ordering::Relaxed) == 1 && handoff.lost() == 0 {
            // The first one is taken out at some time: from then on three fit.
            (1..10).for_each(|one| handoff.push(one));
        }
        let lost = handoff.lost();
        assert!((5..=7).contains(&lost), "{lost}");
        assert_eq!(handoff.finish(Duration::ZERO), 10 - lost);
        drop(go);
        assert_eq!(handoff.finish(Duration::from_secs(10)), 0);
        assert_eq!(handoff.lost(), 9);
    }
}
