//! What a process holds in the kernel, and whether it is still there when the process is not.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;

/// Numbers of eBPF programs and maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Maps.
    pub maps: BTreeSet<u32>,
}

impl Held {
    /// Those of a process: of its descriptors, and of the links and events that keep programs attached.
    #[must_use]
    pub fn by(pid: u32) -> Self {
        let mut held = Self::default();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten() {
            let info = fs::read_to_string(entry.path()).unwrap_or_default();
            let number =
                |field| info.lines().find_map(|line| line.strip_prefix(field)?.trim().parse::<u32>().ok());
            held.programs.extend(number("prog_id:"));
            held.maps.extend(number("map_id:"));
        }
        held
    }

    /// Those of them that the kernel still has, whoever keeps them: a pin, a link, another process.
    pub fn left(&self) -> Result<Self> {
        let mut left = Self::default();
        for program in aya::programs::loaded_programs() {
            // One that ends while it is looked at is gone.
            left.programs.extend(program.ok().map(|program| program.id()));
        }
        for map in aya::maps::loaded_maps() {
            left.maps.extend(map.ok().map(|map| map.id()));
        }
        left.programs.retain(|id| self.programs.contains(id));
        left.maps.retain(|id| self.maps.contains(id));
        Ok(left)
    }
}

/// What of the host a program could change and leave so: where tracefs and its like are mounted, and settings.
pub fn settings() -> Result<String> {
    let mounts = fs::read_to_string("/proc/1/mounts")?;
    let of_tracing = |line: &&str| ["tracefs", "debugfs", "bpf"].map(Some).contains(&line.split(' ').nth(2));
    let mut text: String = mounts.lines().filter(of_tracing).map(|line| line.to_owned() + "\n").collect();
    for name in ["bpf_stats_enabled", "perf_event_paranoid", "kptr_restrict", "unprivileged_bpf_disabled"] {
        let value = fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        text.extend([name, " ", &value]);
    }
    Ok(text)
}
