//! What the tool costs, measured by itself, and `--max-overhead`.
//!
//! The kernel's statistics of run times cost 65 to 75 ns a run, as much as most hooks. So they are on for a short while
//! only, now and then; with `--verbose` all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use aya::sys::{Stats, enable_stats};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use upstream_trace_core::event::{Event, Nanos};

use super::context::{Batch, Context};
use super::depth::Depth;
use crate::kernel::load::{Kernel, Runs};
use upstream_trace_core::hooks::{HOOKS, Hook};
use upstream_trace_read::output::HookCost;

/// From the start to the first measurement, and between two of them.
const FIRST: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_secs(10);
/// Between two of them if there is a limit to keep.
const BETWEEN_FOR_LIMIT: Duration = Duration::from_secs(2);

/// How long a measurement lasts.
const WINDOW: Duration = Duration::from_millis(100);

/// What the statistics themselves add to a run: what an empty program reads (measured on 6.18).
const STATISTICS_NS: u64 = 65;

/// Percent of the host's processor time that the hooks on send and receive may take with `--depth auto`, unless
/// `--max-overhead` says otherwise.
const IO_LIMIT: f64 = 1.0;

/// Measurements in a row above the limit before something is given up.
const PATIENCE: u32 = 3;

/// What can be given up, by hook; those of a line belong together.
const OPTIONAL: [&[&str]; 8] = [
    &["tcp_send_reset"],
    &["kfree_skb"],
    &["tcp_receive_reset"],
    &["tcp_retransmit_skb"],
    &["inet_sk_error_report"],
    IO,
    &["connect"],
    &["write"],
];
const IO: &[&str] = &["sock_send_length", "sock_recv_length"];

/// A measurement that is under way.
#[derive(Debug)]
struct Window {
    /// Keeps the statistics on.
    _statistics: OwnedFd,
    begun: Instant,
    before: BTreeMap<String, Runs>,
}

/// What was measured so far.
#[derive(Debug)]
pub struct Overhead {
    /// Percent of the host's processor time.
    limit: Option<f64>,
    /// The statistics are on all the time.
    exact: bool,
    /// A note does not go to stderr by itself, as with `--json`.
    warns: bool,
    begun: Instant,
    due: Instant,
    window: Option<Window>,
    measured: Duration,
    sums: BTreeMap<String, Runs>,
    own: Duration,
    own_at: Instant,
    above: u32,
}

impl Overhead {
    /// Measures from now on.
    pub fn new(limit: Option<f64>, exact: bool, warns: bool) -> Self {
        let now = Instant::now();
        Self {
            limit,
            exact,
            warns,
            begun: now,
            due: now + FIRST,
            window: None,
            measured: Duration::ZERO,
            sums: BTreeMap::new(),
            own: own_time(),
            own_at: now,
            above: 0,
        }
    }

    /// Begins or ends a measurement if it is time; what it found if it ended.
    fn tick(&mut self, kernel: &Kernel, hurry: bool) -> Option<(Duration, BTreeMap<String, Runs>)> {
        let now = Instant::now();
        if let Some(window) = self.window.take_if(|window| now - window.begun >= WINDOW) {
            let lasted = now - window.begun;
            let found = since(&window.before, kernel.runs());
            self.measured += lasted;
            for (name, runs) in &found {
                let sum = self.sums.entry(name.clone()).or_default();
                (sum.count, sum.nanos) = (sum.count + runs.count, sum.nanos + runs.nanos);
            }
            return Some((lasted, found));
        }
        if self.window.is_none() && now >= self.due {
            self.due = now + if hurry { BETWEEN_FOR_LIMIT } else { BETWEEN };
            // Without the right to measure nothing is known.
            self.window = enable_stats(Stats::RunTime).ok().map(|statistics| Window {
                _statistics: statistics,
                begun: now,
                before: kernel.runs(),
            });
        }
        None
    }

    /// Cost per hook, for the summary.
    pub fn costs(&self, kernel: &Kernel) -> Vec<HookCost> {
        let (sums, measured) = if self.exact {
            (kernel.runs(), self.begun.elapsed())
        } else {
            (self.sums.clone(), self.measured)
        };
        let millis = u64::try_from(measured.as_millis()).unwrap_or(u64::MAX);
        let seen = sums.into_iter().filter(|(_, runs)| runs.count > 0 && millis > 0);
        seen.map(|(name, runs)| HookCost {
            name,
            runs: runs.count,
            mean_ns: runs.nanos / runs.count,
            per_second: runs.count.saturating_mul(1000) / millis,
        })
        .collect()
    }

    /// Percent of the time of all processors that hooks and program took while this was measured.
    fn percent(&mut self, lasted: Duration, found: &BTreeMap<String, Runs>) -> f64 {
        let hooks: u64 = found.values().map(net).sum();
        let (own, now) = (own_time(), Instant::now());
        let of_program =
            (own.saturating_sub(self.own)).as_secs_f64() / (now - self.own_at).as_secs_f64().max(1e-3);
        (self.own, self.own_at) = (own, now);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let of_hooks = hooks as f64 / lasted.as_nanos() as f64;
        (of_hooks + of_program) * 100.0 / processors as f64
    }

    /// Measures now and then; gives hooks up if there is a limit and it is not kept. True if those on send and receive were.
    pub(super) fn poll(
        &mut self,
        now: Nanos,
        context: &mut Context,
        depth: &mut Depth,
        to: &mut Batch,
    ) -> bool {
        let hurry = self.limit.is_some() || depth.is_auto() && depth.is_deep();
        let Some((lasted, found)) = self.tick(&context.kernel, hurry) else { return false };
        if depth.is_auto() && of_io(lasted, &found) > self.limit.unwrap_or(IO_LIMIT) {
            depth.too_much(Instant::now());
            return false;
        }
        let percent = self.percent(lasted, &found);
        log::debug!("hooks and program take {percent:.2} % of the processors");
        let Some(limit) = self.limit else { return false };
        self.above = if percent > limit { self.above + 1 } else { 0 };
        if self.above < PATIENCE {
            return false;
        }
        self.above = 0;
        let costliest = costliest(&found);
        let text = match costliest {
            Some(hooks) => {
                if hooks == IO {
                    depth.give_up(Instant::now());
                }
                shed(hooks, limit, now, context, to);
                format!(
                    "Tracing took {percent:.2} % of the processors, more than the {limit} % of --max-overhead: {} \
                     given up, and what rests on it is not told any more.",
                    hooks.join(", ")
                )
            }
            None => format!(
                "Tracing takes {percent:.2} % of the processors, more than the {limit} % of --max-overhead, and nothing \
                 is left that could be given up."
            ),
        };
        if self.warns {
            log::warn!("{text}");
        }
        to.note(now, text);
        costliest == Some(IO)
    }
}

/// Percent of the time of all processors that the hooks on send and receive took.
fn of_io(lasted: Duration, found: &BTreeMap<String, Runs>) -> f64 {
    let programs = HOOKS.iter().filter(|hook| IO.contains(&hook.name)).flat_map(Hook::programs);
    let programs: BTreeSet<_> = programs.collect();
    let nanos: u64 = programs.into_iter().filter_map(|name| found.get(name)).map(net).sum();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    nanos as f64 / lasted.as_nanos() as f64 * 100.0 / processors as f64
}

/// Gives these hooks up, and says which are left.
fn shed(hooks: &[&str], limit: f64, now: Nanos, context: &mut Context, to: &mut Batch) {
    if hooks == IO {
        // Before they go: a request that is under way would look as if it were never answered.
        context.tables.watch_io(0);
    }
    context.kernel.shed(hooks, &format!("given up to keep --max-overhead {limit}"));
    to.event(Event::Host(context.host_now(now)));
}

/// The optional hooks that cost most, if that is worth it: a tenth of all.
fn costliest(found: &BTreeMap<String, Runs>) -> Option<&'static [&'static str]> {
    let of = |hooks: &[&str]| {
        let programs = HOOKS.iter().filter(|hook| hooks.contains(&hook.name)).flat_map(Hook::programs);
        programs.collect::<BTreeSet<_>>().into_iter().filter_map(|name| found.get(name)).map(net).sum::<u64>()
    };
    let all: u64 = found.values().map(net).sum();
    OPTIONAL.into_iter().max_by_key(|hooks| of(hooks)).filter(|hooks| of(hooks) > 0 && of(hooks) >= all / 10)
}

/// Without what the statistics cost themselves.
fn net(runs: &Runs) -> u64 {
    runs.nanos.saturating_sub(runs.count * STATISTICS_NS)
}

fn since(before: &BTreeMap<String, Runs>, after: BTreeMap<String, Runs>) -> BTreeMap<String, Runs> {
    let less = |(name, runs): (String, Runs)| {
        let was = before.get(&name).copied().unwrap_or_default();
        let count = runs.count.saturating_sub(was.count);
        (name, Runs { count, nanos: runs.nanos.saturating_sub(was.nanos) })
    };
    after.into_iter().map(less).collect()
}

/// Processor time of this process.
pub(super) fn own_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    let micros = usage.map_or(0, |usage| (usage.user_time() + usage.system_time()).num_microseconds());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(of: &[(&str, u64, u64)]) -> BTreeMap<String, Runs> {
        of.iter()
            .map(|(name, count, nanos)| ((*name).to_owned(), Runs { count: *count, nanos: *nanos }))
            .collect()
    }

    #[test]
    fn the_costliest_goes_first_and_what_costs_little_stays() {
        let found = runs(&[
            ("inet_sock_set_state", 1000, 500_000),
            ("kfree_skb", 1000, 70_000),
            ("sock_send_length", 1000, 200_000),
            ("sock_recv_length", 1000, 200_000),
        ]);
        assert_eq!(costliest(&found), Some(IO));
        let cheap = runs(&[("inet_sock_set_state", 1000, 900_000), ("kfree_skb", 1000, 70_000)]);
        assert_eq!(costliest(&cheap), None);
        assert_eq!(costliest(&BTreeMap::new()), None);
    }

    #[test]
    fn a_window_counts_what_happened_in_it() {
        let before = runs(&[("a", 10, 1000)]);
        let found = since(&before, runs(&[("a", 15, 2000), ("b", 1, 90)]));
        assert_eq!(found, runs(&[("a", 5, 1000), ("b", 1, 90)]));
        assert_eq!(net(&found["a"]), 1000 - 5 * STATISTICS_NS);
    }
}
