//! From the command line to the summary.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};
use tokio::sync::Notify;
use upstream_trace_read::output::stream;
use upstream_trace_read::output::top::Top;
use upstream_trace_read::recording::{Flight, Keep, Recorder, Recording};
use upstream_trace_read::sinks;

use super::event_loop::EventLoop;
use super::start::start;
use super::stop::Stop;
use crate::cli::Trace;
use crate::host::{memory, privileges};
use crate::kernel::load::Prepared;
use crate::kernel::{hook_filter, tracefs};
use crate::nginx::WatchedNginx;
use crate::output;

/// Exit status where not all could be told.
const BROKEN: u8 = 1;
/// Exit status of `--fail-on-failure`.
const FAILED: u8 = 3;

/// Traces until the time is over or a signal comes.
pub fn run(cli: &Trace) -> Result<ExitCode> {
    let begun = Instant::now();
    if cli.hooks.list {
        print!("{}", hook_filter::list());
        return Ok(ExitCode::SUCCESS);
    }
    privileges::check()?;
    memory::one_arena();
    // Before any thread is started and anything printed: who reads the first line may send a signal at once.
    let stop = Stop::new()?;
    stream::queue(privileges::drop_all_capabilities).context("cannot start threads for the output")?;
    let prepared = Prepared::begin();
    let nginx = WatchedNginx::find(&cli.which.targets())?;
    let recorder = recorder(cli)?;
    let mut sinks = sinks::open(&cli.sinks());
    if cli.screen {
        sinks.push(Top::open(cli.color, privileges::drop_all_capabilities)?);
    }
    output::open(&cli.service_sinks(), &mut sinks, privileges::drop_all_capabilities)?;
    tracefs::ensure();
    let statistics = if cli.verbose { enable_stats(Stats::RunTime).ok() } else { None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let wake = Arc::new(Notify::new());
        let (mut live, ring) = start(cli, prepared, nginx, recorder, sinks, &wake)?;
        let startup = begun.elapsed();
        let mut event_loop = EventLoop::new(ring, wake, stop.clone(), cli.duration);
        event_loop.run(&mut live).await?;
        let all = event_loop.finish(&mut live, startup)?;
        let status = if live.pipeline.has_failed() || !all {
            BROKEN
        } else if cli.fail_on_failure && live.pipeline.failures() > 0 {
            FAILED
        } else {
            0
        };
        stop.told(status);
        Ok(ExitCode::from(status))
    });
    drop(statistics);
    code
}

fn recorder(cli: &Trace) -> Result<Option<Recording>> {
    let on_start = privileges::drop_all_capabilities;
    let Some(path) = &cli.record else { return Ok(None) };
    Ok(Some(match cli.keep {
        Some(time) => {
            let keep = Keep { folder: path.clone(), time, limit: cli.record_limit, on_start };
            Recording::Flight(Box::new(Flight::create(keep)?))
        }
        None => Recording::File(Box::new(Recorder::create(path, cli.record_limit, on_start)?)),
    }))
}
