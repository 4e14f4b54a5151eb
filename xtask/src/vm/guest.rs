//! A virtual machine, emulated (no KVM is needed), from its start to its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::archive::Unpacked;
use super::complaint::{self, Complaint, READY};
use super::machine::Machine;
use crate::process;

const MEMORY_MB: u32 = 2048;
/// Processors that the kernel is told of, of which the rest is never started. 5.10 follows as many returns of a function at
/// once as it may have processors, and on one processor a client of the lab that waits in `tcp_recvmsg` would hide what
/// nginx receives from kprobes.
const POSSIBLE: u32 = 8;
/// A panic reboots at once, and a reboot ends the guest. On a busy host an emulated timer fails the check of it, and an
/// emulated processor may stand still for half a minute: 120 s (twice `watchdog_thresh`) are a lockup, not 20. The rest
/// saves a quarter of the time: code that lies at the same address in each process is translated once.
const KERNEL: &str = "quiet panic=-1 oops=panic no_timer_check watchdog_thresh=60 \
    rcupdate.rcu_cpu_stall_timeout=120 norandmaps mitigations=off init_on_alloc=0 \
    cgroup.memory=nokmem";
/// From its start to the first word of its init.
const BOOT: Duration = Duration::from_mins(5);

/// How a guest ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The lab ran to its end.
    Done,
    /// The emulator let it down, in these words; see [`Complaint::why`].
    Emulator(String),
}

/// Serial lines of a guest, each a file.
#[derive(Debug)]
pub(super) struct Lines {
    /// Kernel and init.
    pub(super) console: PathBuf,
    /// What the lab prints.
    pub(super) lab: PathBuf,
    /// What the lab notes of each scenario.
    pub(super) results: PathBuf,
}

impl Lines {
    pub(super) fn in_folder(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        Self { console: file("console.txt"), lab: file("lab.txt"), results: file("run.jsonl") }
    }
}

/// Ends the guest when dropped.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Boots and waits until the guest switches itself off or its kernel complains; an error if it complains of what the
/// emulator did not do, or if it takes too long.
pub(super) fn run(
    (machine, kernel): (&Machine, &Unpacked),
    cpus: u32,
    initramfs: &Path,
    lines: &Lines,
    limit: Duration,
) -> Result<Ended> {
    let begin = Instant::now();
    let mut guest = start((machine, kernel), cpus, initramfs, lines)?;
    loop {
        let ended = guest.0.try_wait()?.is_some();
        let console = fs::read(&lines.console).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        match complaint::of(&console) {
            Some(fault @ Complaint::Fault(_)) => {
                bail!("{}; all of it is in {}", fault.why(), lines.console.display());
            }
            Some(of_emulator) => return Ok(Ended::Emulator(of_emulator.why())),
            None if ended && !console.contains(READY) => {
                return Ok(Ended::Emulator("the kernel did not come up, and said nothing".to_owned()));
            }
            None => {}
        }
        if ended {
            break;
        }
        let over = if console.contains(READY) { limit } else { BOOT };
        if begin.elapsed() > over {
            bail!("it was not done after {} s; see {}", over.as_secs(), lines.console.display());
        }
        thread::sleep(Duration::from_millis(250));
    }
    let console = fs::read_to_string(&lines.console).unwrap_or_default();
    if !console.contains("upstream-trace-vm: done") {
        bail!("it ended before the lab did; see {}", lines.console.display());
    }
    Ok(Ended::Done)
}

fn start(
    (machine, kernel): (&Machine, &Unpacked),
    cpus: u32,
    initramfs: &Path,
    lines: &Lines,
) -> Result<Guest> {
    let mut command = Command::new(machine.emulator);
    command.args(["-accel", "tcg,thread=multi"]).args(machine.options);
    command.args(["-m", &MEMORY_MB.to_string(), "-smp", &cpus.max(POSSIBLE).to_string()]);
    command.args(["-nodefaults", "-display", "none", "-no-reboot", "-net", "none"]);
    let serial = ["-serial", "chardev:line%"];
    let devices = [&serial, machine.line, machine.line];
    for (number, (line, device)) in
        [&lines.console, &lines.lab, &lines.results].into_iter().zip(devices).enumerate()
    {
        File::create(line).with_context(|| format!("cannot write {}", line.display()))?;
        // To the emulator, a comma in a name is two.
        let path = line.display().to_string().replace(',', ",,");
        command.arg("-chardev").arg(format!("file,id=line{number},path={path}"));
        command.args(device.iter().map(|word| word.replace('%', &number.to_string())));
    }
    command.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs);
    command.arg("-append").arg(format!("console={} maxcpus={cpus} {KERNEL}", machine.console));
    command.stdin(Stdio::null());
    let child = command.spawn().with_context(|| format!("cannot start {}", process::text(&command)))?;
    Ok(Guest(child))
}
