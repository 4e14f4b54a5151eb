//! What a process used, from `/proc`.

use std::fs;

/// Processor time of all threads, nanoseconds; 0 if it is gone.
pub(super) fn cpu_ns(pid: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let of = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    threads.flatten().filter_map(of).sum()
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
    }
}
