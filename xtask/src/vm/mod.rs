//! `cargo xtask vm [KERNEL...]`: the fault lab on other kernels, in virtual machines.

mod archive;
mod complaint;
mod cpio;
mod elf;
mod extras;
mod guest;
mod initramfs;
mod machine;
mod modules;
mod results;
mod source;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::build::{self, Options};
use crate::say::{note, say};
use crate::{paths, process, setup, test};
use archive::{KERNELS, Kernel};
use guest::{Ended, Lines};
use initramfs::Lab;
use machine::{ARM64, Machine, X86_64};
use source::Source;

/// What became of each scenario the last time that it ran.
const RESULTS: &str = "results.jsonl";
/// The kernel's `uname -r`.
const RELEASE: &str = "release";
/// How often a guest is booted that the emulator lets down.
const BOOTS: u32 = 3;

/// Which kernels, and what to run on them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Vm {
    /// Kernels to boot: 5.10, 6.1, 6.12, 7.2, the same of another architecture
    /// (5.10-arm64 ...), or `host` for this machine's own without a virtual
    /// machine; all of them by default
    kernels: Vec<String>,
    /// Write docs/KERNELS.md from all runs of this program
    #[arg(long)]
    write: bool,
    /// The same without a run
    #[arg(long, conflicts_with_all = ["kernels", "write", "scenario", "sh", "resume", "depth"])]
    table: bool,
    /// Only scenarios whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Run this in the guest's shell instead of the lab; /upstream-trace and /lab are there
    #[arg(long, value_name = "SCRIPT", conflicts_with = "scenario")]
    sh: Option<String>,
    /// Leave out what passed on that kernel with the same program, and what cannot run there
    #[arg(long, conflicts_with = "sh")]
    resume: bool,
    /// Run the lab with this `--depth` of the tool, where a scenario names none
    #[arg(long, value_name = "auto|watch|deep", value_parser = ["auto", "watch", "deep"])]
    depth: Option<String>,
    /// Run this program instead of a new one, such as that of a release; may be given once for each architecture
    #[arg(long, value_name = "FILE")]
    binary: Vec<PathBuf>,
    /// Scenarios at once
    #[arg(long, default_value_t = 2)]
    jobs: u32,
    /// Processors of a guest; where several guests share this machine, one each gets more done
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// How many times longer than on a real machine things may take
    #[arg(long, default_value_t = 4)]
    slow: u32,
    /// Minutes that one kernel may take
    #[arg(long, default_value_t = 30)]
    limit: u64,
}

/// Runs the lab on each kernel, one after the other.
pub(crate) fn vm(options: &Vm) -> Result<()> {
    let kernels = if options.table { Vec::new() } else { chosen(&options.kernels)? };
    if !cfg!(target_arch = "x86_64") {
        bail!("virtual machines are for x86-64 only so far");
    }
    setup::all()?;
    setup::for_vm()?;
    let mut failed = Vec::new();
    let mut builds = Vec::new();
    for machine in [&X86_64, &ARM64] {
        let kernels: Vec<_> = kernels.iter().filter(|one| one.is_of(machine)).collect();
        let is_in_table = || all().any(|one| one.is_of(machine) && one.folder().join(RESULTS).is_file());
        if kernels.is_empty() && !((options.write || options.table) && is_in_table()) {
            continue;
        }
        let tool = Tool::built(options, machine)?;
        for kernel in kernels {
            let ran = match *kernel {
                Where::Host => host(options, &tool),
                Where::Guest(kernel) => guest(kernel, options, &tool),
            };
            if let Err(error) = ran {
                note("Failed", format!("Linux {}: {error:#}", kernel.name()));
                failed.push(kernel.name());
            }
        }
        builds.push((machine, tool.build));
    }
    if options.write || options.table {
        write(&builds)?;
    }
    if !failed.is_empty() {
        bail!("not as expected on Linux {}; what went wrong stands above", failed.join(", "));
    }
    Ok(())
}

/// The program that runs there, and the lab.
#[derive(Debug)]
struct Tool {
    path: PathBuf,
    /// Which one it is; see [`results::build`].
    build: String,
    lab: PathBuf,
}

impl Tool {
    /// For this architecture.
    fn built(options: &Vm, machine: &Machine) -> Result<Self> {
        if machine.target.is_some() {
            setup::for_vm_of_another_architecture()?;
        }
        let path = match given(&options.binary, machine)? {
            Some(path) => path.to_owned(),
            None => build::build(Options::of(machine.target))?,
        };
        Ok(Self { build: results::build(&path)?, lab: test::lab_executable(machine.target)?, path })
    }
}

/// The program for this architecture, if there is one among those that were given.
fn given<'a>(binaries: &'a [PathBuf], machine: &Machine) -> Result<Option<&'a Path>> {
    for path in binaries {
        let elf = elf::machine(path).with_context(|| format!("{} is no program", path.display()))?;
        ensure!(
            [&X86_64, &ARM64].iter().any(|known| known.elf == elf),
            "{} is for another architecture than x86-64 and arm64",
            path.display()
        );
        if elf == machine.elf {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Where the lab runs.
#[derive(Clone, Copy, Debug)]
enum Where {
    Guest(Kernel),
    Host,
}

/// All of them, in the order of the table.
fn all() -> impl Iterator<Item = Where> {
    KERNELS.into_iter().map(Where::Guest).chain([Where::Host])
}

impl Where {
    fn name(self) -> &'static str {
        match self {
            Self::Guest(kernel) => kernel.name,
            Self::Host => "host",
        }
    }

    /// Whether it has this architecture.
    fn is_of(self, machine: &Machine) -> bool {
        let own = match self {
            Self::Guest(kernel) => kernel.machine,
            Self::Host => &X86_64,
        };
        own.name == machine.name
    }

    fn folder(self) -> PathBuf {
        paths::target().join("vm").join(self.name())
    }
}

fn chosen(names: &[String]) -> Result<Vec<Where>> {
    let find = |name: &String| {
        let names = all().map(Where::name).collect::<Vec<_>>().join(", ");
        let found = all().find(|one| one.name() == name);
        found.with_context(|| format!("there is no kernel {name} to boot; there are {names}"))
    };
    if names.is_empty() { Ok(all().collect()) } else { names.iter().map(find).collect() }
}

fn guest(kernel: Kernel, options: &Vm, tool: &Tool) -> Result<()> {
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
fn host(options: &Vm, tool: &Tool) -> Result<()> {
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

/// The table of all kernels on which the lab has run, with this program of each architecture alone.
fn write(builds: &[(&Machine, String)]) -> Result<()> {
    let listed = process::capture(Command::new(test::lab_executable(None)?).arg("--list"))?;
    let scenarios =
        listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
    let mut columns = Vec::new();
    for (machine, build) in builds {
        for folder in all().filter(|one| one.is_of(machine)).map(Where::folder) {
            if let (Ok(release), Ok(outcomes)) =
                (fs::read_to_string(folder.join(RELEASE)), results::of_build(&folder.join(RESULTS), build))
            {
                columns.push((release, outcomes));
            }
        }
    }
    let builds = builds.iter().map(|(machine, build)| (machine.name, build.as_str())).collect::<Vec<_>>();
    let page = paths::root().join("docs/KERNELS.md");
    fs::create_dir_all(paths::root().join("docs"))?;
    fs::write(&page, table::page(&columns, &builds, &scenarios))
        .with_context(|| format!("cannot write {}", page.display()))?;
    say("Wrote", paths::shown(&page));
    Ok(())
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
        environment.push_str(&format!(" LAB_NEWER_NGINX='{}'", root.display()));
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
