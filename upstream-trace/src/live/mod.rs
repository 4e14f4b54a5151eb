//! Tracing a running nginx: from the hooks to the output.

mod config;
mod connects;
mod logs;
mod memory;
mod names;
mod origins;
mod overhead;
mod rules;
mod run;
mod scan;
mod stop;
mod takeover;
mod vitals;

pub use run::run;

use std::collections::HashMap;

use nix::time::{ClockId, clock_gettime};
use upstream_trace_common::{UnixPath, UpstreamCounters, stats};
use upstream_trace_core::dns::Tracker;
use upstream_trace_core::engine::Engine;
use upstream_trace_core::event::{Event, Host, LossPlace, Lost, Nanos, Upstream, UpstreamSample};
use upstream_trace_core::verdict::Output;

use crate::errorlog::Logs;
use crate::firewall::Rulesets;
use crate::kernel::btf::Layout;
use crate::kernel::decode::{self, Decoder, Message};
use crate::kernel::load::Kernel;
use crate::kernel::symbols::LateSymbols;
use crate::kernel::tables::Tables;
use crate::netcontext::Enricher;
use crate::nginx::WatchedNginx;
use upstream_trace_read::output::progress::Progress;
use upstream_trace_read::output::{Sink, Sinks};
use upstream_trace_read::recording::{Recorder, Redactor};

/// Counters of one upstream are read at most this often because of a failure there.
const SAMPLE_FRESH: Nanos = 50_000_000;

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of the events.
fn now() -> Nanos {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    Nanos::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000_000 + Nanos::try_from(now.tv_nsec()).unwrap_or(0)
}

/// Everything that a running trace holds.
struct Live {
    kernel: Kernel,
    tables: Tables,
    layout: Layout,
    symbols: LateSymbols,
    engine: Engine,
    recorder: Option<Recorder>,
    /// Takes out who asked for what, before the engine, the recording and the output see it.
    redactor: Option<Redactor>,
    /// Shown while recording, on a terminal.
    progress: Option<Progress>,
    sink: Sinks,
    /// Some sink shows how the trace is doing.
    tells_vitals: bool,
    enricher: Enricher,
    rulesets: Rulesets,
    nginx: WatchedNginx,
    configs: config::Configs,
    origins: origins::Origins,
    names: Tracker,
    logs: Logs,
    takeover: takeover::Takeover,
    scan: scan::Scan,
    sampled: HashMap<Upstream, UpstreamSample>,
    /// A message came since losses were last looked at.
    heard: bool,
    /// When that was.
    checked: Nanos,
    /// What was lost until now, by place.
    lost: HashMap<LossPlace, u64>,
    /// Messages of the ring buffer that made no sense.
    undecoded: u64,
    slow: Nanos,
    failures: u64,
    connects: connects::Connects,
    overhead: overhead::Overhead,
}

impl Live {
    /// The first event: the host, as the output names it as well.
    fn begin(&mut self, host: Host) {
        let event = self.redacted(Event::Host(host));
        if let Event::Host(host) = &event {
            self.sink.start(host);
        }
        self.take(event);
    }

    /// Gives an event to the engine and prints what it says.
    fn feed(&mut self, event: Event) {
        let event = self.redacted(event);
        self.take(event);
    }

    fn redacted(&mut self, mut event: Event) -> Event {
        if let Some(redactor) = &mut self.redactor {
            redactor.event(&mut event);
        }
        event
    }

    fn take(&mut self, event: Event) {
        // Whether an event led to anything is asked of ticks alone.
        let tick = if let Event::Tick { at } = event { Some(Event::Tick { at }) } else { None };
        if let Some(recorder) = self.recorder.as_mut().filter(|_| tick.is_none()) {
            recorder.record(&event, true);
        }
        self.sink.event(&event);
        let outputs = self.engine.on(event);
        if let Some((recorder, tick)) = self.recorder.as_mut().zip(tick) {
            recorder.record(&tick, !outputs.is_empty());
        }
        self.say(&outputs);
    }

    /// Says how the recording goes.
    fn show_progress(&self, now: Nanos) {
        if let (Some(progress), Some(recorder)) = (&self.progress, &self.recorder) {
            let sums = self.tables.sums().unwrap_or_default();
            let attempts = sums[stats::ATTEMPTS as usize] + sums[stats::ADOPTED as usize];
            progress.show(now, attempts, recorder.written());
        }
    }

    /// Lets the engine go of what it holds.
    fn end(&mut self) {
        let outputs = self.engine.finish();
        self.say(&outputs);
    }

    fn say(&mut self, outputs: &[Output]) {
        for output in outputs {
            self.failures += u64::from(matches!(output, Output::Failure(_)));
            self.sink.output(output);
            if let Some(progress) = &mut self.progress {
                progress.count(output);
            }
        }
    }

    /// A message of the ring buffer.
    fn message(&mut self, bytes: &[u8]) {
        self.heard = true;
        let decoder = Decoder { layout: &self.layout, symbols: &self.symbols };
        let tables = &mut self.tables;
        match decoder.message(bytes, |id| tables.path(id)) {
            Some(Message::Event(event)) => {
                // Of that one a line told already, while the hook was being attached.
                let told = matches!(&*event, Event::ConnectError(error) if error.at <= self.connects.since);
                if !told {
                    self.event(*event);
                }
            }
            Some(Message::Process(kind, process)) => {
                for event in self.nginx.changed(kind, &process, &mut self.tables) {
                    self.feed(event);
                }
            }
            Some(Message::OriginExit(exit)) => {
                for event in self.origins.ended(&exit, &self.tables) {
                    self.feed(event);
                }
            }
            Some(Message::Dns(message)) => self.on_dns_message(&message),
            None => {
                log::warn!("a message of {} bytes from the kernel side makes no sense", bytes.len());
                self.undecoded += 1;
            }
        }
    }

    /// An event, with what has to be known to judge it.
    fn event(&mut self, event: Event) {
        match &event {
            Event::Trouble(attempt) | Event::End(attempt) => {
                if matches!(event, Event::End(_)) {
                    self.remember_failure(
                        attempt.worker,
                        attempt.id,
                        attempt.upstream.as_ref(),
                        attempt.seen,
                    );
                }
                if let Some(upstream) = &attempt.upstream {
                    self.surround(attempt.worker, attempt.netns, upstream);
                }
            }
            Event::ConnectError(error) => self.surround(error.worker, error.netns, &error.upstream),
            _ => {}
        }
        let dropped = if let Event::Drop(packet) = &event { Some(packet.clone()) } else { None };
        self.feed(event);
        if let Some(packet) = dropped {
            self.ruled(&packet);
        }
    }

    /// Looks up what surrounds a failure at this upstream.
    fn surround(&mut self, worker: u32, netns: u32, upstream: &Upstream) {
        let now = now();
        if self.sampled.get(upstream).is_none_or(|last| now.saturating_sub(last.at) > SAMPLE_FRESH)
            && let Upstream::Tcp(address) = upstream
            && let Some(counters) = self.tables.upstream(&decode::key(*address))
        {
            self.sampled_one(now, upstream.clone(), &counters);
        }
        if let Some(facts) = self.enricher.facts(worker, netns, upstream, now) {
            self.feed(Event::Enrichment(facts));
        }
    }

    /// Counters of all upstreams where something happened.
    fn sample(&mut self, now: Nanos) {
        let counters: Vec<_> = self.tables.upstreams().collect();
        for (address, counters) in counters {
            if let Some(upstream) = self.name(&address) {
                self.sampled_one(now, upstream, &counters);
            }
        }
    }

    fn sampled_one(&mut self, now: Nanos, upstream: Upstream, counters: &UpstreamCounters) {
        let sample = decode::sample(now, Some(upstream.clone()), counters);
        let before = self.sampled.insert(upstream, sample.clone());
        if before.is_none_or(|before| UpstreamSample { at: now, ..before } != sample) {
            self.feed(Event::Upstream(sample));
        }
    }

    /// The upstream with this key of the counters.
    fn name(&mut self, address: &upstream_trace_common::Addr) -> Option<Upstream> {
        if let Some(address) = decode::socket_addr(address) {
            return Some(Upstream::Tcp(address));
        }
        let [a, b, c, d, ..] = address.ip;
        let path = self.tables.path(u32::from_ne_bytes([a, b, c, d]))?;
        Some(Upstream::Unix(decode::path_text(UnixPath::as_bytes(&path))))
    }

    /// Says what was lost since the last time.
    fn report_lost(&mut self, now: Nanos) {
        let since = std::mem::replace(&mut self.checked, now);
        self.heard = false;
        for (place, total) in self.losses() {
            let before = self.lost.insert(place, total).unwrap_or(0);
            let count = total.saturating_sub(before);
            if count > 0 {
                self.feed(Event::Lost(Lost::new(place, count, since, now)));
            }
        }
    }

    /// Every place where something can be lost, and how much was.
    fn losses(&self) -> Vec<(LossPlace, u64)> {
        use upstream_trace_common::stats;
        let here = [
            (LossPlace::OriginTable, self.origins.lost),
            (LossPlace::OpenConnections, self.tables.seeds_lost),
            (LossPlace::Undecoded, self.undecoded),
            (LossPlace::ErrorLog, self.logs.gaps()),
            (LossPlace::NameLookups, self.names.lost),
        ];
        let kernel = [
            (LossPlace::RingBuffer, stats::LOST_RING),
            (LossPlace::ConnectionMap, stats::LOST_MAP),
            (LossPlace::Events, stats::LOST_EVENTS),
            (LossPlace::UpstreamTable, stats::LOST_SLOTS),
            (LossPlace::OriginTable, stats::LOST_ORIGINS),
            (LossPlace::ProcessTable, stats::LOST_WORKERS),
        ];
        let Ok(sums) = self.tables.sums() else { return here.to_vec() };
        let of_kernel = kernel.map(|(place, index)| (place, sums[index as usize]));
        let mut all: Vec<(LossPlace, u64)> = Vec::new();
        for (place, count) in of_kernel.into_iter().chain(here) {
            match all.iter_mut().find(|(known, _)| *known == place) {
                Some((_, sum)) => *sum += count,
                None => all.push((place, count)),
            }
        }
        all
    }
}
