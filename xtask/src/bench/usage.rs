//! What a process used.

use std::fs;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Process ids are below this: `PID_MAX_LIMIT` of the kernel.
const PID_MAX: u32 = 1 << 22;

/// Processor time of all threads, nanoseconds; 0 if it is gone. The scheduler's own sum up to this moment: `/proc` has
/// it as of the last tick.
pub(super) fn cpu_ns(pid: u32) -> u64 {
    // Of a number that is none the clock would be another one: it is part of the clock's.
    if pid >= PID_MAX {
        return 0;
    }
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()));
    let time = clock.and_then(clock_gettime).map(Duration::from).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Memory that is resident, KiB; 0 if it is gone.
pub(super) fn resident_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&text, "VmRSS:")
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_process() {
        let this = std::process::id();
        assert!(cpu_ns(this) > 0 && resident_kib(this) > 100);
        assert_eq!((cpu_ns(u32::MAX), resident_kib(u32::MAX)), (0, 0));
        assert_eq!((cpu_ns(1 << 30), cpu_ns(PID_MAX - 1)), (0, 0));
    }
}
