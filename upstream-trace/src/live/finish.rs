//! The end of a trace: what is left is told, and nothing that hangs is waited for.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use upstream_trace_common::stats;
use upstream_trace_read::output::{Accounts, Cost, Extra, progress, stream};
use upstream_trace_read::recording::End;

use super::context::Batch;
use super::event_loop::{EventLoop, Unread};
use super::now;
use super::sources::Live;
use super::vitals::resident;
use crate::kernel::accounts;

/// For lines, as long as no file system hangs: after a signal, where all has to be told within two seconds, and at the end of
/// `--duration`.
const LINES_AFTER_SIGNAL: Duration = Duration::from_millis(500);
const LINES: Duration = Duration::from_millis(1_500);

/// For what was asked because of the last failures.
const ANSWERS: Duration = Duration::from_millis(100);

/// For a reader that reads: after a signal, and at the end of `--duration`.
const AFTER_SIGNAL: Duration = Duration::from_secs(1);
const AFTER_DURATION: Duration = Duration::from_secs(10);

/// For the last word about a reader that does not read.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Between two looks at whether answers have come.
const LOOK: Duration = Duration::from_millis(2);

impl EventLoop {
    /// Tells what is left, and the numbers. False if nobody took all of it, although somebody may want to read.
    pub(super) fn finish(&mut self, live: &mut Live, startup: Duration) -> Result<bool> {
        progress::end();
        let patience = if self.stop.was_asked() { AFTER_SIGNAL } else { AFTER_DURATION };
        stream::be_patient(Instant::now() + patience);
        // What begins from here on is after the end.
        if let Err(error) = live.context.tables.record_no_more() {
            log::warn!("{error:#}");
        }
        let unread = self.read_the_rest(live);
        self.stop.step("the last verdicts");
        wait_for_answers(live);
        let now = now();
        let mut batch = Batch::default();
        live.sources.counters.poll(now, &mut live.context, &mut batch);
        live.feed_batch(batch, now);
        live.poll_losses(now);
        let mut summary = live.pipeline.end(now);
        if let Ok(sums) = live.context.tables.sums() {
            let seen = sums[stats::ATTEMPTS as usize] + sums[stats::ADOPTED as usize];
            summary.attempts = seen + live.sources.connects.numbered;
        }
        let cost = Cost {
            overhead: live.sources.overhead.costs(&live.context.kernel),
            startup_ms: startup.as_secs_f64() * 1000.0,
            deep_ms: live.sources.depth.lasted(Instant::now()).as_secs_f64() * 1000.0,
            rss_bytes: resident(),
        };
        let accounts = self.accounts(live, unread);
        self.stop.step("the recording");
        live.pipeline.end_recording(End { at: now, attempts: summary.attempts });
        self.stop.step("the output");
        live.pipeline.summary(&summary, &Extra { cost: Some(cost), accounts })?;
        Ok(print_the_rest(Instant::now() + patience))
    }

    /// Lines, messages, and what no hook told.
    fn read_the_rest(&mut self, live: &mut Live) -> Unread {
        self.stop.step("reading error.log");
        live.sources.logs.ask_last(now());
        let patience = if self.stop.was_asked() { LINES_AFTER_SIGNAL } else { LINES };
        for said in live.sources.logs.take_all(patience) {
            live.log_output(said, now());
        }
        self.stop.step("reading the ring buffer");
        let unread = self.ring.empty(live);
        live.sources.unread += unread.messages;
        live.flush_connects(now());
        let unwatched = live.sources.depth.is_auto() || !live.sources.depth.is_deep();
        if unwatched || live.context.tables.has_unix() {
            // What ended before the hooks for it were there, and retries that were answered while nobody watched.
            let (now, mut batch) = (now(), Batch::default());
            live.sources.scan.now();
            live.sources.scan.poll(now, live.sources.connects.unix, &mut live.context, &mut batch);
            live.feed_batch(batch, now);
        }
        unread
    }

    fn accounts(&mut self, live: &Live, unread: Unread) -> Option<Accounts> {
        accounts::close(&live.context.tables, unread.ends, || self.ring.discard().ends)
            .map_err(|error| log::warn!("{error:#}"))
            .ok()
    }
}

/// Waits a moment for what was asked for because of the last failures.
fn wait_for_answers(live: &mut Live) {
    let (asked, begun) = (live.asked(), Instant::now());
    loop {
        live.take_answers(now());
        let all = asked.iter().zip(live.answered()).all(|(asked, answered)| answered >= *asked);
        if all || begun.elapsed() >= ANSWERS {
            break;
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until everything is printed, as long as somebody reads. False if that is not all, unless the reader has gone.
fn print_the_rest(until: Instant) -> bool {
    let left = stream::drain(until);
    let lost = stream::lost_in_all();
    if left.results && lost == 0 || stream::is_closed() {
        return true;
    }
    let text = "upstream-trace: whoever reads the output has paused: not all of it was written\n";
    let _nobody_reads = stream::stderr().write_all(text.as_bytes());
    let _left = stream::drain(Instant::now() + LAST_WORD);
    false
}
