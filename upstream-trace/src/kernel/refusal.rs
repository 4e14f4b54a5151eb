//! Why the kernel did not take a program, in words.

use std::io;

use anyhow::{Error, anyhow};
use aya::programs::ProgramError;
use aya::util::KernelVersion;
use libc::EPERM;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// Says of a program that the verifier does not take it; the lab looks for these words.
const REFUSED: &str = "the kernel refuses the program";
/// The kernel's own number for what it has not got on this architecture, such as fentry on arm64 before 6.4. It is in no
/// header for processes: one C library calls it unknown, another "No error information".
const ENOTSUPP: i32 = 524;

/// Why it did not take the maps.
pub(super) fn of_maps(error: Error) -> Error {
    of_maps_with(locked_memory(), error)
}

fn of_maps_with(locked: Option<u64>, error: Error) -> Error {
    match locked {
        Some(limit) if number(&error) == Some(EPERM) => too_little_locked_memory(limit),
        _ => error.context("the kernel refused the maps"),
    }
}

/// Bytes of memory that this process may lock, where maps and programs count as such: before 5.11, which counts them in the
/// control group (docs.ebpf.io, "Resource limits"). aya lifts the limit for who has `CAP_SYS_RESOURCE`.
fn locked_memory() -> Option<u64> {
    if KernelVersion::current().is_ok_and(|kernel| kernel >= KernelVersion::new(5, 11, 0)) {
        return None;
    }
    let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK).ok()?;
    (limit != RLIM_INFINITY).then_some(limit)
}

fn too_little_locked_memory(limit: u64) -> Error {
    anyhow!(
        "before Linux 5.11 the maps are locked memory, of which this process may have only {} KiB: start upstream-trace with \
         `prlimit --memlock=unlimited` (as root, before the user is changed), `LimitMEMLOCK=infinity` in its unit, or \
         `--ulimit memlock=-1` of its container",
        limit >> 10
    )
}

fn number(error: &Error) -> Option<i32> {
    error.root_cause().downcast_ref::<io::Error>().and_then(io::Error::raw_os_error)
}

/// The innermost reason, without the library's wording around it.
pub(super) fn plain(error: &Error) -> String {
    let text = match number(error) {
        Some(ENOTSUPP) => "Not supported by this kernel".to_owned(),
        _ => error.root_cause().to_string(),
    };
    let line = text.lines().next().unwrap_or_default();
    let reason = line.split(" (os error").next().unwrap_or(line);
    if is_refused(error) { format!("{REFUSED}: {reason}") } else { reason.to_owned() }
}

/// Whether the place is there and the verifier does not take the program for it.
pub(super) fn is_refused(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(ProgramError::LoadError { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_limit_that_was_reached_is_blamed_on_it() {
        let refused = |number| Error::new(io::Error::from_raw_os_error(number));
        let short = format!("{:#}", of_maps_with(Some(64 << 10), refused(EPERM)));
        assert!(short.contains("only 64 KiB") && short.contains("LimitMEMLOCK=infinity"), "{short}");
        for (limit, number) in [(None, EPERM), (Some(64 << 10), libc::ENOMEM)] {
            let other = format!("{:#}", of_maps_with(limit, refused(number)));
            assert!(other.starts_with("the kernel refused the maps: "), "{other}");
        }
    }

    #[test]
    fn reasons_in_words() {
        let of = |number| plain(&Error::new(io::Error::from_raw_os_error(number)).context("attach"));
        assert_eq!(of(ENOTSUPP), "Not supported by this kernel");
        assert_eq!(of(2), "No such file or directory");
        assert!(!is_refused(&Error::new(ProgramError::NotAttached)));
    }
}
