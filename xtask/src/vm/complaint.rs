//! What a guest's kernel complains of, by the lines of its console.

/// Of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Complaint<'a> {
    /// That time passed in which nothing was done. An emulated processor stands still while the host is busy: this says
    /// nothing of the programs that run there.
    Time(&'a str),
    /// Of anything else.
    Fault(&'a str),
}

/// Words of a kernel after which nothing good comes.
const FAULTS: &[&str] = &["Kernel panic", "Oops:", "BUG:", "general protection fault"];
/// Comes before what the kernel's own checks say.
const CUT: &str = "[ cut here ]";
/// What the watchdogs say: of soft and hard lockups, of RCU, of tasks.
const WATCHDOGS: &[&str] = &[
    "BUG: soft lockup",
    "NMI watchdog: Watchdog detected hard LOCKUP",
    "self-detected stall on CPU",
    "detected stalls on CPUs/tasks",
    "detected expedited stalls",
    "kthread starved for",
    "blocked for more than",
];
/// Follows a complaint. Alone it is one whose first line is none of the above.
const TRACE: &str = "Call Trace:";

/// The first complaint; a fault comes before all watchdogs, since what is broken may keep a processor, too.
pub(super) fn of(console: &str) -> Option<Complaint<'_>> {
    let says = |line: &str, words: &[&str]| words.iter().any(|word| line.contains(word));
    let mut time = None;
    let mut lines = console.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.contains(CUT) {
            return Some(Complaint::Fault(lines.next().unwrap_or(line)));
        } else if says(line, WATCHDOGS) {
            time.get_or_insert(Complaint::Time(line));
        } else if says(line, FAULTS) || (time.is_none() && line.contains(TRACE)) {
            return Some(Complaint::Fault(line));
        }
    }
    time
}

#[cfg(test)]
mod tests {
    use super::{Complaint, of};

    const LOCKUP: &str = "[   61.3] watchdog: BUG: soft lockup - CPU#0 stuck for 134s! [lab:214]";
    const STALL: &str = "[   75.0] rcu: INFO: rcu_sched self-detected stall on CPU";
    const TRACE: &str = "[   75.1] Call Trace:";
    const OOPS: &str = "[   80.0] BUG: kernel NULL pointer dereference, address: 0000000000000008";

    #[test]
    fn a_processor_that_stood_still_is_no_fault() {
        let hung = "INFO: task nginx:99 blocked for more than 241 seconds.";
        for line in [LOCKUP, STALL, hung] {
            assert_eq!(of(&format!("booting\n{line}\r\n{TRACE}\nmore")), Some(Complaint::Time(line)));
        }
    }

    #[test]
    fn everything_else_is_one() {
        let lines = [
            OOPS,
            "Kernel panic - not syncing: Attempted to kill init!",
            "general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP",
            "BUG: scheduling while atomic: nginx/7/0x00000002",
            TRACE,
        ];
        for line in lines {
            assert_eq!(of(line), Some(Complaint::Fault(line)));
        }
        let (cut, warning) =
            ("------------[ cut here ]------------", "WARNING: CPU: 0 PID: 7 at net/ipv4/tcp.c:1");
        assert_eq!(of(&[LOCKUP, TRACE, cut, warning].join("\n")), Some(Complaint::Fault(warning)));
        assert_eq!(of(cut), Some(Complaint::Fault(cut)));
    }

    #[test]
    fn a_fault_counts_before_a_watchdog() {
        for console in [[LOCKUP, TRACE, OOPS].join("\n"), [OOPS, TRACE, LOCKUP].join("\n")] {
            assert_eq!(of(&console), Some(Complaint::Fault(OOPS)), "{console}");
        }
    }

    #[test]
    fn a_clock_that_is_given_up_is_no_complaint() {
        // The kernel takes another one, and goes on.
        let clock = "clocksource: timekeeping watchdog on CPU0: Marking clocksource 'tsc' as unstable because the skew is \
                     too large:";
        assert_eq!(of(&format!("{clock}\nclocksource: Switched to clocksource acpi_pm")), None);
    }
}
