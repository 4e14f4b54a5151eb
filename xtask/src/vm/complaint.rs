//! What a guest's kernel complains of, by the lines of its console.

/// What the guest's init says once the kernel is up, before the first of our programs runs.
pub(super) const READY: &str = "upstream-trace-vm: ready";

/// Of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Complaint<'a> {
    /// That time passed in which nothing was done. An emulated processor stands still while the host is busy: this says
    /// nothing of the programs that run there.
    Time(&'a str),
    /// Of a breakpoint that is no longer there. The kernel changes its own code behind a breakpoint; with several
    /// emulated processors one may still run the old translation (seen with QEMU 7.2 and Linux 7.2, at boot).
    Breakpoint(&'a str),
    /// Of anything, before one of our programs ran.
    Boot(&'a str),
    /// Of anything else.
    Fault(&'a str),
}

impl Complaint<'_> {
    /// What went wrong. All but a fault is the emulator's doing: another boot may go well.
    pub(super) fn why(self) -> String {
        let (what, line) = match self {
            Self::Time(line) => ("an emulated processor stood still", line),
            Self::Breakpoint(line) => ("an emulated processor ran old code", line),
            Self::Boot(line) => ("the kernel did not come up", line),
            Self::Fault(line) => ("its kernel complained", line),
        };
        format!("{what}: {line}")
    }
}

/// Words of a kernel after which nothing good comes.
const FAULTS: &[&str] = &[
    "Kernel panic",
    "Oops:",
    "BUG:",
    "general protection fault",
    "Internal error:",
    "Unable to handle kernel",
];
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
/// A breakpoint that nobody knows.
const BREAKPOINT: &str = "Oops: int3:";
/// Follow a complaint, on x86-64 and on arm64. Alone they are one whose first line is none of the above.
const TRACES: &[&str] = &["Call Trace:", "Call trace:"];

/// The first complaint; a fault comes before all watchdogs, since what is broken may keep a processor, too.
pub(super) fn of(console: &str) -> Option<Complaint<'_>> {
    let says = |line: &str, words: &[&str]| words.iter().any(|word| line.contains(word));
    let mut time = None;
    let mut ready = false;
    let mut lines = console.lines().map(str::trim);
    while let Some(line) = lines.next() {
        ready |= line.contains(READY);
        let fault = if ready { Complaint::Fault } else { Complaint::Boot };
        if line.contains(CUT) {
            return Some(fault(lines.next().unwrap_or(line)));
        } else if says(line, WATCHDOGS) {
            time.get_or_insert(Complaint::Time(line));
        } else if line.contains(BREAKPOINT) {
            return Some(Complaint::Breakpoint(line));
        } else if says(line, FAULTS) || (time.is_none() && says(line, TRACES)) {
            return Some(fault(line));
        }
    }
    time
}

#[cfg(test)]
mod tests {
    use super::{Complaint, READY, of};

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
            "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
            "Internal error: Oops - BUG: 00000000f2000800 [#1] SMP",
            TRACE,
            "[   75.1] Call trace:",
        ];
        for line in lines {
            assert_eq!(of(&format!("{READY}\n{line}")), Some(Complaint::Fault(line)));
        }
        let (cut, warning) =
            ("------------[ cut here ]------------", "WARNING: CPU: 0 PID: 7 at net/ipv4/tcp.c:1");
        assert_eq!(of(&[READY, LOCKUP, TRACE, cut, warning].join("\n")), Some(Complaint::Fault(warning)));
        assert_eq!(of(&[READY, cut].join("\n")), Some(Complaint::Fault(cut)));
    }

    #[test]
    fn what_comes_before_our_programs_is_not_theirs() {
        assert_eq!(of(OOPS), Some(Complaint::Boot(OOPS)));
        let int3 = "[    1.232027] Oops: int3: 0000 [#1] SMP NOPTI";
        for console in [int3.to_owned(), format!("{READY}\n{int3}\n{TRACE}")] {
            assert_eq!(of(&console), Some(Complaint::Breakpoint(int3)));
        }
    }

    #[test]
    fn a_fault_counts_before_a_watchdog() {
        for console in [[READY, LOCKUP, TRACE, OOPS].join("\n"), [READY, OOPS, TRACE, LOCKUP].join("\n")] {
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
