//! The fault lab in a guest, or on this machine, and what became of it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::archive::Kernel;
use super::guest::{self, Ended, Lines};
use super::initramfs::{self, Lab};
use super::source::Source;
use super::{RELEASE, RESULTS, Tool, Vm, Where, extras, results};
use crate::say::{note, say};
use crate::{paths, process, setup, test};

/// How often a guest is booted that the emulator lets down.
const BOOTS: u32 = 3;

/// The lab in a guest with this kernel.
pub(super) fn guest(kernel: Kernel, options: &Vm, tool: &Tool) -> Result<()> {
    let unpacked = kernel.fetch()?;
    let machine = kernel.machine;
    let source = Source::of(machine)?;
    let folder = Where::Guest(kernel).folder();
    let (initramfs, lines) = (folder.join("initramfs"), Lines::in_folder(&folder));
    let known = known(options, &folder, &tool.build);
    let script = script(options, &source, &known);
    let lab = Lab { tool: &tool.path, tests: &tool.lab, script, source: &source };
    initramfs::write(&initramfs, &unpacked, &lab).context("cannot write the guest's file system")?;
    fs::write(folder.join(RELEASE), &unpacked.release)?;
    say("Booting", format!("Linux {}", unpacked.release));
    let begin = Instant::now();
    let limit = Duration::from_mins(options.limit);
    let boot = || {
        let ended = guest::run((machine, &unpacked), options.cpus, &initramfs, &lines, limit);
        // Also what was found before it failed.
        keep(options, &lines.results, &folder, &tool.build)?;
        ended
    };
    until_done(boot)?;
    if options.sh.is_some() {
        say("Ran", format!("it; its words are in {}", paths::shown(&lines.lab)));
        return Ok(());
    }
    let said = fs::read_to_string(&lines.lab).unwrap_or_default();
    let result = said.lines().rev().find(|line| line.starts_with("test result:")).unwrap_or("no result");
    say("Ran", format!("{result} ({} s; {})", begin.elapsed().as_secs(), paths::shown(&lines.lab)));
    for outcome in results::read(&lines.results)?.values().filter(|outcome| !outcome.passed) {
        note("Failed", format!("{}: {}", outcome.scenario, outcome.complaints.join("; ")));
    }
    if !result.contains(" 0 failed") {
        bail!("scenarios failed");
    }
    Ok(())
}

/// Boots again if all that went wrong is the emulator's doing, and says so.
fn until_done(mut boot: impl FnMut() -> Result<Ended>) -> Result<()> {
    for left in (0..BOOTS).rev() {
        let Ended::Emulator(why) = boot()? else { return Ok(()) };
        if left == 0 {
            bail!("{why}; {BOOTS} boots");
        }
        note("Repeating", format!("the boot: {why}"));
    }
    Ok(())
}

/// The lab on this machine's own kernel.
pub(super) fn host(options: &Vm, tool: &Tool) -> Result<()> {
    setup::for_tests()?;
    setup::browser();
    let folder = Where::Host.folder();
    fs::create_dir_all(&folder).context("cannot make a folder for the results")?;
    let results = Lines::in_folder(&folder).results;
    fs::write(&results, "")?;
    // Only the version: what else a name of a kernel says is about this machine.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    fs::write(folder.join(RELEASE), release.trim().split('-').next().unwrap_or_default())?;
    let mut command = test::lab_command(&tool.path)?;
    command.arg(format!("LAB_RESULTS={}", results.display()));
    command.arg(format!("LAB_ONLY={}", options.scenario.join(",")));
    command.arg(format!("LAB_SKIP={}", known(options, &folder, &tool.build))).arg(&tool.lab);
    let ran = process::run(command.current_dir(paths::root().join("tests")));
    keep(options, &results, &folder, &tool.build)?;
    ran
}

/// Keeps what a run found, for the table; of what another depth saw the table tells nothing.
fn keep(options: &Vm, run: &Path, folder: &Path, build: &str) -> Result<()> {
    if options.depth.is_some() { Ok(()) } else { results::merge(run, &folder.join(RESULTS), build) }
}

/// The scenarios that are left out, with commas between them.
fn known(options: &Vm, folder: &Path, build: &str) -> String {
    let before = results::of_build(&folder.join(RESULTS), build).unwrap_or_default();
    let passed = before.into_values().filter(|outcome| options.resume && outcome.passed);
    passed.map(|outcome| outcome.scenario).collect::<Vec<_>>().join(",")
}

/// What the guest's init runs.
fn script(options: &Vm, source: &Source, known: &str) -> String {
    let [lab, results] = source.machine.lines;
    if let Some(script) = &options.sh {
        return format!("{{\n{script}\n}} >{lab} 2>&1\n");
    }
    let mut environment = format!("UPSTREAM_TRACE_BIN=/upstream-trace LAB_SLOW={}", options.slow);
    if let Some(depth) = &options.depth {
        environment.push_str(" UPSTREAM_TRACE_DEPTH=");
        environment.push_str(depth);
    }
    if let Some(root) = extras::newer_nginx(source) {
        let _infallible = write!(environment, " LAB_NEWER_NGINX='{}'", root.display());
    }
    let only = options.scenario.join(",");
    format!(
        "LAB_ONLY='{only}' LAB_SKIP='{known}' LAB_RESULTS={results} {environment} /lab --color=never --test-threads={} >{lab} 2>&1\n",
        options.jobs
    )
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::{BOOTS, Ended, until_done};

    #[test]
    fn only_a_guest_that_the_emulator_let_down_is_booted_again() {
        let let_down = || Ok(Ended::Emulator("BUG: soft lockup".to_owned()));
        let mut boots = 0;
        let error = until_done(|| {
            boots += 1;
            let_down()
        });
        assert!(error.is_err_and(|error| error.to_string().contains("soft lockup")));
        assert_eq!(boots, BOOTS);

        boots = 0;
        let second = until_done(|| {
            boots += 1;
            if boots == 1 { let_down() } else { Ok(Ended::Done) }
        });
        assert!(second.is_ok());
        assert_eq!(boots, 2);

        boots = 0;
        let fault = until_done(|| {
            boots += 1;
            bail!("its kernel complained")
        });
        assert!(fault.is_err());
        assert_eq!(boots, 1);
    }
}
