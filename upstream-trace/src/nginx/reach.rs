//! Whether nginx's sockets can be looked at. If not, its clients cannot be told from its upstreams, and what it gives
//! up cannot be told from what its clients give up: better no trace than a wrong one.

use std::fmt;
use std::io;

use crate::host::{may_look_at, netns};

/// Why they cannot, and what to do about it.
#[derive(Debug)]
pub enum Unreachable {
    /// The open files of this process cannot be read.
    Files(u32, io::Error),
    /// The network namespace of this process cannot be entered.
    Namespace(u32, io::Error),
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(pid, error) => write!(
                f,
                "cannot look at the open files of nginx's process {pid} ({error}), without which its clients cannot \
                 be told from its upstreams: that takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; run \
                 `sudo upstream-trace ...`"
            ),
            Self::Namespace(pid, error) => write!(
                f,
                "nginx's process {pid} is in another network namespace, such as a container's, which cannot be \
                 entered ({error}): that takes CAP_SYS_ADMIN; run `sudo upstream-trace ...`"
            ),
        }
    }
}

impl std::error::Error for Unreachable {}

/// Looks at each of these processes; those that have ended are no obstacle.
///
/// # Errors
/// With the first process that cannot be looked at.
pub fn reach(pids: &[u32]) -> Result<(), Unreachable> {
    for pid in pids {
        match may_look_at(*pid) {
            Err(error) if !is_gone(&error) => return Err(Unreachable::Files(*pid, error)),
            _ => {}
        }
        match netns::run_in(*pid, || ()) {
            Err(error) if !is_gone(&error) => return Err(Unreachable::Namespace(*pid, error)),
            _ => {}
        }
    }
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn oneself_and_the_dead_are_no_obstacle() {
        assert!(reach(&[std::process::id(), u32::MAX]).is_ok());
    }

    #[test]
    fn messages_name_what_is_missing() {
        let error = || io::Error::from(ErrorKind::PermissionDenied);
        assert!(Unreachable::Files(7, error()).to_string().contains("CAP_SYS_PTRACE"));
        assert!(Unreachable::Namespace(7, error()).to_string().contains("CAP_SYS_ADMIN"));
    }
}
