//! From the command line to the summary.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aya::maps::{MapData, RingBuf};
use aya::sys::{Stats, enable_stats};
use jiff::Timestamp;
use tokio::io::unix::AsyncFd;
use tokio::time::{MissedTickBehavior, interval, sleep};
use upstream_trace_common::{RING_BYTES, stats};
use upstream_trace_core::dns::Tracker;
use upstream_trace_core::engine::Engine;
use upstream_trace_core::event::{Event, Host, Nanos};

use super::config::Configs;
use super::connects::Connects;
use super::overhead::Overhead;
use super::scan::Scan;
use super::stop::{Stop, with_signals_blocked};
use super::takeover::{Open, Takeover};
use super::{Live, memory, now, vitals};
use crate::cli::Cli;
use crate::errorlog::Logs;
use crate::firewall::Rulesets;
use crate::host::privileges;
use crate::kernel::hook_filter;
use crate::kernel::load::{Kernel, Prepared, Sizes};
use crate::kernel::symbols::{LateSymbols, Symbols};
use crate::kernel::tables::Tables;
use crate::kernel::{accounts, tracefs};
use crate::netcontext::Enricher;
use crate::nginx::{self, WatchedNginx};
use crate::output;
use upstream_trace_read::output::progress::{self, Progress};
use upstream_trace_read::output::{Cost, Extra, Sink, SinkState, Sinks};
use upstream_trace_read::recording::{End, Recorder, Redactor};
use upstream_trace_read::sinks;

/// How often the ring buffer and held results are looked at.
const TICK: Duration = Duration::from_millis(20);

/// Ticks between two looks at processes, counters and losses: a second.
const SLOW_TICK: u32 = 50;

/// What the kernel puts before each message of a ring buffer, and what it aligns them to: `BPF_RINGBUF_HDR_SZ`.
const RING_HEADER: usize = 8;

/// Messages handled before timers and signals get their turn.
const BATCH: usize = 1024;

/// Exit status of `--fail-on-failure`.
const FAILED: u8 = 3;

/// Traces until the time is over or a signal comes.
pub fn run(cli: &Cli) -> Result<ExitCode> {
    let begun = Instant::now();
    if cli.hooks.list {
        print!("{}", hook_filter::list());
        return Ok(ExitCode::SUCCESS);
    }
    privileges::check()?;
    let prepared = Prepared::begin();
    let nginx = WatchedNginx::find(&cli.pid)?;
    let recorder = cli
        .record
        .as_deref()
        .map(|path| Recorder::create(path, cli.record_limit, privileges::drop_all_capabilities))
        .transpose()?;
    let mut sinks = sinks::open(&cli.sinks());
    output::open(&cli.service_sinks(), &mut sinks, privileges::drop_all_capabilities)?;
    tracefs::ensure();
    let statistics = if cli.verbose { enable_stats(Stats::RunTime).ok() } else { None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        // Before anything is printed: who reads the first line may send a signal at once.
        let stop = Stop::new()?;
        let (mut live, events) = start(cli, prepared, nginx, recorder, sinks)?;
        let startup = begun.elapsed();
        let code = follow(&mut live, events, cli, stop).await?;
        finish(&mut live, startup)?;
        Ok(if live.sink.state() == SinkState::Failed { ExitCode::FAILURE } else { code })
    });
    drop(statistics);
    code
}

/// Loads, takes over what is open, attaches, and says so.
fn start(
    cli: &Cli,
    prepared: Prepared,
    nginx: WatchedNginx,
    recorder: Option<Recorder>,
    sinks: Sinks,
) -> Result<(Live, AsyncFd<RingBuf<MapData>>)> {
    let configs = Configs::begin(&nginx);
    let workers = nginx.worker_pids();
    let before = Open::look(&workers, now());
    let (mut layout, loader) = prepared.take()?;
    layout.place_drops(Symbols::now);
    let open = before.count().min(cli.max_connections);
    let sizes = Sizes { connections: cli.max_connections, open, buffer: cli.buffer };
    let mut kernel = Kernel::load(loader, &layout, &sizes)?;
    let (mut tables, events) = Tables::take(&mut kernel)?;
    nginx.watch(&mut tables)?;
    before.hand_over(&mut tables);
    // No line may be missed whose attempt is seen.
    let logs = Logs::open(&cli.error_log, &nginx.watched(), now())?;
    with_signals_blocked(|| kernel.attach(&layout, &cli.hooks))?;
    let connects = with_signals_blocked(|| Connects::begin(&mut kernel, logs.tells_of(&nginx.worker_pids())));
    let opened = now();
    let slow = Nanos::try_from(cli.slow.as_nanos()).unwrap_or(Nanos::MAX);
    let (takeover, stuck) = Takeover::begin(before, &workers, opened, slow, &mut tables)?;
    let symbols = Symbols::open();
    // Threads that are started from here on have no more rights than this one.
    if let Err(error) = privileges::drop_capabilities() {
        log::warn!("cannot give back rights that are not needed any more: {error:#}");
    }
    let mut live = Live {
        kernel,
        tables,
        layout,
        symbols: LateSymbols::of(symbols),
        engine: Engine::new(),
        progress: recorder.as_ref().and_then(|_| Progress::on_terminal(opened)),
        recorder,
        redactor: cli.redact.then(Redactor::default),
        sink: sinks,
        tells_vitals: cli.service_sinks().any(),
        enricher: Enricher::new(),
        rulesets: Rulesets::new(),
        nginx,
        configs,
        logs,
        takeover,
        origins: super::origins::Origins::default(),
        names: Tracker::default(),
        scan: Scan::new(),
        sampled: std::collections::HashMap::new(),
        lost: std::collections::HashMap::new(),
        undecoded: 0,
        heard: false,
        checked: opened,
        slow,
        failures: 0,
        connects,
        overhead: Overhead::new(cli.max_overhead, cli.verbose, cli.json),
    };
    live.begin(host(&live));
    live.wait_for_config();
    for attempt in stuck {
        live.event(Event::Trouble(attempt));
    }
    // SAFETY: the ring buffer owns its descriptor, keeps it open and the same as long as it lives, and moves into the
    // AsyncFd.
    let events = unsafe { AsyncFd::register(events) }.context("cannot wait for the ring buffer")?;
    Ok((live, events))
}

pub(super) fn host(live: &Live) -> Host {
    let of_kernel = |name: &str| {
        fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned()
    };
    Host {
        at: now(),
        unix_us: Timestamp::now().as_microsecond(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: of_kernel("hostname"),
        kernel: of_kernel("osrelease"),
        nginx: nginx::versions(live.nginx.masters.iter().copied()),
        hooks: live.kernel.hooks.clone(),
        masters: live.nginx.masters.iter().copied().collect(),
        workers: live.nginx.worker_pids(),
        slow: live.slow,
    }
}

async fn follow(
    live: &mut Live,
    mut events: AsyncFd<RingBuf<MapData>>,
    cli: &Cli,
    mut stop: Stop,
) -> Result<ExitCode> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = sleep(cli.duration.unwrap_or(Duration::from_secs(u64::from(u32::MAX))));
    tokio::pin!(end);
    let mut count = 0u32;
    loop {
        tokio::select! {
            ready = events.readable_mut() => {
                let mut ready = ready?;
                live.read_logs();
                if !drain(live, ready.get_inner_mut()) {
                    ready.clear_ready();
                }
            }
            _ = ticks.tick() => {
                count = count.wrapping_add(1);
                // What happened before this moment is known once both were read to their end.
                let known = now();
                live.read_logs();
                // The kernel side wakes us only when much has come in.
                catch_up(live, events.get_mut());
                live.flush_connect_errors();
                tick(live, count, known);
            }
            () = &mut end => break,
            () = stop.asked() => break,
        }
        if live.sink.state() != SinkState::Open {
            break;
        }
    }
    live.read_logs();
    catch_up(live, events.get_mut());
    live.flush_connect_errors();
    Ok(if cli.fail_on_failure && live.failures > 0 { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// Handles what is in the buffer now. In a storm there is always more, which has to wait: timers, signals and the log
/// get their turn.
fn catch_up(live: &mut Live, events: &mut RingBuf<MapData>) {
    let mut bytes = 0;
    while bytes < RING_BYTES as usize {
        let Some(item) = events.next() else { break };
        bytes += RING_HEADER + item.len().next_multiple_of(RING_HEADER);
        live.message(&item);
    }
}

/// Handles some of what is in the buffer; true if there may be more.
fn drain(live: &mut Live, events: &mut RingBuf<MapData>) -> bool {
    for _ in 0..BATCH {
        let Some(item) = events.next() else { return false };
        live.message(&item);
    }
    true
}

fn tick(live: &mut Live, count: u32, known: Nanos) {
    let now = now();
    live.look_for_origins(now);
    live.look_for_unix(now);
    live.scan(now);
    if count == SLOW_TICK {
        memory::trim_heap();
    }
    if count.is_multiple_of(SLOW_TICK) {
        for event in live.nginx.tick(now, &mut live.tables) {
            live.feed(event);
        }
        live.look_for_config();
        for attempt in live.takeover.tick(now, live.slow, &mut live.tables) {
            live.event(Event::Trouble(attempt));
        }
        live.check_connects();
        live.kernel.flush_log();
        live.sample(now);
    }
    // Before anything of what came is judged: proof may be among what did not.
    if live.heard || count.is_multiple_of(SLOW_TICK) {
        live.report_lost(now);
    }
    live.look_at_names(now);
    live.measure(now);
    live.poll_rules(now);
    live.poll_config();
    live.feed(Event::Tick { at: known });
    live.sink.tick(now);
    if count.is_multiple_of(SLOW_TICK) {
        live.show_progress(now);
        live.tell_vitals();
    } else {
        progress::show_again();
    }
}

fn finish(live: &mut Live, startup: Duration) -> Result<()> {
    let now = now();
    progress::end();
    if live.tables.has_unix() {
        // What ended before the hooks for it were there.
        live.last_scan(now);
    }
    live.finish_logs(now);
    live.flush_connect_errors();
    live.sample(now);
    live.report_lost(now);
    live.end();
    let mut summary = live.engine.summary(now);
    if let Ok(sums) = live.tables.sums() {
        let seen = sums[stats::ATTEMPTS as usize] + sums[stats::ADOPTED as usize];
        summary.attempts = seen + live.connects.numbered;
    }
    let cost = Cost {
        overhead: live.overhead.costs(&live.kernel),
        startup_ms: startup.as_secs_f64() * 1000.0,
        rss_bytes: vitals::resident(),
    };
    let accounts = accounts::close(&mut live.tables).map_err(|error| log::warn!("{error:#}")).ok();
    let extra = Extra { cost: Some(cost), accounts };
    if let Some(recorder) = live.recorder.take() {
        recorder.finish(End { at: now, attempts: summary.attempts });
    }
    live.sink.summary(&summary, &extra);
    live.sink.finish()
}
