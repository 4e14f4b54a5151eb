//! Where events come from, and in which order.

use upstream_trace_core::event::{Event, LossPlace, Nanos};
use upstream_trace_core::hooks::When;
use upstream_trace_read::output::stream;

use super::clock::Clock;
use super::closers::Closers;
use super::config::Configs;
use super::connects::Connects;
use super::context::{Batch, Context};
use super::counters::Counters;
use super::depth::Depth;
use super::dns::Dns;
use super::logs::ErrorLogs;
use super::losses::Losses;
use super::origins::Origins;
use super::overhead::Overhead;
use super::pipeline::Pipeline;
use super::resolver::about_names;
use super::rules::FirewallRules;
use super::scan::Scan;
use super::surroundings::Surroundings;
use super::takeover::Takeover;
use super::turn::Counts;
use super::writes;
use crate::errorlog::LogOutput;
use crate::kernel::decode::Message;

/// All sources but the ring buffer, which is read all the time.
pub(super) struct Sources {
    pub(super) clock: Clock,
    pub(super) logs: ErrorLogs,
    pub(super) connects: Connects,
    pub(super) origins: Origins,
    pub(super) closers: Closers,
    pub(super) scan: Scan,
    pub(super) takeover: Takeover,
    pub(super) counters: Counters,
    pub(super) losses: Losses,
    pub(super) dns: Dns,
    pub(super) overhead: Overhead,
    pub(super) depth: Depth,
    pub(super) surroundings: Surroundings,
    pub(super) rules: FirewallRules,
    pub(super) configs: Configs,
    /// Messages of the ring buffer that were malformed.
    pub(super) malformed: u64,
    /// Messages that were left in the ring buffer at the end.
    pub(super) unread: u64,
    /// Runs of hooks that the kernel left out.
    pub(super) left_out: u64,
}

/// A trace.
pub(super) struct Live {
    pub(super) context: Context,
    pub(super) sources: Sources,
    pub(super) pipeline: Pipeline,
}

impl Live {
    /// Polls every source, in this order; what each brings is fed before the next one is asked. To be called once all
    /// lines that were written before the turn began, and then all messages that were in the ring buffer after that, were
    /// fed. nginx writes its line before it closes the socket: whoever judges an attempt by its message has its line.
    pub(super) fn poll(&mut self, now: Nanos, each_second: bool) {
        let mut batch = Batch::default();
        macro_rules! poll {
            ($source:ident, $($argument:expr),*) => {{
                self.sources.$source.poll($($argument,)* &mut batch);
                self.feed_batch(std::mem::take(&mut batch), now);
            }};
        }
        let any_worker = !self.context.nginx.workers.is_empty();
        writes::poll(&mut self.context.kernel, &mut self.sources.logs, any_worker);
        // 0. What time it is: all that follows is told by it.
        poll!(clock, now, &self.context);
        // 1. Who serves the upstreams: the end of unix connections is watched once that is known.
        self.sources.origins.poll(now, &mut self.context, &mut self.sources.surroundings);
        let looks = self.sources.depth.is_deep() || !self.context.kernel.puts_off(When::OnUnix);
        if looks && self.sources.connects.look_for_unix(now, &mut self.context, &self.sources.origins) {
            // What ended before the hook was there.
            self.sources.scan.soon();
        }
        // 2. What no hook tells: attempts that are stuck, or ended unseen.
        poll!(scan, now, self.sources.connects.unix, &mut self.context);
        if !each_second {
            for event in self.context.nginx.turn(now, &mut self.context.tables) {
                self.feed(event, now);
            }
        }
        if each_second {
            self.sources.left_out = self.context.left_out().max(self.sources.left_out);
            // 3. Processes, and whose logs and configuration follow from them.
            for event in self.context.nginx.tick(now, &mut self.context.tables) {
                self.feed(event, now);
            }
            self.sources.configs.ask(&self.context.nginx);
            poll!(takeover, now, &mut self.context);
            self.sources.connects.poll(&mut self.context, self.sources.logs.tell());
            self.context.kernel.flush_log();
            poll!(counters, now, &mut self.context);
        }
        // 4. What was lost, before anything that came is judged: proof may be among it.
        if self.sources.losses.heard || each_second {
            self.poll_losses(now);
        }
        poll!(dns, now, self.context.slow);
        let blinded = self.sources.overhead.poll(now, &mut self.context, &mut self.sources.depth, &mut batch);
        if self.sources.depth.poll(now, &mut self.context) || blinded {
            self.sources.dns.is_blind();
            self.sources.connects.leave_unix(&mut self.context);
        }
        self.feed_batch(std::mem::take(&mut batch), now);
        // 5. What was asked for because of a failure, before that is judged.
        self.take_answers(now);
    }

    /// Tells of errors of `connect()` that only lines told, after the messages of their time.
    pub(super) fn flush_connects(&mut self, now: Nanos) {
        let mut batch = Batch::default();
        self.sources.connects.flush(&mut batch);
        self.feed_batch(batch, now);
    }

    /// Questions that were asked because of failures.
    pub(super) fn asked(&self) -> Counts {
        [self.sources.surroundings.asked(), self.sources.rules.asked()]
    }

    /// Those of them that are answered.
    pub(super) fn answered(&self) -> Counts {
        [self.sources.surroundings.answered(), self.sources.rules.answered()]
    }

    /// Takes what came from threads.
    pub(super) fn take_answers(&mut self, now: Nanos) {
        let mut batch = Batch::default();
        self.sources.surroundings.poll(now, &mut batch);
        self.sources.rules.poll(now, &mut batch);
        self.sources.configs.poll(&mut batch);
        self.feed_batch(batch, now);
    }

    /// Says what was lost until now.
    pub(super) fn poll_losses(&mut self, now: Nanos) {
        let here = [
            (LossPlace::OriginTable, self.sources.origins.lost()),
            (LossPlace::OpenConnections, self.context.tables.seeds_lost),
            (LossPlace::Undecoded, self.sources.malformed),
            (LossPlace::HookRuns, self.sources.left_out),
            (LossPlace::RingBuffer, self.sources.unread),
            (LossPlace::ErrorLog, self.sources.logs.lost()),
            (LossPlace::NameLookups, self.sources.dns.lost()),
            (LossPlace::Facts, self.sources.surroundings.lost()),
            (LossPlace::Rules, self.sources.rules.lost()),
            // Told once somebody reads again.
            (LossPlace::Output, stream::lost().unwrap_or(0)),
        ];
        let here = [&here[..], &self.pipeline.lost()].concat();
        let mut batch = Batch::default();
        self.sources.losses.poll(now, &self.context, &here, &mut batch);
        batch.events.extend(self.sources.origins.take_unseen(now));
        self.feed_batch(batch, now);
    }

    /// A message of the ring buffer.
    pub(super) fn message(&mut self, bytes: &[u8], now: Nanos) {
        self.sources.losses.heard = true;
        let mut batch = Batch::default();
        match self.context.message(bytes) {
            Some(Message::Event(event)) => {
                if !self.sources.connects.is_told(&event) {
                    self.feed(*event, now);
                }
            }
            Some(Message::Process(kind, process)) => {
                batch.events = self.context.nginx.changed(kind, &process, &mut self.context.tables);
            }
            Some(Message::OriginExit(exit)) => {
                batch.events = self.sources.origins.ended(&exit, &self.context.tables);
            }
            Some(Message::OriginClosed(closed)) => {
                batch.events.extend(self.sources.closers.closed(&closed));
            }
            Some(Message::LogWrite(write)) => {
                if let Some(said) = writes::line(&write, &mut self.sources.logs) {
                    self.log_output(said, now);
                }
            }
            Some(Message::Dns(message)) => self.sources.dns.message(&message, &mut batch),
            None => {
                log::warn!("a message of {} bytes from the kernel side is malformed", bytes.len());
                self.sources.malformed += 1;
            }
        }
        self.feed_batch(batch, now);
    }

    /// A line of error.log, or what there is to say about reading it.
    pub(super) fn log_output(&mut self, said: LogOutput, now: Nanos) {
        let mut batch = Batch::default();
        match said {
            LogOutput::Event(event) => {
                // What was lost must be known before a line is taken for one without an attempt.
                self.sources.losses.heard = true;
                if let Event::Log(line) = &*event {
                    self.sources.connects.line(line);
                    if let Some(worker) = line.worker.filter(|_| about_names(line)) {
                        self.sources.dns.before_line(worker, line.at, &mut batch);
                    }
                }
                batch.event(*event);
            }
            LogOutput::Note(text) => batch.note(now, text),
        }
        self.feed_batch(batch, now);
    }

    pub(super) fn feed_batch(&mut self, batch: Batch, now: Nanos) {
        for event in batch.events {
            self.feed(event, now);
        }
        for note in batch.notes {
            self.pipeline.note(note);
        }
    }

    /// An event; what has to be looked up because of it is asked for.
    pub(super) fn feed(&mut self, event: Event, now: Nanos) {
        let mut before = Batch::default();
        self.sources.counters.notice(&event, &self.context, now, &mut before);
        for sample in before.events {
            self.pipeline.feed(sample);
        }
        self.sources.connects.notice(&event);
        self.sources.logs.notice(&event);
        self.sources.depth.notice(&event);
        self.sources.surroundings.notice(&event, now);
        self.sources.rules.notice(&event, &self.context, now);
        self.pipeline.feed(event);
    }
}
