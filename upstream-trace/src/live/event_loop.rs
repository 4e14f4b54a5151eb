//! The loop that reads the ring buffer. Nothing in it waits for anything but its own events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use aya::maps::{MapData, RingBuf};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};
use upstream_trace_common::stats;
use upstream_trace_core::event::Event;

use super::sources::Live;
use super::stop::Stop;
use super::turn::{Turn, Waits};
use super::{memory, now};
use crate::kernel::decode;

/// How often a turn begins.
const TICK: Duration = Duration::from_millis(20);

/// Between two turns in which what changes seldom is looked at.
const SECOND: Duration = Duration::from_secs(1);

/// How often memory that was freed is given back.
const TRIM: Duration = Duration::from_mins(1);

/// What the kernel puts before each message of a ring buffer, and what it aligns them to: `BPF_RINGBUF_HDR_SZ`.
const HEADER: usize = 8;

/// So often the size of the ring buffer is handled at the end.
const LAST_ROUNDS: usize = 3;

/// Messages handled before timers, signals and answers get their turn.
const BATCH: usize = 1024;

/// The ring buffer.
pub(super) struct Ring {
    pub(super) events: AsyncFd<RingBuf<MapData>>,
    /// Its size, bytes.
    pub(super) size: usize,
}

/// Messages that were not handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) messages: u64,
    /// Of these, ends of attempts, which the kernel side counts as reported.
    pub(super) ends: u64,
}

/// What the loop needs beside the trace.
pub(super) struct EventLoop {
    pub(super) ring: Ring,
    /// Threads say that they have something.
    pub(super) wake: Arc<Notify>,
    pub(super) stop: Stop,
    pub(super) duration: Option<Duration>,
    turn: Option<Turn>,
    /// When what changes seldom is looked at next.
    next_second: Instant,
    /// When memory is next given back.
    next_trim: Instant,
}

impl EventLoop {
    pub(super) fn new(ring: Ring, wake: Arc<Notify>, stop: Stop, duration: Option<Duration>) -> Self {
        // At once: what nginx forked after it was found and before the hooks were there, no event tells.
        let now = Instant::now();
        Self { ring, wake, stop, duration, turn: None, next_second: now, next_trim: now + TRIM }
    }

    /// Runs until the time is over, a signal comes, or nobody reads the results any more.
    pub(super) async fn run(&mut self, live: &mut Live) -> Result<()> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = sleep(self.duration.unwrap_or(Duration::from_secs(u64::from(u32::MAX))));
        tokio::pin!(end);
        let (wake, stop) = (Arc::clone(&self.wake), self.stop.clone());
        loop {
            tokio::select! {
                ready = self.ring.events.readable_mut() => {
                    let mut ready = ready?;
                    if !drain(live, ready.get_inner_mut(), BATCH) {
                        ready.clear_ready();
                    }
                }
                () = wake.notified() => {}
                _ = ticks.tick() => self.begin_turn(live),
                () = &mut end => break,
                () = stop.asked() => break,
            }
            self.take_lines(live);
            live.take_answers(now());
            self.go_on(live);
            if live.pipeline.is_closed() {
                break;
            }
        }
        Ok(())
    }

    fn begin_turn(&mut self, live: &mut Live) {
        if self.turn.is_some() {
            // The kernel side wakes us only when much has come in.
            self.ring.catch_up(live);
            return;
        }
        // What happens before this moment is known once lines and messages were read to their end.
        let known = now();
        live.sources.logs.ask(known, live.context.nginx.watched());
        self.turn = Some(Turn::begin(known));
    }

    /// Feeds lines that were read. Between two batches the ring buffer is drained.
    fn take_lines(&mut self, live: &mut Live) {
        loop {
            let said = live.sources.logs.take();
            if said.is_empty() {
                break;
            }
            let now = now();
            for said in said {
                live.log_output(said, now);
            }
            drain(live, self.ring.events.get_mut(), BATCH);
        }
    }

    /// Takes the turn on, as far as what it waits for has come.
    fn go_on(&mut self, live: &mut Live) {
        let Some(turn) = &mut self.turn else { return };
        let waits = turn.waits(live.answered());
        if waits == Waits::Lines && live.sources.logs.is_done() {
            live.sources.connects.lines_are_read(turn.known);
            self.ring.catch_up(live);
            live.flush_connects(now());
            turn.lines_are_read(live.asked());
        }
        if turn.waits(live.answered()) == Waits::Nothing {
            let known = turn.known;
            self.turn = None;
            self.end_turn(live, known);
        }
    }

    fn end_turn(&mut self, live: &mut Live, known: u64) {
        let begun = Instant::now();
        let each_second = begun >= self.next_second;
        if each_second {
            self.next_second = begun + SECOND;
            if begun >= self.next_trim {
                self.next_trim = begun + TRIM;
                memory::trim_heap();
            }
        }
        let now = now();
        live.poll(now, each_second);
        live.pipeline.feed(Event::Tick { at: known });
        live.pipeline.tick(now);
        if each_second {
            live.tell_vitals();
        }
        let attempts = each_second.then(|| {
            let sums = live.context.tables.sums().unwrap_or_default();
            sums[stats::ATTEMPTS as usize] + sums[stats::ADOPTED as usize]
        });
        live.pipeline.show_progress(now, attempts);
    }
}

impl Ring {
    /// Handles what is in the buffer now. In a storm there is always more, which has to wait: timers, signals and the
    /// logs get their turn.
    pub(super) fn catch_up(&mut self, live: &mut Live) {
        let (now, mut bytes) = (now(), 0);
        while bytes < self.size {
            let Some(item) = self.events.get_mut().next() else { break };
            bytes += HEADER + item.len().next_multiple_of(HEADER);
            live.message(&item, now);
        }
    }

    /// At the end: handles what is in the buffer, however large that is. What comes in faster than it can be handled is
    /// counted.
    pub(super) fn empty(&mut self, live: &mut Live) -> Unread {
        for _ in 0..LAST_ROUNDS {
            self.catch_up(live);
        }
        self.discard()
    }

    /// Throws away what is in the buffer.
    pub(super) fn discard(&mut self) -> Unread {
        let mut unread = Unread::default();
        while let Some(item) = self.events.get_mut().next() {
            unread.messages += 1;
            unread.ends += u64::from(decode::ends_attempt(&item));
        }
        unread
    }
}

/// Handles some of what is in the buffer; true if there may be more.
fn drain(live: &mut Live, events: &mut RingBuf<MapData>, most: usize) -> bool {
    let now = now();
    for _ in 0..most {
        let Some(item) = events.next() else { return false };
        live.message(&item, now);
    }
    true
}
