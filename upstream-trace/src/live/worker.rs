//! Work that may block, on a thread of its own: questions wait in a bounded queue, and nobody waits for answers.
//!
//! A file system, a namespace or a program may hang, and then the thread does for as long as it likes. It is given up after
//! a while, and another one starts afresh: its state is a cache only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::host::privileges;

/// Threads that were given up; with one more, nothing is asked any more.
const GIVEN_UP: usize = 8;

/// Makes what answers, on the thread.
pub(super) type Make<Q, A> = fn() -> Box<dyn FnMut(Q) -> A>;

/// A thread that answers questions in their order.
pub(super) struct Worker<Q, A> {
    name: &'static str,
    make: Make<Q, A>,
    /// Questions that may wait.
    room: usize,
    /// A question that takes longer hangs.
    limit: Duration,
    wake: Arc<Notify>,
    thread: Option<(SyncSender<Q>, Receiver<A>)>,
    /// When each question that is not answered was asked.
    open: VecDeque<Instant>,
    /// When an answer last came.
    answered_at: Instant,
    asked: u64,
    given_up: usize,
    /// Questions for which there was no room.
    pub(super) lost: u64,
}

impl<Q: Send + 'static, A: Send + 'static> Worker<Q, A> {
    pub(super) fn new(
        name: &'static str,
        make: Make<Q, A>,
        room: usize,
        limit: Duration,
        wake: &Arc<Notify>,
    ) -> Self {
        Self {
            name,
            make,
            room,
            limit,
            wake: Arc::clone(wake),
            thread: None,
            open: VecDeque::new(),
            answered_at: Instant::now(),
            asked: 0,
            given_up: 0,
            lost: 0,
        }
    }

    /// Asks; false if there is no room, which is counted.
    pub(super) fn ask(&mut self, question: Q) -> bool {
        let sent = self.send(question);
        if sent {
            self.asked += 1;
            self.open.push_back(Instant::now());
        } else {
            self.lost += 1;
        }
        sent
    }

    /// The next answer, if it is there.
    pub(super) fn answer(&mut self) -> Option<A> {
        let (_, answers) = self.thread.as_ref()?;
        let answer = answers.try_recv().ok()?;
        self.open.pop_front();
        self.answered_at = Instant::now();
        Some(answer)
    }

    /// How many questions were asked until now.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// How many of them are answered, or will never be.
    pub(super) fn answered(&self) -> u64 {
        self.asked - self.open.len() as u64
    }

    /// Gives the thread up if it hangs: how many questions are without an answer then, the first of which hangs.
    pub(super) fn give_up(&mut self) -> Option<usize> {
        let since = self.open.front()?.max(&self.answered_at);
        if since.elapsed() < self.limit {
            return None;
        }
        log::info!("{} hangs", self.name);
        self.thread = None;
        self.given_up += 1;
        let open = self.open.len();
        self.open.clear();
        self.lost += open as u64;
        Some(open)
    }

    fn send(&mut self, question: Q) -> bool {
        if self.thread.is_none() && self.given_up <= GIVEN_UP {
            self.thread = self.start().inspect_err(|error| log::warn!("{}: {error}", self.name)).ok();
        }
        let Some((questions, _)) = &self.thread else { return false };
        match questions.try_send(question) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Disconnected(_)) => {
                self.thread = None;
                self.open.clear();
                false
            }
        }
    }

    fn start(&self) -> std::io::Result<(SyncSender<Q>, Receiver<A>)> {
        let ((questions, asked), (answer, answers)) = (sync_channel::<Q>(self.room), channel());
        let (make, wake) = (self.make, Arc::clone(&self.wake));
        thread::Builder::new().name(self.name.to_owned()).spawn(move || {
            if let Err(error) = privileges::drop_capabilities() {
                log::debug!("capabilities: {error:#}");
            }
            let mut work = make();
            for question in asked {
                // No more answers than questions, of which there are so many.
                if answer.send(work(question)).is_err() {
                    break;
                }
                wake.notify_one();
            }
        })?;
        Ok((questions, answers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(limit: Duration) -> Worker<u32, u32> {
        let make: Make<u32, u32> = || {
            let mut sum = 0;
            Box::new(move |number| {
                if number == u32::MAX {
                    loop {
                        thread::park();
                    }
                }
                sum += number;
                sum
            })
        };
        Worker::new("test", make, 2, limit, &Arc::new(Notify::new()))
    }

    fn answers(worker: &mut Worker<u32, u32>) -> Vec<u32> {
        let mut answers = Vec::new();
        while worker.answered() < worker.asked() {
            answers.extend(worker.answer());
        }
        answers
    }

    #[test]
    fn answers_come_in_order() {
        let mut worker = worker(Duration::from_mins(1));
        assert!(worker.ask(1) && worker.ask(2));
        assert_eq!(answers(&mut worker), [1, 3]);
        assert_eq!((worker.asked(), worker.answered(), worker.lost), (2, 2, 0));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut worker = worker(Duration::from_mins(1));
        let asked = (0..10).filter(|_| worker.ask(u32::MAX)).count();
        assert!((2..=3).contains(&asked), "{asked}");
        assert_eq!(worker.lost, 10 - asked as u64);
    }

    #[test]
    fn a_question_that_hangs_costs_those_behind_it_and_no_others() {
        let mut worker = worker(Duration::ZERO);
        assert!(worker.ask(u32::MAX) && worker.ask(1));
        assert_eq!(worker.give_up(), Some(2));
        assert_eq!((worker.answered(), worker.lost, worker.give_up()), (2, 2, None));
        assert!(worker.ask(5));
        assert_eq!(answers(&mut worker), [5], "the next one begins afresh");
    }

    #[test]
    fn threads_that_hang_do_not_pile_up() {
        let mut worker = worker(Duration::ZERO);
        let hung = (0..100).filter(|_| worker.ask(u32::MAX) && worker.give_up().is_some()).count();
        assert_eq!(hung, GIVEN_UP + 1);
        assert!(!worker.ask(1));
    }
}
