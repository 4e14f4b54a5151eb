//! The start of a trace: what is open is taken over, the hooks are attached, and all that is said.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use upstream_trace_core::event::{Attempt, Event, Host, Nanos};
use upstream_trace_read::output::Sinks;
use upstream_trace_read::output::progress::Progress;
use upstream_trace_read::recording::{Recording, Redactor};

use super::clock::Clock;
use super::closers::Closers;
use super::config::Configs;
use super::connects::Connects;
use super::context::{Batch, Context};
use super::counters::Counters;
use super::depth::Depth;
use super::dns::Dns;
use super::event_loop::Ring;
use super::logs::ErrorLogs;
use super::losses::Losses;
use super::now;
use super::origins::Origins;
use super::overhead::Overhead;
use super::pipeline::Pipeline;
use super::rules::FirewallRules;
use super::scan::Scan;
use super::sources::{Live, Sources};
use super::surroundings::Surroundings;
use super::takeover::{Open, Takeover};
use super::writes;
use crate::cli::{self, Trace};
use crate::host::privileges;
use crate::kernel::load::{Kernel, Prepared, Sizes, possible_processors};
use crate::kernel::symbols::{LateSymbols, Symbols};
use crate::kernel::tables::Tables;
use crate::nginx::{self, WatchedNginx};

/// Loads, takes over what is open, attaches, and says so.
pub(super) fn start(
    cli: &Trace,
    prepared: Prepared,
    nginx: WatchedNginx,
    recorder: Option<Recording>,
    sinks: Sinks,
    wake: &Arc<Notify>,
) -> Result<(Live, Ring)> {
    let mut configs = Configs::begin(&nginx, wake);
    let workers = nginx.worker_pids();
    let before = Open::look(&workers, now());
    let (mut layout, loader) = prepared.take()?;
    layout.place_drops(Symbols::now);
    let open = before.count().min(cli.max_connections);
    let processors = possible_processors();
    let sizes = Sizes { connections: cli.max_connections, open, buffer: cli.buffer, processors };
    let mut kernel = Kernel::load(loader, &layout, &sizes)?;
    let (mut tables, events) = Tables::take(&mut kernel)?;
    nginx.watch(&mut tables)?;
    before.hand_over(&mut tables);
    let dns = Dns::default();
    // No line may be missed whose attempt is seen.
    let mut logs = ErrorLogs::open(&cli.error_log, nginx.watched(), dns.seen(), wake)?;
    let deep = cli.depth != cli::Depth::Watch;
    if deep {
        // Before anything is attached: what begins to be seen is seen in depth.
        tables.watch_io(now());
    }
    kernel.attach(&layout, &cli.hooks, deep)?;
    // Read long since, while programs were loaded: where logs go is said with it in mind.
    let mut configured = Batch::default();
    configs.wait(&mut configured);
    configured.events.iter().for_each(|event| logs.notice(event));
    let attached = logs.begin(nginx.watched());
    let mut depth = Depth::new(cli.depth, Instant::now());
    if deep && !kernel.sees_io() {
        tables.watch_io(0);
        depth.give_up(Instant::now());
    }
    writes::poll(&mut kernel, &mut logs, !workers.is_empty());
    let connects = Connects::begin(&mut kernel, logs.tell());
    let opened = now();
    let slow = Nanos::try_from(cli.slow.as_nanos()).unwrap_or(Nanos::MAX);
    let (takeover, stuck) = Takeover::begin(before, &workers, opened, slow, &mut tables)?;
    let symbols = LateSymbols::of(Symbols::open());
    // Threads that are started from here on have no more rights than this one.
    if let Err(error) = privileges::drop_capabilities() {
        log::warn!("cannot give back rights that are not needed any more: {error:#}");
    }
    let sources = Sources {
        clock: Clock::new(),
        logs,
        connects,
        origins: Origins::new(wake),
        closers: Closers::default(),
        scan: Scan::new(),
        takeover,
        counters: Counters::default(),
        losses: Losses::new(opened),
        dns,
        overhead: Overhead::new(cli.max_overhead, cli.verbose, cli.json),
        depth,
        surroundings: Surroundings::new(wake),
        rules: FirewallRules::new(wake),
        malformed: 0,
        unread: 0,
        left_out: 0,
        configs,
    };
    let host = host(&kernel, &nginx, attached, slow, cli.depth);
    let context = Context { kernel, tables, layout, symbols, nginx, host, slow, choice: cli.hooks.clone() };
    let redactor = cli.redact.then(Redactor::default);
    let shows_progress = recorder.is_some() && !cli.screen;
    let progress = shows_progress.then(|| Progress::on_terminal(opened)).flatten();
    let pipeline = Pipeline::new(recorder, redactor, sinks, progress);
    let mut live = Live { context, sources, pipeline };
    say(&mut live, configured, stuck);
    // SAFETY: the ring buffer owns its descriptor, keeps it open and the same as long as it lives, and moves into the
    // AsyncFd.
    let events = unsafe { AsyncFd::register(events) }.context("cannot wait for the ring buffer")?;
    Ok((live, Ring { events, size: cli.buffer as usize }))
}

/// Says what is watched, and what is stuck already.
fn say(live: &mut Live, mut batch: Batch, stuck: Vec<Attempt>) {
    let host = live.context.host.clone();
    live.pipeline.start(host);
    batch.events.extend(live.context.nginx.workloads(now()));
    batch.events.extend(stuck.into_iter().map(Event::Trouble));
    live.feed_batch(batch, now());
}

/// The trace begins when everything is attached.
fn host(kernel: &Kernel, nginx: &WatchedNginx, attached: Nanos, slow: Nanos, depth: cli::Depth) -> Host {
    let since = i64::try_from(now().saturating_sub(attached) / 1_000).unwrap_or_default();
    let of_kernel = |name: &str| {
        fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned()
    };
    Host {
        at: attached,
        unix_us: Timestamp::now().as_microsecond() - since,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: of_kernel("hostname"),
        kernel: of_kernel("osrelease"),
        nginx: nginx::versions(nginx.masters.iter().copied()),
        hooks: kernel.hooks.clone(),
        masters: nginx.masters.iter().copied().collect(),
        workers: nginx.worker_pids(),
        slow,
        depth: depth.name().to_owned(),
    }
}
