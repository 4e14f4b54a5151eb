//! `cargo xtask vm [KERNEL...]`: the fault lab on other kernels, in virtual machines.

mod archive;
mod column;
mod complaint;
mod cpio;
mod elf;
mod extras;
mod guest;
mod initramfs;
mod lab;
mod machine;
mod modules;
mod page;
mod results;
mod source;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};

use crate::build::{self, Options};
use crate::say::{note, say};
use crate::{paths, process, setup, test};
use archive::{KERNELS, Kernel};
use column::{Found, Ran};
use machine::{ARM64, Machine, X86_64};

/// What became of each scenario the last time that it ran.
const RESULTS: &str = "results.jsonl";
/// The kernel's `uname -r`.
const RELEASE: &str = "release";

/// Which kernels, and what to run on them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Vm {
    /// Kernels to boot: 5.10, 6.1, 6.12, 7.2, the same of another architecture
    /// (5.10-arm64 ...), or `host` for this machine's own without a virtual
    /// machine; all of them by default
    kernels: Vec<String>,
    /// Write docs/KERNELS.md from all runs of this program; columns of kernels on which it did not run stay as they are
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
    /// Run this program instead of a new one, such as that of a release; may be repeated: the last one for the architecture
    /// runs, and the table has of each kernel what the last one did that ran there
    #[arg(long, value_name = "FILE")]
    binary: Vec<PathBuf>,
    /// Guests at once: an emulated processor keeps one of this machine busy
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    guests: u32,
    /// Scenarios at once in a guest
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

/// Runs the lab on each kernel.
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
        let kernels: Vec<_> = kernels.iter().copied().filter(|one| one.is_of(machine)).collect();
        let is_in_table = || all().any(|one| one.is_of(machine) && one.folder().join(RESULTS).is_file());
        if kernels.is_empty() && !((options.write || options.table) && is_in_table()) {
            continue;
        }
        let tool = Tool::built(options, machine)?;
        failed.extend(run(&kernels, options, &tool));
        let given = given(&options.binary, machine)?;
        let mut of_machine = given.into_iter().map(results::build).collect::<Result<Vec<_>>>()?;
        if of_machine.is_empty() {
            of_machine.push(tool.build);
        }
        builds.push((machine, of_machine));
    }
    if options.write || options.table {
        write(&builds)?;
    }
    if !failed.is_empty() {
        bail!("not as expected on Linux {}; what went wrong stands above", failed.join(", "));
    }
    Ok(())
}

/// Runs the lab on these, guests several at once, this machine alone and last; gives those that were not as expected.
fn run(kernels: &[Where], options: &Vm, tool: &Tool) -> Vec<&'static str> {
    let failed = Mutex::new(Vec::new());
    let judge = |kernel: Where, ran: Result<()>| {
        if let Err(error) = ran {
            note("Failed", format!("Linux {}: {error:#}", kernel.name()));
            failed.lock().unwrap_or_else(PoisonError::into_inner).push(kernel.name());
        }
    };
    let guests = kernels.iter().filter_map(|one| match one {
        Where::Guest(kernel) => Some(*kernel),
        Where::Host => None,
    });
    let guests = Mutex::new(guests);
    let next = || guests.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..options.guests {
            scope.spawn(|| {
                while let Some(kernel) = next() {
                    judge(Where::Guest(kernel), lab::guest(kernel, options, tool));
                }
            });
        }
    });
    if kernels.iter().any(|one| matches!(one, Where::Host)) {
        judge(Where::Host, lab::host(options, tool));
    }
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
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
        let path = match given(&options.binary, machine)?.last() {
            // The lab runs in another folder.
            Some(path) => {
                fs::canonicalize(path).with_context(|| format!("there is no {}", path.display()))?
            }
            None => build::build(Options::of(machine.target))?,
        };
        Ok(Self { build: results::build(&path)?, lab: test::lab_executable(machine.target)?, path })
    }
}

/// The programs for this architecture among those that were given.
fn given<'a>(binaries: &'a [PathBuf], machine: &Machine) -> Result<Vec<&'a Path>> {
    let mut of_machine = Vec::new();
    for path in binaries {
        let elf = elf::machine(path).with_context(|| format!("{} is no program", path.display()))?;
        ensure!(
            [&X86_64, &ARM64].iter().any(|known| known.elf == elf),
            "{} is for another architecture than x86-64 and arm64",
            path.display()
        );
        if elf == machine.elf {
            of_machine.push(path.as_path());
        }
    }
    Ok(of_machine)
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

    /// Whether a kernel with this `uname -r` may be it.
    fn has_release(self, release: &str) -> bool {
        match self {
            Self::Guest(kernel) => kernel.has_release(release),
            Self::Host => !KERNELS.iter().any(|kernel| kernel.has_release(release)),
        }
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

/// The table of all kernels on which the lab has run: on each with the last one of these programs that ran there. A kernel on
/// which none of them ran keeps its column.
fn write(builds: &[(&Machine, Vec<String>)]) -> Result<()> {
    let listed = process::capture(Command::new(test::lab_executable(None)?).arg("--list"))?;
    let scenarios =
        listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
    let page = paths::root().join("docs/KERNELS.md");
    let before = page::read(&fs::read_to_string(&page).unwrap_or_default());
    let (mut columns, mut found) = (Vec::new(), Found::new());
    for one in [&X86_64, &ARM64].into_iter().flat_map(|machine| all().filter(|one| one.is_of(machine))) {
        let of_machine = builds.iter().find(|(machine, _)| one.is_of(machine));
        if let Some(ran) = of_machine.and_then(|(machine, builds)| ran(one, machine, builds)) {
            ran.find(&mut found);
            columns.push(ran.column());
        } else {
            columns.extend(before.iter().find(|column| one.has_release(&column.release)).cloned());
        }
    }
    fs::write(&page, table::page(&columns, &scenarios, &found))
        .with_context(|| format!("cannot write {}", page.display()))?;
    say("Wrote", paths::shown(&page));
    Ok(())
}

/// What the last one of these programs that ran there did.
fn ran(one: Where, machine: &Machine, builds: &[String]) -> Option<Ran> {
    let folder = one.folder();
    let release = fs::read_to_string(folder.join(RELEASE)).ok()?;
    let of = |build: &String| {
        let outcomes = results::of_build(&folder.join(RESULTS), build).unwrap_or_default();
        (!outcomes.is_empty()).then(|| (build.clone(), outcomes))
    };
    let (build, outcomes) = builds.iter().rev().find_map(of)?;
    Some(Ran { release, build, is_core: machine.target.is_some(), outcomes })
}
