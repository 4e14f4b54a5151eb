//! The fault lab: `cargo test -p upstream-trace-tests --test lab [NAME]`, as root, with nginx, nft, iptables and ip.
//!
//! `UPSTREAM_TRACE_BIN` names the tool to test; `UPSTREAM_TRACE_LAB=worlds` checks the faults alone, by nginx's own
//! words. `LAB_HEALTHY=20000` raises the number of requests of the load scenarios. `LAB_RECORD=FOLDER` keeps a
//! recording of every run of the tool there, and checks that a report of it says the same as the run.
//! `LAB_ONLY=a,b` runs scenarios whose name contains one of these, `LAB_SKIP=a,b` all but those with these names,
//! `LAB_SLOW=4` gives everything four times as long, `LAB_RESULTS=FILE` gets a line of JSON for each scenario.

mod scenarios;

use std::env;
use std::process::ExitCode;
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};
use upstream_trace_tests::origin::{ORIGIN_PROCESS, serve_forever};
use upstream_trace_tests::{Lab, Mode, Scenario, results, table};

/// Scenarios wait more than they work; more of them at once would disturb each other's timing, unless that is slow anyway.
const AT_ONCE: usize = 4;
/// As many as may be asked for.
const MOST_AT_ONCE: usize = 16;

/// Shared by scenarios that run beside each other; a second try has the lab for itself.
static QUIET: RwLock<()> = RwLock::new(());

fn main() -> ExitCode {
    if let Ok(address) = env::var(ORIGIN_PROCESS) {
        return if serve_forever(&address).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(AT_ONCE).clamp(1, MOST_AT_ONCE));
    let mode = Mode::from_environment();
    if let Mode::Nothing(reason) = &mode {
        eprintln!("the fault lab is ignored: {reason}");
    }
    let only = env::var("LAB_ONLY").unwrap_or_default();
    let skip = env::var("LAB_SKIP").unwrap_or_default();
    let chosen = |name: &str| {
        (only.is_empty() || only.split(',').any(|part| name.contains(part)))
            && !skip.split(',').any(|skipped| name == skipped)
    };
    let trials = scenarios::all().filter(|(name, _)| chosen(name)).map(|(name, body)| {
        let missing = scenarios::missing(name);
        if let Some(needed) = missing {
            eprintln!("{name} is ignored: it needs {needed}");
            results::not_run(name, needed);
        }
        let (ignored, mode) = (matches!(mode, Mode::Nothing(_)) || missing.is_some(), mode.clone());
        let trial = move || {
            let begin = Instant::now();
            let result = match &mode {
                Mode::Nothing(reason) => Err(reason.clone()),
                mode => run(mode, (name, body)),
            };
            result.map_err(|report| format!("after {:.1} s\n{report}", begin.elapsed().as_secs_f64()).into())
        };
        Trial::test(name, trial).with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Err(error) = table::write(scenarios::all().map(|(name, _)| name)) {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Runs a scenario. One that fails beside others gets a second try alone, since scenarios share two cores and many of
/// them rest on timeouts; that it needed one is said, with what was wrong the first time.
fn run(mode: &Mode, scenario: Scenario) -> Result<(), String> {
    let beside_others = QUIET.read().unwrap_or_else(PoisonError::into_inner);
    let Err(first) = Lab::run(mode, scenario) else { return Ok(()) };
    drop(beside_others);
    let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    Lab::run(mode, scenario)?;
    eprintln!("UNSTEADY {}: failed beside others, passed alone\n{first}", scenario.0);
    Ok(())
}
