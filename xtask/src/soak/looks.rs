//! One look at the tracer: what it takes of its host, and what it holds in the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// What one look saw.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Look {
    /// Since the traffic began, seconds.
    pub(super) seconds: f64,
    /// Resident memory, bytes.
    pub(super) resident: u64,
    /// Of that, what it has allocated, bytes: the rest is its program, and the ring buffer that it shares with the kernel.
    #[serde(default)]
    pub(super) allocated: u64,
    pub(super) descriptors: usize,
    pub(super) threads: usize,
    /// eBPF maps that it holds.
    pub(super) maps: usize,
    /// eBPF programs that it holds.
    pub(super) programs: usize,
    /// Processor time until then, seconds.
    pub(super) cpu_seconds: f64,
    /// Size of its recordings, bytes.
    pub(super) recorded: u64,
}

/// Numbers of what a process held in the kernel, over all looks.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) programs: BTreeSet<u32>,
    pub(super) maps: BTreeSet<u32>,
}

impl Held {
    /// What it holds now: descriptors of it, and the links and events that keep programs attached.
    fn by(pid: u32) -> Result<Self> {
        let mut held = Self::default();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))?.flatten() {
            // One that is closed meanwhile holds nothing.
            let info = fs::read_to_string(entry.path()).unwrap_or_default();
            for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
                let ids = match name {
                    "prog_id" => &mut held.programs,
                    "map_id" => &mut held.maps,
                    _ => continue,
                };
                ids.extend(value.trim().parse::<u32>());
            }
        }
        Ok(held)
    }

    /// How many programs and maps of all that it ever held the kernel still has, whoever keeps them. Its owner has ended;
    /// the kernel gives them back after that, within this time.
    pub(super) fn left(&self, limit: Duration) -> (usize, usize) {
        let begin = Instant::now();
        loop {
            let left = self.loaded();
            if left == (0, 0) || begin.elapsed() > limit {
                return left;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn loaded(&self) -> (usize, usize) {
        // One that ends while it is looked at is gone.
        let programs = aya::programs::loaded_programs().flatten();
        let maps = aya::maps::loaded_maps().flatten();
        (
            programs.filter(|program| self.programs.contains(&program.id())).count(),
            maps.filter(|map| self.maps.contains(&map.id())).count(),
        )
    }
}

/// Looks at a process, and adds what it holds to what it held.
pub(super) fn look(pid: u32, seconds: f64, recordings: &Path, held: &mut Held) -> Result<Look> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).context("the tracer is gone");
    let count = |name: &str| -> Result<usize> { Ok(fs::read_dir(format!("/proc/{pid}/{name}"))?.count()) };
    let number = |text: &str, index: usize| text.split_whitespace().nth(index).and_then(|n| n.parse().ok());
    let (statm, stat) = (read("statm")?, read("stat")?);
    // Behind the name in brackets, which may hold anything: state, ..., utime, stime.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let pages: u64 = number(&statm, 1).context("statm")?;
    let shared: u64 = number(&statm, 2).context("statm")?;
    let ticks = |index| number(behind, index).unwrap_or(0u64);
    let now = Held::by(pid)?;
    held.programs.extend(&now.programs);
    held.maps.extend(&now.maps);
    Ok(Look {
        seconds,
        resident: pages * 4096,
        allocated: pages.saturating_sub(shared) * 4096,
        descriptors: count("fd")?,
        threads: count("task")?,
        maps: now.maps.len(),
        programs: now.programs.len(),
        // A tick is a hundredth of a second on all of Linux's architectures.
        cpu_seconds: (ticks(11) + ticks(12)) as f64 / 100.0,
        recorded: size(recordings),
    })
}

/// Of the files of a folder, bytes; 0 if there is none yet.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    // One that made room meanwhile has no size.
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

/// A line of the table that is shown meanwhile.
pub(super) fn row(look: &Look, before: &Look) -> String {
    let cpu = cpu_percent(look, before);
    let (minutes, mib) = (look.seconds / 60.0, |bytes: u64| bytes as f64 / f64::from(1 << 20));
    format!(
        "{minutes:>7.1}  {:>12.1}  {:>13.1}  {:>11}  {:>7}  {:>4}  {:>8}  {cpu:>5.1}  {:>12.2}",
        mib(look.resident),
        mib(look.allocated),
        look.descriptors,
        look.threads,
        look.maps,
        look.programs,
        mib(look.recorded)
    )
}

/// The head of that table.
pub(super) const HEAD: &str =
    "minutes  resident MiB  allocated MiB  descriptors  threads  maps  programs  CPU %  recorded MiB";

/// Of one processor, from one look to the next.
pub(super) fn cpu_percent(look: &Look, before: &Look) -> f64 {
    let time = look.seconds - before.seconds;
    if time > 0.0 { 100.0 * (look.cpu_seconds - before.cpu_seconds) / time } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_oneself() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("one"), "12345").unwrap();
        let look = look(std::process::id(), 1.0, folder.path(), &mut Held::default()).unwrap();
        assert!(look.resident > look.allocated && look.allocated > 1 << 18);
        assert!(look.descriptors > 2 && look.threads >= 1);
        assert_eq!((look.recorded, look.maps, look.programs), (5, 0, 0));
    }

    #[test]
    fn processor_time_is_of_the_time_between() {
        let before = Look { seconds: 10.0, cpu_seconds: 1.0, ..Look::default() };
        let look = Look { seconds: 20.0, cpu_seconds: 1.5, ..Look::default() };
        assert!((cpu_percent(&look, &before) - 5.0).abs() < 1e-9);
        assert!(cpu_percent(&look, &look).abs() < 1e-9);
    }
}
