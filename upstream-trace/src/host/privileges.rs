//! What the program may do: which capabilities it needs, for what, and which it gives back once it has attached.

use std::collections::HashSet;
use std::fs;

use anyhow::{Result, bail};
use caps::{CapSet, Capability, CapsHashSet};

/// Inode number of the initial pid namespace, `PROC_PID_INIT_INO`, fixed since 3.8.
const INIT_PID_NS: &str = "pid:[4026531836]";
/// Inode number of the initial user namespace, `PROC_USER_INIT_INO`, fixed since 3.8.
const INIT_USER_NS: &str = "user:[4026531837]";

/// What is lost without a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing can be traced.
    Everything,
    /// This, in words.
    Some(&'static str),
}

/// A capability that the program uses.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// Which.
    pub capability: Capability,
    /// What for.
    pub what: &'static str,
    /// What is lost without it.
    pub loss: Loss,
    /// Still needed once everything is attached.
    pub stays: bool,
    /// Programs that list the firewall's rules need it, too.
    pub children: bool,
}

const fn right(capability: Capability, what: &'static str, loss: Loss) -> Right {
    Right { capability, what, loss, stays: true, children: false }
}

/// Every capability that is of use. Found out by taking them away one by one, on 6.18.
pub const RIGHTS: &[Right] = &[
    right(Capability::CAP_BPF, "load programs into the kernel, and read what they noted", Loss::Everything),
    // Hooks may be attached later: those for unix sockets once nginx uses one.
    right(Capability::CAP_PERFMON, "attach them, and let them read the kernel's sockets", Loss::Everything),
    right(
        Capability::CAP_SYS_PTRACE,
        "look at the sockets, open files and namespaces of nginx and of origins on this host",
        Loss::Everything,
    ),
    right(
        Capability::CAP_DAC_READ_SEARCH,
        "read tracefs, error.log and the open files of other users' processes",
        Loss::Some(
            "whatever only root may read: error.log; without tracefs, errors of connect() and unix sockets",
        ),
    ),
    right(
        Capability::CAP_SYS_ADMIN,
        "enter nginx's network namespace, mount tracefs where it is not, measure with -v",
        Loss::Some("an nginx in another network namespace, such as a container's"),
    ),
    Right {
        children: true,
        ..right(
            Capability::CAP_NET_ADMIN,
            "read the rules of the firewall",
            Loss::Some("which rule of the firewall dropped a packet"),
        )
    },
    Right {
        children: true,
        ..right(
            Capability::CAP_NET_RAW,
            "read the rules of iptables-legacy",
            Loss::Some("which rule dropped a packet, where iptables-legacy is in use"),
        )
    },
    Right {
        stays: false,
        ..right(
            Capability::CAP_SYSLOG,
            "see the addresses of the kernel's functions",
            Loss::Some("in which hook of netfilter a packet was dropped"),
        )
    },
];

impl Right {
    /// Whether this process has it. Before 5.8 `CAP_SYS_ADMIN` was what `CAP_BPF` and `CAP_PERFMON` are now, and still
    /// includes them.
    #[must_use]
    pub fn held(&self) -> bool {
        let own = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
        own(self.capability)
            || matches!(self.capability, Capability::CAP_BPF | Capability::CAP_PERFMON)
                && own(Capability::CAP_SYS_ADMIN)
    }
}

/// Capabilities without which nothing can be traced, and that this process does not have.
#[must_use]
pub fn lacking() -> Vec<Capability> {
    let needed = RIGHTS.iter().filter(|right| right.loss == Loss::Everything);
    needed.filter(|right| !right.held()).map(|right| right.capability).collect()
}

/// Whether this process is outside of containers, as far as it matters.
///
/// # Errors
/// With what is in the way and what to do about it.
pub fn check_namespaces() -> Result<()> {
    let other = |kind: &str, initial: &str| {
        fs::read_link(format!("/proc/self/ns/{kind}")).is_ok_and(|link| link.to_string_lossy() != initial)
    };
    if other("pid", INIT_PID_NS) {
        bail!(
            "this is a container with its own process ids: run upstream-trace on the host (or with --pid=host)"
        );
    }
    if other("user", INIT_USER_NS) {
        bail!(
            "this is a user namespace, whose root may not trace the kernel: run upstream-trace outside of it"
        );
    }
    if !clock_is_the_kernels(&fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default()) {
        bail!(
            "this is a time namespace with a monotonic clock of its own, and hooks tell times by the kernel's: \
             run upstream-trace outside of it"
        );
    }
    Ok(())
}

/// Offsets of the clocks in a time namespace: name, seconds, nanoseconds. Kernels before 5.6 have none.
fn clock_is_the_kernels(offsets: &str) -> bool {
    let monotonic = offsets.lines().find_map(|line| line.trim_start().strip_prefix("monotonic"));
    monotonic.is_none_or(|offset| offset.split_whitespace().all(|number| number.trim_matches('0').is_empty()))
}

/// Checks that tracing is possible at all, and says what else is missing.
///
/// # Errors
/// With what is missing and what to do about it.
pub fn check() -> Result<()> {
    check_namespaces()?;
    let lacking = lacking();
    if !lacking.is_empty() {
        bail!(
            "tracing the kernel needs root, or at least {}: run `sudo upstream-trace ...` \
             (`upstream-trace doctor` says what each capability is for)",
            names(&lacking)
        );
    }
    for right in RIGHTS.iter().filter(|right| !right.held()) {
        if let Loss::Some(loss) = right.loss {
            log::warn!("without {}: {loss}", right.capability);
        }
    }
    Ok(())
}

/// Names of capabilities for a sentence.
#[must_use]
pub fn names(capabilities: &[Capability]) -> String {
    let names: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
    match &names[..] {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// Gives back, for good, every capability that is not needed any more, here and in all threads and programs that are
/// started from now on.
///
/// # Errors
/// If the kernel refuses; then nothing is lost but safety.
pub fn drop_capabilities() -> Result<()> {
    let held = caps::read(None, CapSet::Permitted)?;
    let of = |wanted: &dyn Fn(&Right) -> bool| -> CapsHashSet {
        RIGHTS
            .iter()
            .filter(|right| wanted(right))
            .map(|r| r.capability)
            .filter(|c| held.contains(c))
            .collect()
    };
    keep(&of(&|right| right.stays), &of(&|right| right.stays && right.children))
}

/// Gives back every capability of the calling thread: it only works on what it was handed.
pub fn drop_all_capabilities() {
    if let Err(error) = keep(&HashSet::new(), &HashSet::new()) {
        log::debug!("capabilities: {error:#}");
    }
}

/// Gives back every capability of the calling thread but these.
///
/// # Errors
/// If the kernel refuses.
pub fn keep_on_this_thread(kept: &[Capability]) -> Result<()> {
    let held = caps::read(None, CapSet::Permitted)?;
    keep(&kept.iter().copied().filter(|capability| held.contains(capability)).collect(), &HashSet::new())
}

fn keep(own: &CapsHashSet, children: &CapsHashSet) -> Result<()> {
    // Without CAP_SETPCAP the bounding set stays; with no_new_privs it gives nobody anything.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        // What a program that root starts can get; this process keeps its own all the same.
        for capability in caps::read(None, CapSet::Bounding)?.difference(children) {
            caps::drop(None, CapSet::Bounding, *capability)?;
        }
    }
    nix::sys::prctl::set_no_new_privs()?;
    caps::clear(None, CapSet::Ambient)?;
    caps::set(None, CapSet::Effective, own)?;
    caps::set(None, CapSet::Permitted, own)?;
    // A program that root starts gets what is in the bounding set; that of another user only what is handed on.
    let handed_on = if nix::unistd::geteuid().is_root() { &HashSet::new() } else { children };
    caps::set(None, CapSet::Inheritable, handed_on)?;
    caps::set(None, CapSet::Ambient, handed_on)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_clock_of_its_own_is_noticed() {
        for (offsets, expected) in [
            ("", true),
            ("monotonic           0         0\nboottime            0         0\n", true),
            ("monotonic           0         0\nboottime       86400         0\n", true),
            ("monotonic       86400         0\nboottime            0         0\n", false),
            ("monotonic           0 500000000\nboottime            0         0\n", false),
        ] {
            assert_eq!(clock_is_the_kernels(offsets), expected, "{offsets}");
        }
    }

    #[test]
    fn what_is_required_comes_first_and_nothing_twice() {
        assert_eq!(RIGHTS[0].loss, Loss::Everything);
        for (index, right) in RIGHTS.iter().enumerate() {
            assert!(RIGHTS[..index].iter().all(|other| other.capability != right.capability));
        }
        assert_eq!(names(&[Capability::CAP_BPF, Capability::CAP_PERFMON]), "CAP_BPF and CAP_PERFMON");
    }

    #[test]
    fn what_is_given_back_is_gone_from_all_sets_of_the_thread_only() {
        let before = caps::read(None, CapSet::Permitted).expect("capabilities");
        let before_bounding = before.contains(&Capability::CAP_SETPCAP);
        thread::spawn(move || {
            drop_capabilities().expect("capabilities can always be given back");
            let useful: CapsHashSet =
                RIGHTS.iter().filter(|right| right.stays).map(|r| r.capability).collect();
            for set in [CapSet::Permitted, CapSet::Effective, CapSet::Inheritable, CapSet::Ambient] {
                let left = caps::read(None, set).expect("capabilities");
                assert!(left.is_subset(&useful), "{set:?}: {left:?}");
            }
            if before_bounding {
                let children: CapsHashSet =
                    RIGHTS.iter().filter(|right| right.children).map(|r| r.capability).collect();
                let left = caps::read(None, CapSet::Bounding).expect("capabilities");
                assert!(left.is_subset(&children), "of programs that it starts: {left:?}");
            }
            drop_all_capabilities();
            assert!(caps::read(None, CapSet::Permitted).expect("capabilities").is_empty());
            let needed = [Capability::CAP_BPF, Capability::CAP_PERFMON, Capability::CAP_SYS_PTRACE];
            assert_eq!(lacking(), needed);
        })
        .join()
        .expect("the thread");
        assert_eq!(caps::read(None, CapSet::Permitted).expect("capabilities"), before);
    }
}
