//! `cargo xtask vm [KERNEL...]`: the fault lab on other kernels, in virtual machines.

mod archive;
mod cpio;
mod guest;
mod initramfs;
mod modules;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::build::{self, Options};
use crate::say::{note, say};
use crate::{paths, setup, test};
use archive::{KERNELS, Kernel};
use guest::Lines;
use initramfs::Lab;

/// Which kernels, and what to run on them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Vm {
    /// Kernels to boot: 5.10, 6.1, 6.12, 7.2; all of them by default
    kernels: Vec<String>,
    /// Only scenarios whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Run this in the guest's shell instead of the lab; /upstream-trace and /lab are there
    #[arg(long, value_name = "SCRIPT", conflicts_with = "scenario")]
    sh: Option<String>,
    /// Scenarios at once
    #[arg(long, default_value_t = 2)]
    jobs: u32,
    /// How many times longer than on a real machine things may take
    #[arg(long, default_value_t = 4)]
    slow: u32,
    /// Minutes that one kernel may take
    #[arg(long, default_value_t = 30)]
    limit: u64,
}

/// Runs the lab on each kernel, one after the other.
pub(crate) fn vm(options: &Vm) -> Result<()> {
    let kernels = chosen(&options.kernels)?;
    if !cfg!(target_arch = "x86_64") {
        bail!("virtual machines are for x86-64 only so far");
    }
    setup::all()?;
    setup::for_vm()?;
    let tool = build::build(Options::default())?;
    let lab = test::lab_executable()?;
    let mut failed = Vec::new();
    for kernel in kernels {
        if let Err(error) = run(kernel, options, &tool, &lab) {
            note("Failed", format!("Linux {}: {error:#}", kernel.name));
            failed.push(kernel.name);
        }
    }
    if !failed.is_empty() {
        bail!("not as expected on Linux {}; what went wrong stands above", failed.join(", "));
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<Kernel>> {
    let find = |name: &String| {
        let kernel = KERNELS.into_iter().find(|kernel| kernel.name == name);
        let all = KERNELS.map(|kernel| kernel.name).join(", ");
        kernel.with_context(|| format!("there is no kernel {name} to boot; there are {all}"))
    };
    if names.is_empty() { Ok(KERNELS.to_vec()) } else { names.iter().map(find).collect() }
}

fn run(kernel: Kernel, options: &Vm, tool: &Path, lab: &Path) -> Result<()> {
    let unpacked = kernel.fetch()?;
    let folder = kernel.folder();
    let (initramfs, lines) = (folder.join("initramfs"), Lines::in_folder(&folder));
    let lab = Lab { tool, tests: lab, script: script(options) };
    initramfs::write(&initramfs, &unpacked, &lab).context("cannot write the guest's file system")?;
    say("Booting", format!("Linux {}", unpacked.release));
    let begin = Instant::now();
    guest::run(&unpacked, &initramfs, &lines, Duration::from_mins(options.limit))?;
    if options.sh.is_some() {
        say("Ran", format!("it; its words are in {}", paths::shown(&lines.lab)));
        return Ok(());
    }
    let said = fs::read_to_string(&lines.lab).unwrap_or_default();
    let result = said.lines().rev().find(|line| line.starts_with("test result:")).unwrap_or("no result");
    say("Ran", format!("{result} ({} s; {})", begin.elapsed().as_secs(), paths::shown(&lines.lab)));
    if !result.contains(" 0 failed") {
        bail!("scenarios failed");
    }
    Ok(())
}

/// What the guest's init runs.
fn script(options: &Vm) -> String {
    if let Some(script) = &options.sh {
        return format!("{{\n{script}\n}} >/dev/ttyS1 2>&1\n");
    }
    let environment = format!("UPSTREAM_TRACE_BIN=/upstream-trace LAB_SLOW={}", options.slow);
    let filter = options.scenario.join(" ");
    format!(
        "LAB_RESULTS=/dev/ttyS2 {environment} /lab --color=never --test-threads={} {filter} >/dev/ttyS1 2>&1\n",
        options.jobs
    )
}
